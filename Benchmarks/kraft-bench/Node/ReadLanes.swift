import KraftMultiRaft

/// The readers of one node's loop: a lane for each group, a place for each read under way.
struct ReadLanes {
    private struct Lane {
        var slot: GroupSlot
        /// The writes that a read has to see.
        var minimumCount: UInt64
        var tally: ClientTally
    }

    /// One read under way; its place in the table, from 1, is its token.
    private struct Request {
        var lane: Int
        var issuedAt: UInt64 = 0
    }

    /// The clock is read in each turn, and again after so many reads of one turn.
    private static let clockInterval = 8

    var isIssuing = true
    var latencies = Latencies()
    private(set) var openCount = 0
    let isLocal: Bool

    private let freshness: ReadFreshness
    private var lanes: [Lane] = []
    private var requests: [Request] = []
    private var turn = Instant(nanoseconds: 0)
    private var clock: UInt64 = 0
    private var sinceClock = 0

    init(_ workload: Workload, _ reads: Workload.Reads, _ slots: [GroupSlot]) {
        isLocal = reads.level == .local
        freshness = reads.level == .lease ? .lease : .linearizable
        for (place, slot) in slots.enumerated() {
            lanes.append(
                Lane(
                    slot: slot, minimumCount: reads.minimumCounts[place],
                    tally: ClientTally(group: workload.groups[place])))
            for _ in 0..<workload.inFlight[place] { requests.append(Request(lane: place)) }
        }
    }

    var tallies: [ClientTally] { lanes.map(\.tally) }

    mutating func start(_ driver: NodeDriver) {
        openCount = requests.count
        turn = driver.now
        clock = monotonicClock()
        for place in requests.indices { issue(place, driver) }
    }

    @inline(__always)
    mutating func ready(_ token: RequestToken, _ slot: GroupSlot, _ driver: NodeDriver) {
        readClock(driver)
        let place = Int(token) - 1
        look(requests[place].lane, driver)
        latencies.record(clock &- requests[place].issuedAt)
        if isIssuing { issue(place, driver) } else { openCount -= 1 }
    }

    mutating func refused(
        _ token: RequestToken, _ outcome: Completion.Outcome, _ driver: NodeDriver
    ) {
        readClock(driver)
        let place = Int(token) - 1
        lanes[requests[place].lane].tally.refusedCount += 1
        if case .refused(let reason, _) = outcome, reason == .nodeStopped { isIssuing = false }
        if isIssuing { issue(place, driver) } else { openCount -= 1 }
    }

    /// One read for each place.
    mutating func readLocally(_ driver: NodeDriver) {
        for place in requests.indices {
            let start = monotonicClock()
            look(requests[place].lane, driver)
            latencies.record(monotonicClock() &- start)
        }
    }

    /// The query itself.
    @inline(__always)
    private mutating func look(_ lane: Int, _ driver: NodeDriver) {
        guard
            let state = driver.answer(
                CountingMachine.Query(), of: lanes[lane].slot, CountingMachine.self)
        else {
            lanes[lane].tally.refusedCount += 1
            return
        }
        lanes[lane].tally.readCount += 1
        if state.applied.count < lanes[lane].minimumCount { lanes[lane].tally.staleCount += 1 }
    }

    @inline(__always)
    private mutating func issue(_ place: Int, _ driver: NodeDriver) {
        requests[place].issuedAt = clock
        driver.read(
            lanes[requests[place].lane].slot, freshness, token: UInt64(place) + 1,
            deadline: turn + LoopLanes.patience)
    }

    @inline(__always)
    private mutating func readClock(_ driver: NodeDriver) {
        sinceClock += 1
        let now = driver.now
        guard now != turn || sinceClock >= ReadLanes.clockInterval else { return }
        turn = now
        sinceClock = 0
        clock = monotonicClock()
    }
}
