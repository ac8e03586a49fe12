/// What a swarm run may do to its cluster.
public enum Fault: Int, CaseIterable, Sendable {
    // Nodes.
    case powerCut, powerCutOfAll, powerCutInWrite, powerCutBetweenDiskSteps, powerCutTwice
    case kill, killOfAll, killOfHalfDuringTransfer, killInWrite, pause, pauseOfLeader, clockChange
    // Links.
    case isolation, isolationOfLeader, split, oneWayCut, pairCut, movingRing
    case reset, halfReset, resetAtSomeByte, flippedBit, slowLink, growingDelay, slowReader
    case stranger, deposedLeaderReturns
    // Disks.
    case slowDisk, hangingDisk, failedWrite, failedPreparation, failedRead
    case fullDisk, fullDisks
    // Groups.
    case transfer, transferStorm, groupStop, handOver, groupAnew
    case stepDown, forcedElection, priorityChange
    // Members.
    case memberChange, memberSwap, newMembers, twoAdmins, removeAndReturn, learnerPromoted
    case crashInChange
    // Snapshots.
    case snapshotAsked, snapshotsOfAll, longAbsence
    case failedCapture, failedSnapshotWrite, failedSnapshotRead
    // Decay.
    case logDecay, snapshotDecay

    /// Drawn for themselves, so that seeds from before they were there stand for what they did.
    var isOfSnapshots: Bool {
        (Fault.snapshotAsked.rawValue..<Fault.logDecay.rawValue).contains(rawValue)
    }
    var isOfDecay: Bool { rawValue >= Fault.logDecay.rawValue }
}
