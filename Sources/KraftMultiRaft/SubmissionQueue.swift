import KraftLoop
import Synchronization

/// One call's way to the loop; plain data but for the call.
struct Submission {
    enum Kind {
        case propose, proposeMany, read, localRead
        /// Its bytes begin with session and sequence.
        case proposeInSession
        case changeSessions
    }

    var kind: Kind
    var call: Call
    var slot: GroupSlot
    /// The slot may have passed to another group since the handle was made.
    var group: GroupID
    var route: Epoch?
    var freshness = ReadFreshness.linearizable
    var deadline: Instant
    /// Where its commands lie in the batch's bytes.
    var start = 0
    var count = 0
    /// Of `proposeMany`: where each command ends, from `start`.
    var ends: [Int] = []
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
    func submit(_ submission: consuming Submission, _ command: ByteWriter? = nil) -> KraftError? {
        var submission = submission
        let group = submission.call.group
        var refusal: KraftError?
        var wasEmpty = false
        let requests = max(1, submission.ends.count)
        let byteCount = command?.count ?? 0
        state.withLock { state in
            guard !state.isClosed else {
                refusal = KraftError(.unavailable, "the node is not running", group: group)
                return
            }
            guard state.batch.requestCount + requests <= requestLimit,
                state.batch.bytes.count + byteCount <= sizeLimitBytes
            else {
                refusal = KraftError(
                    .overloaded, "too many requests wait for the loop", group: group)
                return
            }
            wasEmpty = state.batch.submissions.isEmpty
            submission.start = state.batch.bytes.count
            submission.count = byteCount
            if let command { state.batch.bytes.write(raw: command.bytes) }
            state.batch.requestCount += requests
            state.batch.submissions.append(submission)
        }
        if wasEmpty { loop.wake() }
        return refusal
    }

    /// Exchanges what has come for an empty batch. On the loop.
    func take(_ batch: inout Batch) {
        state.withLock { swap(&$0.batch, &batch) }
    }

    /// From now on everything is refused.
    func close() { state.withLock { $0.isClosed = true } }
}
