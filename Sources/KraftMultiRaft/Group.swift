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
    /// Of the group's `TypedMachineBox<S>`.
    let boxType: ObjectIdentifier

    /// Replicates `command` and answers with what the state machine replied.
    ///
    /// - `route`: the epoch by which the caller chose this group; `staleRoute` when it isn't the
    ///   group's any more.
    /// - `timeout`: above zero; nil is the configuration's `requestTimeout`.
    public func propose(
        _ command: S.Command, route: Epoch? = nil, timeout: Duration? = nil
    ) async throws(KraftError) -> S.Reply {
        let call = ProposeCall(group: name)
        let bytes = ByteWriter(of: command)
        let submission = submission(.propose, call, route: route, timeout: timeout)
        await call.ended { queue.submit(submission, bytes) }
        return try call.reply()
    }

    /// As `propose`; also says at which index the command stands in the log.
    public func proposeIndexed(
        _ command: S.Command, route: Epoch? = nil, timeout: Duration? = nil
    ) async throws(KraftError) -> (index: LogIndex, reply: S.Reply) {
        let call = ProposeCall(group: name)
        let bytes = ByteWriter(of: command)
        let submission = submission(.propose, call, route: route, timeout: timeout)
        await call.ended { queue.submit(submission, bytes) }
        return (call.index, try call.reply())
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
        let call = ProposeManyCall(group: name, ends: ends)
        let bytes = writer
        var submission = submission(.proposeMany, call, route: route, timeout: timeout)
        submission.requestCount = ends.count
        let readied = submission
        await call.ended { queue.submit(readied, bytes) }
        return call.replies()
    }

    /// Answers a query from this node's state machine.
    public func read(
        _ query: S.Query, _ consistency: ReadConsistency = .linearizable, timeout: Duration? = nil
    ) async throws(KraftError) -> S.Answer {
        let call = ReadCall<S>(
            group: name, boxType: boxType, query: query, wantsIndex: false)
        let submission = submission(of: call, consistency, timeout)
        await call.ended { queue.submit(submission) }
        return try call.get()
    }

    /// As `read`; also says up to which index this node had applied when it answered.
    public func readIndexed(
        _ query: S.Query, _ consistency: ReadConsistency = .linearizable, timeout: Duration? = nil
    ) async throws(KraftError) -> (index: LogIndex, answer: S.Answer) {
        let call = ReadCall<S>(
            group: name, boxType: boxType, query: query, wantsIndex: true)
        let submission = submission(of: call, consistency, timeout)
        await call.ended { queue.submit(submission) }
        return (call.index, try call.get())
    }

    private func submission(
        of call: AwaitedCall, _ consistency: ReadConsistency, _ timeout: Duration?
    ) -> Submission {
        let kind: Submission.Kind = consistency == .local ? .localRead : .read
        var submission = submission(kind, call, timeout: timeout)
        submission.freshness = consistency.freshness
        return submission
    }

    func submission(
        _ kind: Submission.Kind, _ call: Call, route: Epoch? = nil, timeout: Duration?
    ) -> Submission {
        Submission(
            kind, call, slot: slot, group: id, route: route,
            deadline: .after(timeout ?? requestTimeout))
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

extension ByteWriter {
    /// With what `command` encodes itself as; most commands need no second allocation.
    fileprivate init(of command: some BinaryCodable) {
        self.init(capacity: 224)
        command.encode(into: &self)
    }
}
