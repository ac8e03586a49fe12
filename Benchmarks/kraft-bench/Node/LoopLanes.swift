import KraftMultiRaft

/// The closed loops of one node's clients: a lane for each group, a place for each proposal under
/// way.
struct LoopLanes {
    private struct Lane {
        var slot: GroupSlot
        var nextSequence: UInt64 = 0
        var tally: ClientTally
    }

    /// One proposal under way; its place in the table, from 1, is its token.
    private struct Request {
        var lane: Int
        var sequence: UInt64 = 0
        var issuedAt: UInt64 = 0
    }

    private static let patience = Nanoseconds.seconds(30)
    /// The clock is read in each turn, and again after so many completions of one turn.
    private static let clockInterval = 8

    var isIssuing = true
    var latencies = Latencies()
    private(set) var openCount = 0
    /// The next command, but for its number. Freed by the owner.
    let command: UnsafeMutableRawBufferPointer

    private var lanes: [Lane] = []
    private var requests: [Request] = []
    private var turn = Instant(nanoseconds: 0)
    private var clock: UInt64 = 0
    private var sinceClock = 0

    init(_ workload: Workload, _ slots: [GroupSlot]) {
        command = .allocate(byteCount: workload.payloadSizeBytes, alignment: 8)
        command.initializeMemory(as: UInt8.self, repeating: 0x5A)
        for (slot, name) in zip(slots, workload.groups) {
            for _ in 0..<workload.inFlight { requests.append(Request(lane: lanes.count)) }
            lanes.append(Lane(slot: slot, tally: ClientTally(group: name)))
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
    mutating func completed(
        _ token: RequestToken, _ outcome: Completion.Outcome, _ driver: NodeDriver
    ) {
        readClock(driver)
        let place = Int(token) - 1
        let request = requests[place]
        switch outcome {
        case .done:
            latencies.record(clock &- request.issuedAt)
            lanes[request.lane].tally.acknowledged.add(request.sequence)
        case .refused(let reason, _):
            lanes[request.lane].tally.refusedCount += 1
            if reason == .nodeStopped { isIssuing = false }
        case .unknown, .forgotten:
            lanes[request.lane].tally.unknownCount += 1
        }
        if isIssuing { issue(place, driver) } else { openCount -= 1 }
    }

    @inline(__always)
    private mutating func issue(_ place: Int, _ driver: NodeDriver) {
        let lane = requests[place].lane
        let sequence = lanes[lane].nextSequence
        lanes[lane].nextSequence = sequence + 1
        requests[place].sequence = sequence
        requests[place].issuedAt = clock
        BenchCommand.number(command, sequence)
        driver.propose(
            lanes[lane].slot, UnsafeRawBufferPointer(command), token: UInt64(place) + 1,
            deadline: turn + LoopLanes.patience)
    }

    @inline(__always)
    private mutating func readClock(_ driver: NodeDriver) {
        sinceClock += 1
        let now = driver.now
        guard now != turn || sinceClock >= LoopLanes.clockInterval else { return }
        turn = now
        sinceClock = 0
        clock = monotonicClock()
    }
}
