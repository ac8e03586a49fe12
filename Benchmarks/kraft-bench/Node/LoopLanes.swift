import KraftMultiRaft

/// The writers of one node's loop: a lane for each group, a place for each proposal under way. In
/// closed loops each completion proposes the next; in an open loop a schedule does.
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
        /// In an open loop: when it was due.
        var issuedAt: UInt64 = 0
    }

    private struct Open {
        var schedule: OpenSchedule
        var draw: WeightedDraw
    }

    static let patience = Nanoseconds.seconds(30)
    /// The clock is read in each turn, and again after so many completions of one turn.
    private static let clockInterval = 8
    /// What an open loop has under way at most; what is due beyond that counts as refused.
    private static let openLimit = 500_000

    var isIssuing = true
    var latencies = Latencies()
    private(set) var openCount = 0
    /// The next command, but for its number. Freed by the owner.
    let command: UnsafeMutableRawBufferPointer

    private var lanes: [Lane] = []
    private var requests: [Request] = []
    private let isClosedLoop: Bool
    private var open: Open?
    /// In an open loop: the places that nothing is under way in.
    private var free: [Int] = []
    private var turn = Instant(nanoseconds: 0)
    private var clock: UInt64 = 0
    private var sinceClock = 0

    init(_ workload: Workload, _ slots: [GroupSlot]) {
        command = .allocate(byteCount: workload.payloadSizeBytes, alignment: 8)
        command.initializeMemory(as: UInt8.self, repeating: 0x5A)
        isClosedLoop = workload.offer == nil
        for (slot, name) in zip(slots, workload.groups) {
            lanes.append(Lane(slot: slot, tally: ClientTally(group: name)))
        }
        for (lane, count) in zip(lanes.indices, workload.inFlight) {
            for _ in 0..<count { requests.append(Request(lane: lane)) }
        }
    }

    var tallies: [ClientTally] { lanes.map(\.tally) }

    /// Starts the closed loops.
    mutating func start(_ driver: NodeDriver) {
        openCount = requests.count
        turn = driver.now
        clock = monotonicClock()
        for place in requests.indices { issue(place, at: clock, driver) }
    }

    /// Starts an open loop: from now on `offer` is to be called when something is due.
    mutating func start(_ schedule: OpenSchedule, _ weights: [Double], _ driver: NodeDriver) {
        open = Open(schedule: schedule, draw: WeightedDraw(weights, seed: 1))
    }

    /// Proposes what has come due.
    mutating func offer(_ driver: NodeDriver) {
        guard isIssuing else { return }
        turn = driver.now
        clock = monotonicClock()
        while let due = open?.schedule.take(by: clock), let lane = open?.draw.draw() {
            guard openCount < LoopLanes.openLimit else {
                lanes[lane].tally.refusedCount += 1
                continue
            }
            let place: Int
            if let last = free.popLast() {
                place = last
                requests[place].lane = lane
            } else {
                place = requests.count
                requests.append(Request(lane: lane))
            }
            openCount += 1
            issue(place, at: due, driver)
        }
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
        if isIssuing, isClosedLoop {
            issue(place, at: clock, driver)
        } else {
            openCount -= 1
            if !isClosedLoop { free.append(place) }
        }
    }

    @inline(__always)
    private mutating func issue(_ place: Int, at time: UInt64, _ driver: NodeDriver) {
        let lane = requests[place].lane
        let sequence = lanes[lane].nextSequence
        lanes[lane].nextSequence = sequence + 1
        requests[place].sequence = sequence
        requests[place].issuedAt = time
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
