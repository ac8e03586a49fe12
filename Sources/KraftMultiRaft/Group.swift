import KraftLoop

/// A handle to one group on this node, typed by its state machine. Cheap to copy.
///
/// Requests may be made on any node that has the group: they are forwarded to its leader. Errors
/// other than `outcomeUnknown` promise that nothing took effect. A task that is cancelled while a
/// proposal is under way gets `outcomeUnknown` at once; the command may still take effect.
public struct Group<S: StateMachine & Sendable>: Sendable {
    /// Commands in one call of `propose(_:)`; more are refused with `overloaded`.
    public static var batchLimit: Int { 65_536 }

    public let name: GroupName
    public let id: GroupID
    let slot: GroupSlot
    let queue: SubmissionQueue
    let requestTimeout: Duration

    /// Replicates `command` and answers with what the state machine replied.
    ///
    /// - `route`: the epoch by which the caller chose this group; `staleRoute` when it isn't the
    ///   group's any more.
    /// - `timeout`: above zero; nil is the configuration's `requestTimeout`.
    public func propose(
        _ command: S.Command, route: Epoch? = nil, timeout: Duration? = nil
    ) async throws(KraftError) -> S.Reply {
        try await proposeIndexed(command, route: route, timeout: timeout).reply
    }

    /// As `propose`; also says at which index the command stands in the log.
    public func proposeIndexed(
        _ command: S.Command, route: Epoch? = nil, timeout: Duration? = nil
    ) async throws(KraftError) -> (index: LogIndex, reply: S.Reply) {
        var writer = ByteWriter(capacity: 64)
        command.encode(into: &writer)
        let call = ProposeCall<S.Reply>(group: name)
        let bytes = writer
        let submission = submission(.propose, call, route: route, timeout: timeout)
        let reply = try await call.value { _ in queue.submit(submission, bytes) }.get()
        return (call.index, reply)
    }

    /// Proposes many commands with one hop and one continuation for all; one result each, in order.
    /// They are proposed in order, but each stands or falls alone.
    public func propose(
        _ commands: [S.Command], route: Epoch? = nil, timeout: Duration? = nil
    ) async -> [Result<S.Reply, KraftError>] {
        guard !commands.isEmpty else { return [] }
        guard commands.count <= Group.batchLimit else {
            let error = KraftError(
                .overloaded, "more than \(Group.batchLimit) commands in one call", group: name)
            return Array(repeating: .failure(error), count: commands.count)
        }
        var writer = ByteWriter(capacity: 32 * commands.count)
        var ends: [Int] = []
        ends.reserveCapacity(commands.count)
        for command in commands {
            command.encode(into: &writer)
            ends.append(writer.count)
        }
        let call = ProposeManyCall<S.Reply>(group: name, ends: ends)
        let bytes = writer
        let submission = submission(
            .proposeMany, call, route: route, ends: ends, timeout: timeout)
        return await call.value { _ in queue.submit(submission, bytes) }
    }

    /// Answers a query from this node's state machine.
    public func read(
        _ query: S.Query, _ consistency: ReadConsistency = .linearizable, timeout: Duration? = nil
    ) async throws(KraftError) -> S.Answer {
        try await read(query, consistency, timeout, wantsIndex: false).answer
    }

    /// As `read`; also says up to which index this node had applied when it answered.
    public func readIndexed(
        _ query: S.Query, _ consistency: ReadConsistency = .linearizable, timeout: Duration? = nil
    ) async throws(KraftError) -> (index: LogIndex, answer: S.Answer) {
        try await read(query, consistency, timeout, wantsIndex: true)
    }

    private func read(
        _ query: S.Query, _ consistency: ReadConsistency, _ timeout: Duration?, wantsIndex: Bool
    ) async throws(KraftError) -> (index: LogIndex, answer: S.Answer) {
        let call = ReadCall<S>(group: name, query: query, wantsIndex: wantsIndex)
        let kind: Submission.Kind = consistency == .local ? .localRead : .read
        var submission = submission(kind, call, timeout: timeout)
        submission.freshness = consistency.freshness
        let readied = submission
        let answer = try await call.value { _ in queue.submit(readied) }.get()
        return (call.index, answer)
    }

    func submission(
        _ kind: Submission.Kind, _ call: Call, route: Epoch? = nil, ends: [Int] = [],
        timeout: Duration?
    ) -> Submission {
        Submission(
            kind: kind, call: call, slot: slot, group: id, route: route,
            deadline: .after(timeout ?? requestTimeout), ends: ends)
    }
}

extension ReadConsistency {
    var freshness: ReadFreshness {
        switch self {
        case .linearizable, .local: .linearizable
        case .lease: .lease
        case .bounded(let staleness): .bounded(Nanoseconds(staleness))
        }
    }
}

extension Nanoseconds {
    /// Zero for a span that isn't positive.
    init(_ span: Duration) {
        let (seconds, attoseconds) = span.components
        guard seconds >= 0, attoseconds >= 0 else {
            self = .zero
            return
        }
        let sum =
            Instant.zero + .seconds(UInt64(seconds))
            + Nanoseconds(UInt64(attoseconds / 1_000_000_000))
        self = sum - .zero
    }
}

extension Instant {
    /// A deadline from now, on the loop's clock. Nothing but now for a timeout that isn't positive.
    static func after(_ timeout: Duration) -> Instant {
        Instant(nanoseconds: EventLoop.clock) + Nanoseconds(timeout)
    }
}
