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
    /// Fewer proposals than this at once are not worth waiting for: a lone writer waits for nothing.
    static let leastGathered = 8

    /// At the start of a turn's end: are this turn's proposals taken?
    mutating func considerGathering(now: Instant) {
        let interval = configuration.timing.gatherInterval
        guard interval > .zero else { return }
        // The clock of a driver doesn't go back; a wait that is too long would be one without end.
        gathering.isHolding = now < gathering.until && gathering.until - now <= interval
        guard !gathering.isHolding else { return }
        for slot in gathering.held {
            groups[slot].isHeld = false
            touch(slot)
        }
        gathering.held.removeAll(keepingCapacity: true)
        gathering.until =
            stage.proposals.count >= Engine.leastGathered ? now + interval : .zero
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
