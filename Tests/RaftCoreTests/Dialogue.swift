@testable import RaftCore

/// A script of commands, and what each is expected to bring about.
///
/// A line that begins with `> ` is a command; the indented lines behind it are the trace expected;
/// everything else is left as it is.
struct Dialogue {
    struct Failure: Error, CustomStringConvertible {
        var description: String
        init(_ description: String) { self.description = description }
    }

    private var cluster: DialogueCluster?

    /// Replays a script; returns it with the traces that it truly brings about.
    static func replay(_ script: String) throws(Failure) -> String {
        var dialogue = Dialogue()
        var lines: [String] = []
        var isTrace = false
        for (number, line) in script.split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            if isTrace, line.hasPrefix("  ") { continue }
            isTrace = line.hasPrefix("> ")
            lines.append(String(line))
            guard isTrace else { continue }
            do throws(Failure) {
                lines += try dialogue.run(line.dropFirst(2)).map { "  \($0)" }
            } catch {
                throw Failure("line \(number + 1): \(error)")
            }
        }
        return lines.joined(separator: "\n")
    }

    private mutating func run(_ line: Substring) throws(Failure) -> [String] {
        var words = Words(line)
        let command = words.next() ?? ""
        if command == "cluster" {
            cluster = DialogueCluster(voters: try words.nodes())
        }
        guard var cluster else { throw Failure("no cluster of these nodes") }
        // Moved out and back, so that it isn't copied.
        self.cluster = nil
        try Dialogue.carryOut(command, &words, &cluster)
        if let word = words.next() { throw Failure("what is '\(word)'?") }
        defer { self.cluster = cluster }
        return cluster.takeTrace()
    }

    // MARK: Commands

    private static func carryOut(
        _ command: String, _ words: inout Words, _ cluster: inout DialogueCluster
    ) throws(Failure) {
        switch command {
        case "cluster": break
        case "status":
            for place in try words.places(cluster) {
                cluster.say(DialogueText.status(cluster.nodes[place]))
            }
        case "deliver", "drop": try move(command, &words, &cluster)
        case "cut", "heal", "disconnect", "connect": try link(command, &words, &cluster)
        case "settle": try settle(try words.places(cluster), &cluster)
        case "joint": try waitForJoint(on: try words.place(cluster), &cluster)
        case "lead":
            // The usual beginning: it isn't worth a trace.
            try ask("campaign", &words, &cluster)
            try settle(Array(cluster.nodes.indices), &cluster)
        case "persist":
            for place in try words.places(cluster) { cluster.persist(place) }
        case "crash": cluster.crash(try words.place(cluster))
        case "restart": cluster.restart(try words.place(cluster))
        case "node": cluster.addNode(try words.node())
        case "disk": try disk(&words, &cluster)
        case "inject":
            guard let word = words.next() else { throw Failure("which link?") }
            let (from, to) = try Words.link(word)
            let text = words.all().joined(separator: " ")
            guard let sent = DialogueText.parse(text, from: from, to: to) else {
                throw Failure("'\(text)' is no message")
            }
            cluster.inject(sent)
        default: try ask(command, &words, &cluster)
        }
    }

    /// `disk 2 t7 for 3: 1 1 4` starts a node again on a disk with this term, vote and entries.
    private static func disk(
        _ words: inout Words, _ cluster: inout DialogueCluster
    ) throws(Failure) {
        let place = try words.place(cluster)
        guard let term = words.next().flatMap({ DialogueText.number($0, "t") }) else {
            throw Failure("which term?")
        }
        var disk = DialogueCluster.Disk()
        disk.hardState.term = Term(term)
        var rest = words.all()
        if rest.first == "for", rest.count > 1, let vote = UInt32(rest[1]) {
            disk.hardState.vote = NodeID(vote)
            rest.removeFirst(2)
        }
        for word in rest {
            guard let term = UInt64(word) else { throw Failure("'\(word)' is no term") }
            disk.log.append(count: 1, term: Term(term))
            disk.entries.append(.init(name: "e\(disk.entries.count + 1)"))
        }
        cluster.replaceDisk(of: place, by: disk)
    }

    /// What is asked of one node.
    private static func ask(
        _ command: String, _ words: inout Words, _ cluster: inout DialogueCluster
    ) throws(Failure) {
        let place = try words.place(cluster)
        switch command {
        case "suspect": cluster.act(place) { raft, now, _ in raft.leaderSuspected(now: now) }
        case "campaign":
            cluster.act(place) { raft, now, _ in raft.leaderSuspected(now: now) }
            let deadline = cluster.nodes[place].raft.nextDeadline
            guard deadline != .never else { throw Failure("it has no reason to campaign") }
            cluster.now = max(cluster.now, deadline)
            cluster.act(place) { raft, now, effects in raft.tick(now: now, effects: &effects) }
        case "tick":
            cluster.now = cluster.now + (try words.milliseconds())
            cluster.act(place) { raft, now, effects in raft.tick(now: now, effects: &effects) }
        case "propose":
            if cluster.propose(words.all(), on: place) == nil { cluster.say("refused") }
        case "read": read(on: place, &cluster)
        case "transfer":
            let target = try words.node()
            var isBegun = false
            cluster.act(place) { raft, now, effects in
                isBegun = raft.transfer(to: target, now: now, effects: &effects)
            }
            if !isBegun { cluster.say("refused") }
        case "alive":
            var alive = MemberSet()
            for node in try words.nodes() {
                guard let position = cluster.nodes[place].raft.membership.position(of: node)
                else { throw Failure("\(node) is no member") }
                alive.insert(position)
            }
            cluster.act(place) { raft, now, effects in
                raft.checkQuorum(alive: alive, now: now, effects: &effects)
            }
        case "step-down":
            cluster.act(place) { raft, now, effects in
                raft.stepDown(now: now, effects: &effects)
            }
        case "force":
            cluster.act(place) { raft, now, effects in
                _ = raft.forceElection(now: now, effects: &effects)
            }
        case "compact":
            guard let index = words.next().flatMap({ UInt64($0) }) else {
                throw Failure("up to where?")
            }
            cluster.compact(place, upTo: LogIndex(index))
        case "install": cluster.install(place)
        case "change": try change(&words, on: place, &cluster)
        case "promise":
            let until = cluster.now + (try words.milliseconds())
            cluster.act(place) { raft, now, _ in
                raft.leaderSuspected(now: now, promisedUntil: until)
            }
        case "lease": try lease(&words, on: place, &cluster)
        default: throw Failure("there is no command '\(command)'")
        }
    }

    /// `change 1 +4 +5:learner -2`
    private static func change(
        _ words: inout Words, on place: Int, _ cluster: inout DialogueCluster
    ) throws(Failure) {
        var change = MembershipChange()
        for word in words.all() {
            let parts = word.dropFirst().split(separator: ":")
            guard let first = parts.first, let node = UInt32(first).map({ NodeID($0) }) else {
                throw Failure("which node is '\(word)'?")
            }
            switch (word.first, parts.count == 2 ? parts[1] : "voter") {
            case ("-", _): change.remove.append(node)
            case ("+", "voter"): change.add.append(.init(node, .voter))
            case ("+", "learner"): change.add.append(.init(node, .learner))
            case ("+", "witness"): change.add.append(.init(node, .witness))
            default: throw Failure("what is '\(word)'?")
            }
        }
        var words = ""
        cluster.act(place) { raft, now, effects in
            do throws(Raft.ChangeRefusal) {
                _ = try raft.propose(change, now: now, effects: &effects)
            } catch {
                switch error {
                case .notLeader: words = "refused: it doesn't lead"
                case .busy: words = "refused: not now"
                case .invalid(let reason): words = "refused: \(reason)"
                }
            }
        }
        if !words.isEmpty { cluster.say(words) }
    }

    /// `lease 1 2=400ms`: does 1 hold it, if 2 has promised its support for so long?
    private static func lease(
        _ words: inout Words, on place: Int, _ cluster: inout DialogueCluster
    ) throws(Failure) {
        var promises: [NodeID: Instant] = [:]
        for word in words.all() {
            let parts = word.split(separator: "=")
            guard parts.count == 2, let node = UInt32(parts[0]) else {
                throw Failure("'\(word)' is no promise")
            }
            var span = Words(parts[1])
            promises[NodeID(node)] = cluster.now + (try span.milliseconds())
        }
        var raft = cluster.nodes[place].raft
        let isHeld = raft.holdsLease(now: cluster.now) {
            promises[$0] ?? .zero
        }
        cluster.say(isHeld ? "holds it" : "doesn't hold it")
    }

    private static func read(on place: Int, _ cluster: inout DialogueCluster) {
        var ticket: Raft.ReadTicket?
        cluster.act(place) { raft, _, _ in ticket = raft.requestRead() }
        if let ticket {
            cluster.say("read \(ticket.sequence) at index \(ticket.index)")
        } else {
            cluster.say("refused")
        }
    }

    // MARK: Messages and links

    private static func move(
        _ command: String, _ words: inout Words, _ cluster: inout DialogueCluster
    ) throws(Failure) {
        guard let word = words.next() else { throw Failure("which messages?") }
        var isChosen: (DialogueCluster.InFlight) -> Bool = { _ in true }
        if word == "to" {
            let node = try words.node()
            isChosen = { $0.to.node == node }
        } else if word == "from" {
            let node = try words.node()
            isChosen = { $0.from.node == node }
        } else if word != "all" {
            let (from, to) = try Words.link(word)
            isChosen = { $0.from.node == from && $0.to.node == to }
        }
        let limit = words.next().flatMap { Int($0) } ?? .max
        if command == "drop" {
            cluster.drop(where: isChosen)
        } else {
            cluster.deliver(limit: limit, where: isChosen)
        }
        if cluster.trace.isEmpty { cluster.say("nothing is in flight") }
    }

    private static func link(
        _ command: String, _ words: inout Words, _ cluster: inout DialogueCluster
    ) throws(Failure) {
        if command == "heal" { return cluster.heal() }
        guard let word = words.next() else { throw Failure("which link?") }
        if command == "cut", let node = UInt32(word).map({ NodeID($0) }) {
            let others = cluster.ids.filter { $0 != node }
            return cluster.cut(others.map { (node, $0) } + others.map { ($0, node) })
        }
        let (a, b) = try Words.link(word)
        guard let first = cluster.place(of: a), let second = cluster.place(of: b) else {
            throw Failure("which link?")
        }
        switch command {
        case "cut": cluster.cut([(a, b)])
        case "connect":
            cluster.connected(first, to: b)
            cluster.connected(second, to: a)
        default:
            cluster.drop { [a, b].contains($0.from.node) && [a, b].contains($0.to.node) }
            cluster.disconnected(first, from: b)
            cluster.disconnected(second, from: a)
        }
    }

    /// Delivers and persists until this leader has begun a joint configuration.
    private static func waitForJoint(
        on place: Int, _ cluster: inout DialogueCluster
    ) throws(Failure) {
        for _ in 0..<1_000 {
            for other in cluster.nodes.indices { cluster.persist(other) }
            let count = cluster.inFlight.count
            for _ in 0..<count where !cluster.nodes[place].raft.membership.isJoint {
                cluster.deliver(limit: 1) { _ in true }
            }
            guard cluster.nodes[place].raft.membership.isJoint else { continue }
            _ = cluster.takeTrace()
            return cluster.say(DialogueText.status(cluster.nodes[place]))
        }
        throw Failure("it never begins one")
    }

    /// Delivers and persists until nothing moves, and says only where that leads.
    private static func settle(
        _ places: [Int], _ cluster: inout DialogueCluster
    ) throws(Failure) {
        for _ in 0..<1_000 {
            for place in places { cluster.persist(place) }
            let ids = places.map { cluster.ids[$0] }
            let isMoving = cluster.inFlight.contains {
                ids.contains($0.from.node) && ids.contains($0.to.node)
            }
            guard isMoving else {
                _ = cluster.takeTrace()
                for place in places {
                    cluster.say(DialogueText.status(cluster.nodes[place]))
                }
                return
            }
            cluster.deliver { ids.contains($0.from.node) && ids.contains($0.to.node) }
        }
        throw Failure("it never comes to rest")
    }
}

