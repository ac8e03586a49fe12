@testable import RaftCore

/// How a dialogue's trace writes things: `t3` is a term, `7@3` the entry 7 of term 3, `x@3` one
/// that carries x; a leader's own first entry carries `·`; `[5@2]` stands for a log up to there.
enum DialogueText {
    static func role(_ raft: Raft) -> String {
        let place = "in t\(raft.term)"
        switch raft.role {
        case .leader: return "leads \(place)"
        case .candidate: return "is candidate \(place)"
        case .preCandidate: return "asks who would vote for it \(place)"
        case .follower:
            return raft.leader.isNone
                ? "follows nobody \(place)" : "follows \(raft.leader) \(place)"
        }
    }

    static func position(_ position: EntryPosition) -> String {
        "\(position.index)@\(position.term)"
    }

    /// The log from an entry on: each with its term.
    static func log(of node: DialogueCluster.Node, from first: LogIndex = LogIndex(1)) -> String {
        let log = node.raft.log
        let isCompacted = log.base.index > .zero && first <= log.base.index
        let base = isCompacted ? ["[\(position(log.base))]"] : []
        let start = max(first, log.firstIndex)
        guard log.lastIndex >= start else { return base.first ?? "nothing" }
        let entries = (start.rawValue...log.lastIndex.rawValue).map { index in
            let term = log.term(at: LogIndex(index)) ?? .zero
            return "\(node.entries[Int(index) - 1].name)@\(term)"
        }
        return (base + entries).joined(separator: " ")
    }

    static func sent(_ sent: DialogueCluster.InFlight) -> String {
        "\(sent.from.node) -> \(sent.to.node)  \(message(sent))"
    }

    static func received(_ sent: DialogueCluster.InFlight) -> String {
        "\(sent.to.node) <- \(sent.from.node)  \(message(sent))"
    }

    static func message(_ sent: DialogueCluster.InFlight) -> String {
        switch sent.message {
        case .append(let m):
            let names = sent.entries.map { "\($0.name)@\(m.entriesTerm)" }.joined(separator: " ")
            let what = m.count == 0 ? "nothing" : names
            return "append t\(m.term) \(what) behind \(position(m.previous)), commit \(m.commit)"
        case .appendReply(let m) where m.isRejected:
            return "reject t\(m.term) behind \(m.index), perhaps \(position(m.hint))"
        case .appendReply(let m): return "accept t\(m.term) up to \(m.index)"
        case .heartbeat(let m):
            return "heartbeat t\(m.term) commit \(m.commit), read \(m.readSequence)"
        case .heartbeatReply(let m): return "heartbeat-reply t\(m.term) read \(m.readSequence)"
        case .vote(let m):
            return "\(m.isPreVote ? "pre-vote" : "vote")? t\(m.term) last \(position(m.last))"
                + (m.isTransfer ? ", told by the leader" : "") + (m.isForced ? ", forced" : "")
        case .voteReply(let m):
            return "\(m.isPreVote ? "pre-vote" : "vote") t\(m.term) "
                + (m.isGranted ? "granted" : "refused")
        case .timeoutNow(let m): return "campaign-now t\(m.term)"
        case .resigned(let m): return "resigned t\(m.term)"
        case .removed(let m):
            return "removed t\(m.term), by what is committed up to \(position(m.committed))"
        case .snapshot(let m):
            return "offer t\(m.term) the state up to \(position(m.position)), "
                + membership(m.configuration.membership)
        }
    }

    /// Who votes; in a joint configuration, who did before; who only learns; `w` marks a witness.
    static func membership(_ membership: Membership) -> String {
        func names(_ set: MemberSet) -> String {
            membership.members.indices.filter { set.contains($0) }.map { position in
                "\(membership.members[position].node)"
                    + (membership.witnesses.contains(position) ? "w" : "")
            }.joined(separator: " ")
        }
        let all = MemberSet(firstPositions: membership.members.count)
        let learners = all.subtracting(membership.voters.union(membership.outgoing))
        return "{" + names(membership.voters)
            + (membership.isJoint ? " was " + names(membership.outgoing) : "")
            + (learners.isEmpty ? "" : " learns " + names(learners)) + "}"
    }

    static func status(_ node: DialogueCluster.Node) -> String {
        let raft = node.raft
        var line = "\(raft.node) \(node.isRunning ? role(raft) : "is down")"
        if !node.isRunning { return line }
        if raft.kind == nil, raft.log.lastIndex == .zero { return "\(raft.node) holds nothing" }
        line += ", commit \(raft.commitIndex), durable \(raft.durableIndex)"
        return line + ", log \(log(of: node))"
    }

    // MARK: Reading

    /// The number behind a prefix: `t7` with `t`.
    static func number(_ word: some StringProtocol, _ prefix: String) -> UInt64? {
        word.hasPrefix(prefix) ? UInt64(word.dropFirst(prefix.count)) : nil
    }

    private static func position(_ word: String) -> EntryPosition? {
        let parts = word.split(separator: "@").compactMap { UInt64($0) }
        guard parts.count == 2 else { return nil }
        return EntryPosition(index: LogIndex(parts[0]), term: Term(parts[1]))
    }

    /// A message as `message` writes it, of the kinds that scripts make up.
    static func parse(_ text: String, from: NodeID, to: NodeID) -> DialogueCluster.InFlight? {
        let words = text.replacing(",", with: "").split(separator: " ").map { String($0) }
        guard words.count > 1, let term = number(words[1], "t").map({ Term($0) }) else {
            return nil
        }
        let message: Message
        switch (words[0], words.count) {
        case ("vote?", 4), ("pre-vote?", 4):
            guard let last = position(words[3]) else { return nil }
            message = .vote(
                .init(
                    term: term, last: last, isPreVote: words[0] == "pre-vote?",
                    isTransfer: false))
        case ("accept", 5):
            guard let index = UInt64(words[4]) else { return nil }
            message = .appendReply(
                .init(term: term, index: LogIndex(index), isRejected: false, hint: .start))
        case ("append", 7):
            guard let previous = position(words[4]), let commit = UInt64(words[6]) else {
                return nil
            }
            message = .append(
                .init(
                    term: term, previous: previous, entriesTerm: term, count: 0,
                    commit: LogIndex(commit)))
        case ("offer", let count) where count > 6:
            guard let position = position(words[6].replacing(",", with: "")),
                let members = Membership(
                    voters: text.drop { $0 != "{" }.split { !$0.isNumber }.compactMap {
                        UInt32($0).map { NodeID($0) }
                    })
            else { return nil }
            message = .snapshot(
                .init(
                    term: term, position: position,
                    configuration: .init(index: .zero, membership: members)))
        case ("campaign-now", 2): message = .timeoutNow(.init(term: term))
        default: return nil
        }
        let sent = DialogueCluster.InFlight(
            from: Replica(from), to: Replica(to), message: message, entries: [])
        return DialogueText.message(sent) == text ? sent : nil
    }
}
