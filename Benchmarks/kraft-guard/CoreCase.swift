import RaftCore

/// Three cores in one memory: 16 entries a round, each message handed over at once, disks that are
/// done at once.
struct CoreCase {
    private static let batch = 16
    private static let warmUpRounds = 64

    private var rafts: [Raft]
    private var effects = RaftEffects()
    /// Of each sender, to be handed over: emptied and filled anew, never freed.
    private var inFlight: [(from: Replica, to: Replica, message: Message)] = []
    private var arriving: [(from: Replica, to: Replica, message: Message)] = []
    private var now = Instant.zero

    static func run(_ count: Int) throws(WrongResult) -> Int {
        var cores = CoreCase()
        guard cores.elect() else { throw WrongResult("no core was elected") }
        for _ in 0..<warmUpRounds { cores.round() }
        let rounds = (count + batch - 1) / batch
        let start = cores.rafts[0].commitIndex
        measured { for _ in 0..<rounds { cores.round() } }
        for raft in cores.rafts where raft.commitIndex < start + (rounds - 1) * batch {
            throw WrongResult("core \(raft.node) committed only up to \(raft.commitIndex)")
        }
        return rounds * batch
    }

    private init() {
        let nodes: [NodeID] = [1, 2, 3]
        guard let membership = Membership(voters: nodes) else { preconditionFailure("voters") }
        rafts = nodes.map { node in
            Raft(
                replica: Replica(node),
                configurations: [.init(index: .zero, membership: membership)],
                hardState: HardState(), log: LogTerms(), options: .init(),
                seed: UInt64(node.rawValue), now: .zero)
        }
    }

    /// Has the first core lead.
    private mutating func elect() -> Bool {
        guard rafts[0].forceElection(now: now, effects: &effects) else { return false }
        absorb(0)
        for _ in 0..<16 {
            persist(0)
            deliver()
            flush()
        }
        return rafts[0].isLeader && rafts[0].canRead
    }

    private mutating func round() {
        now = now + .microseconds(100)
        guard rafts[0].propose(count: CoreCase.batch) != nil else {
            preconditionFailure("the first core leads no more")
        }
        flush()
        persist(0)
        // To the followers, and back.
        deliver()
        deliver()
        for place in 0..<3 where rafts[place].nextDeadline <= now {
            rafts[place].tick(now: now, effects: &effects)
            absorb(place)
        }
    }

    /// Sends what the followers want, and what else is due.
    private mutating func flush() {
        for position in 0..<3 {
            while let wanted = rafts[0].wantedEntries(by: position) {
                rafts[0].sendEntries(
                    to: position, count: wanted.most, byteCount: wanted.most * 21,
                    effects: &effects)
            }
        }
        rafts[0].flush(now: now, effects: &effects)
        absorb(0)
    }

    private mutating func persist(_ place: Int) {
        rafts[place].persisted(
            upTo: rafts[place].log.lastIndex, now: now, effects: &effects)
        absorb(place)
    }

    private mutating func deliver() {
        swap(&inFlight, &arriving)
        for sent in arriving {
            let place = Int(sent.to.node.rawValue) - 1
            rafts[place].step(from: sent.from, sent.message, now: now, effects: &effects)
            let isAppended = effects.append != nil
            absorb(place)
            if isAppended { persist(place) }
        }
        arriving.removeAll(keepingCapacity: true)
    }

    private mutating func absorb(_ place: Int) {
        for (to, message) in effects.messages {
            inFlight.append((rafts[place].replica, to, message))
        }
        effects.removeAll()
    }
}
