import KraftLoop
import Synchronization

/// One call's way to the loop: plain data, so that a batch of them is let go at no cost.
struct Submission {
    enum Kind {
        case propose, proposeMany, read, localRead
        /// Its bytes begin with session and sequence.
        case proposeInSession
        case changeSessions
    }

    var kind: Kind
    /// Retained from `submit` until the loop takes it. Before that whoever made the submission keeps
    /// the call alive: a reference here would be counted for each copy.
    fileprivate(set) var call: Unmanaged<Call>
    var slot: GroupSlot
    /// The slot may have passed to another group since the handle was made.
    var group: GroupID
    var route: Epoch?
    var freshness = ReadFreshness.linearizable
    var deadline: Instant
    /// Where its commands lie in the batch's bytes.
    var start = 0
    var count = 0
    /// Requests in it, each with a token.
    var requestCount = 1

    init(
        _ kind: Kind, _ call: Call, slot: GroupSlot, group: GroupID, route: Epoch? = nil,
        deadline: Instant
    ) {
        self.kind = kind
        self.call = Unmanaged.passUnretained(call)
        (self.slot, self.group, self.route, self.deadline) = (slot, group, route, deadline)
    }
}

/// Requests on their way from any thread to the loop: taken up once a turn, one wake-up a batch,
/// bounded in number and bytes.
final class SubmissionQueue: Sendable {
    struct Batch {
        var submissions: [Submission] = []
        /// The commands of all submissions.
        var bytes = ByteWriter()
        var requestCount = 0

        mutating func removeAll() {
            // A burst's memory isn't kept for ever.
            let isSmall = bytes.count <= 1 << 20
            submissions.removeAll(keepingCapacity: isSmall)
            if isSmall { bytes.removeAll() } else { bytes = ByteWriter() }
            requestCount = 0
        }
    }

    private struct State {
        var batch = Batch()
        var isClosed = false
    }

    private let loop: EventLoop
    private let requestLimit: Int
    private let sizeLimitBytes: Int
    private let state = Mutex(State())

    init(_ loop: EventLoop, requestLimit: Int, sizeLimitBytes: Int) {
        self.loop = loop
        self.requestLimit = requestLimit
        self.sizeLimitBytes = sizeLimitBytes
    }

    /// Takes a call, or says why not: then nothing came of it.
    func submit(_ submission: Submission, _ command: ByteWriter? = nil) -> KraftError? {
        guard let command else {
            return submit(submission, UnsafeRawBufferPointer(start: nil, count: 0))
        }
        return command.bytes.withUnsafeBytes { submit(submission, $0) }
    }

    private func submit(
        _ submission: Submission, _ command: UnsafeRawBufferPointer
    ) -> KraftError? {
        let taken = state.withLock { state -> Taken in
            guard !state.isClosed else { return .closed }
            guard state.batch.requestCount + submission.requestCount <= requestLimit,
                state.batch.bytes.count + command.count <= sizeLimitBytes
            else { return .full }
            let wasEmpty = state.batch.submissions.isEmpty
            var submission = submission
            _ = submission.call.retain()
            submission.start = state.batch.bytes.count
            submission.count = command.count
            state.batch.bytes.write(raw: command)
            state.batch.requestCount += submission.requestCount
            state.batch.submissions.append(submission)
            return wasEmpty ? .first : .taken
        }
        var group: GroupName? { submission.call.takeUnretainedValue().group }
        switch taken {
        case .taken: return nil
        case .first:
            loop.wake()
            return nil
        case .closed:
            return KraftError(.unavailable, "the node is not running", group: group)
        case .full:
            return KraftError(
                .overloaded, "too many requests wait for the loop", group: group)
        }
    }

    private enum Taken {
        case taken
        /// The loop has to be woken.
        case first
        case closed
        case full
    }

    /// Exchanges what has come for an empty batch. On the loop.
    func take(_ batch: inout Batch) {
        state.withLock { swap(&$0.batch, &batch) }
    }

    /// From now on everything is refused.
    func close() { state.withLock { $0.isClosed = true } }
}