/// The words of a command.
private struct Words {
    private var rest: [String]

    init(_ line: Substring) { rest = line.split(separator: " ").map { String($0) } }

    mutating func next() -> String? { rest.isEmpty ? nil : rest.removeFirst() }

    mutating func all() -> [String] {
        defer { rest = [] }
        return rest
    }

    mutating func node() throws(Dialogue.Failure) -> NodeID {
        guard let number = next().flatMap({ UInt32($0) }) else {
            throw Dialogue.Failure("which node?")
        }
        return NodeID(number)
    }

    mutating func nodes() throws(Dialogue.Failure) -> [NodeID] {
        var nodes: [NodeID] = []
        while !rest.isEmpty { nodes.append(try node()) }
        return nodes
    }

    mutating func place(_ cluster: DialogueCluster) throws(Dialogue.Failure) -> Int {
        guard let place = cluster.place(of: try node()) else {
            throw Dialogue.Failure("which node?")
        }
        return place
    }

    /// The nodes named, or all.
    mutating func places(_ cluster: DialogueCluster) throws(Dialogue.Failure) -> [Int] {
        if rest == ["all"] { rest = [] }
        if rest.isEmpty { return Array(cluster.nodes.indices) }
        var places: [Int] = []
        while !rest.isEmpty { places.append(try place(cluster)) }
        return places
    }

    /// `800ms`; 0 where nothing is said.
    mutating func milliseconds() throws(Dialogue.Failure) -> Nanoseconds {
        guard let word = next() else { return .zero }
        guard word.hasSuffix("ms"), let number = UInt64(word.dropLast(2)) else {
            throw Dialogue.Failure("'\(word)' is no time")
        }
        return .milliseconds(number)
    }

    /// `1->3`
    static func link(_ word: String) throws(Dialogue.Failure) -> (NodeID, NodeID) {
        let ends = word.split(separator: "-", maxSplits: 1)
        guard ends.count == 2, ends[1].first == ">", let from = UInt32(ends[0]),
            let to = UInt32(ends[1].dropFirst())
        else { throw Dialogue.Failure("'\(word)' is no link") }
        return (NodeID(from), NodeID(to))
    }
}
