import RaftCore

/// Proposals of several turns that go into the log, and to the followers, together.
struct Gathering {
    /// When the next may be taken.
    var until = Instant.zero
    /// Groups with proposals that wait for that.
    var held: [Int] = []
    /// Whether this turn takes none.
    var isHolding = false
}

/// Pacing: each run of entries costs a record and a sync on three nodes and a frame to each follower
/// and back, however many entries are in it. Where many proposals come one by one, waiting a little
/// for more of them is worth more processor time than anything else (`Timing.gatherInterval`).
///
/// It looks to the groups as if the turn in which the proposals came had taken longer.
extension Engine {
    /// A run of entries is no longer: to wait for more gains nothing.
    static let gatheredBytes = 1 << 20

    /// At the start of a turn's end: are this turn's proposals taken?
    mutating func considerGathering(now: Instant) {
        let interval = configuration.timing.gatherInterval
        guard interval > .zero else { return }
        // The clock of a driver doesn't go back; a wait that is too long would be one without end.
        gathering.isHolding =
            now < gathering.until && gathering.until - now <= interval
            && stage.byteCount < Engine.gatheredBytes && !isHandingLeadersOver
        guard !gathering.isHolding else { return }
        for slot in gathering.held {
            groups[slot].isHeld = false
            touch(slot)
        }
        gathering.held.removeAll(keepingCapacity: true)
        gathering.until =
            stage.proposals.count >= configuration.timing.gatherLeast ? now + interval : .zero
    }

    /// Who doesn't lead any more has its proposals go to the leader at once.
    func isHolding(_ slot: Int) -> Bool {
        gathering.isHolding && groups[slot].raft.isLeader && !groups[slot].raft.isTransferring
    }

    /// The group's proposals wait.
    mutating func hold(_ slot: Int) {
        guard !groups[slot].isHeld else { return }
        groups[slot].isHeld = true
        gathering.held.append(slot)
    }

    /// When the proposals that are held are due.
    var gatheringDeadline: Instant { gathering.held.isEmpty ? .never : gathering.until }
}
