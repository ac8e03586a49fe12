import RaftCore

/// How far the log has come with giving its oldest segment back: see `Engine+Reclaim`.
struct Reclaim {
    enum Stage: Hashable {
        /// There is nothing to give back.
        case idle
        /// Looks at the groups from this slot on.
        case looking(Int)
        /// Writes the runs of `runs` again; then goes on looking from this slot.
        case moving(then: Int)
        /// Groups that hold too much there are to be snapshotted first.
        case waiting
        /// The log begins behind it once this batch is durable.
        case ending(UInt64)
    }

    /// Entries that are to be written again.
    struct Run {
        var position: LogPosition
        var slot: Int
        var serial: UInt64
        var first: LogIndex
    }

    let budgetSegments: Int
    /// Above this many segments everything is written again, whatever it costs.
    let urgentSegments: Int
    /// What a group may hold of a segment to be written again; more is snapshotted.
    let groupLimit: Int
    /// What all together may, of one segment.
    let segmentLimit: Int
    /// What may be written again before it must be paid for: see `isReclaimUrgent`.
    let freeBytes: UInt64
    /// What was written again in this life, and written for it.
    var movedBytes: UInt64 = 0

    var stage = Stage.idle
    /// The segment that is to go.
    var victim: UInt64
    /// Ascending by place.
    var runs: [Run] = []
    var nextRun = 0
    /// What may still be written again of this segment.
    var allowance = 0
    /// Some group holds it until it is snapshotted.
    var isHeld = false
    var isUrgent = false
    /// Since the groups were looked at, one has let go of something.
    var isLookWorthwhile = false
    /// No record of the node itself stands before this segment.
    var listsSegment: UInt64
    /// There is something to do in the next turn that nothing else will bring.
    var wantsTurn = false

    /// Groups that are looked at in one turn, and bytes that are written again.
    static let looksPerTurn = 4_096
    static let bytesPerTurn = 256 << 10
    static let runLimit = 4_096

    init(firstSegment: UInt64, limits: EngineConfiguration.LogLimits) {
        budgetSegments = limits.budgetSegments
        urgentSegments = limits.budgetSegments + limits.budgetSegments / 2
        groupLimit = max(16 << 10, limits.segmentSizeBytes / 256)
        segmentLimit = limits.segmentSizeBytes / 4
        freeBytes = UInt64(limits.budgetSegments * limits.segmentSizeBytes)
        victim = firstSegment
        listsSegment = firstSegment
    }

    var isIdle: Bool { stage == .idle }
}
