import Testing

@testable import kraft_bench

@Suite("The load of the benchmark")
struct LoadTests {
    private func times(_ perSecond: Double, start: UInt64 = 5_000_000, until: UInt64) -> [UInt64] {
        var schedule = OpenSchedule(perSecond: perSecond, start: start)
        var times: [UInt64] = []
        while let due = schedule.take(by: until) { times.append(due) }
        return times
    }

    @Test("an open loop offers what was asked for, whatever became of it")
    func rate() {
        for perSecond in [3.0, 700, 1_000, 33_333, 1_000_000] {
            let times = times(perSecond, start: 0, until: 9_999_999_999)
            #expect(abs(Double(times.count) - 10 * perSecond) <= 1 + perSecond / 1_000)
        }
    }

    @Test("requests are due in their order, on the grid, and never early")
    func grid() {
        let start: UInt64 = 5_000_000
        let times = times(2_500, start: start, until: start + 100_000_000)
        #expect(times == times.sorted())
        for (number, time) in times.enumerated() {
            let ideal = start + UInt64(number) * 400_000
            #expect(time >= ideal)
            #expect(time - ideal < OpenSchedule.grid)
            #expect((time - start) % OpenSchedule.grid == 0)
        }
    }

    @Test("after a stall each request still has the time at which it was due")
    func stall() {
        var schedule = OpenSchedule(perSecond: 1_000, start: 0)
        #expect(schedule.take(by: 0) == 0)
        #expect(schedule.take(by: 999_999) == nil)
        // Nobody looked for two seconds.
        var late: [UInt64] = []
        while let due = schedule.take(by: 2_000_000_000) { late.append(due) }
        #expect(late.first == 1_000_000)
        #expect(late.last == 2_000_000_000)
        #expect(late.count == 2_000)
        #expect(schedule.due == 2_001_000_000)
    }

    @Test("skipping leads to where taking one by one does")
    func skip() {
        var (one, other) = (
            OpenSchedule(perSecond: 12_345, start: 7), OpenSchedule(perSecond: 12_345, start: 7)
        )
        one.skip(by: 1_000_000_000)
        while other.take(by: 1_000_000_000) != nil {}
        #expect(one.count == other.count)
        #expect(one.due == other.due)
    }

    @Test("weights are even without skew, and fall as a power of the rank with it")
    func weights() {
        #expect(Zipf.weights(count: 4, exponent: 0) == [0.25, 0.25, 0.25, 0.25])
        let weights = Zipf.weights(count: 100, exponent: 1)
        #expect(abs(weights.reduce(0, +) - 1) < 1e-9)
        #expect(abs(weights[0] / weights[9] - 10) < 1e-9)
    }

    @Test("in-flight requests are dealt by weight, and each group gets one")
    func shares() {
        let shares = Zipf.shares(of: 160, by: Zipf.weights(count: 10, exponent: 2))
        #expect(shares[0] > 80)
        #expect(shares.allSatisfy { $0 >= 1 })
        #expect(shares == shares.sorted(by: >))
    }

    @Test("even weights are drawn in turn")
    func even() {
        var draw = WeightedDraw([1, 1, 1], seed: 9)
        #expect((0..<7).map { _ in draw.draw() } == [0, 1, 2, 0, 1, 2, 0])
    }

    @Test("uneven weights are drawn as often as they weigh")
    func uneven() {
        let weights = Zipf.weights(count: 20, exponent: 1.2)
        var draw = WeightedDraw(weights, seed: 1)
        var counts = weights.map { _ in 0.0 }
        let total = 200_000
        for _ in 0..<total { counts[draw.draw()] += 1 }
        for (count, weight) in zip(counts, weights) {
            #expect(abs(count / Double(total) - weight) < 0.01)
        }
        #expect(counts.allSatisfy { $0 > 0 })
    }

    @Test("each group's load lies on the node that leads it, all of it")
    func plan() {
        let settings = WritesSettings(
            groups: 10, inFlight: 0, rate: 1_000, skew: 1, payloadSizeBytes: 16)
        let plan = WritesPlan(settings, nodeCount: 3)
        let workloads = (0..<3).map(plan.workload)
        #expect(Set(workloads.flatMap(\.groups)) == Set(plan.names))
        #expect(workloads.flatMap(\.groups).count == 10)
        let offers = workloads.compactMap(\.offer)
        #expect(abs(offers.reduce(0) { $0 + $1.perSecond } - 1_000) < 1e-6)
        #expect(offers[0].perSecond > offers[1].perSecond)
        for (workload, offer) in zip(workloads, offers) {
            #expect(offer.weights.count == workload.groups.count)
        }
    }

    @Test("the parts of a load on several loops are the whole")
    func parts() {
        var load = Workload(groups: ["a", "b", "c"], inFlight: 1, payloadSizeBytes: 16)
        load.inFlight = [1, 2, 3]
        load.offer = .init(perSecond: 600, weights: [1, 2, 3])
        load.reads = .init(level: .local, minimumCounts: [4, 5, 6])
        let parts = [load.part([0, 2]), load.part([1])]
        #expect(parts.map(\.groups) == [["a", "c"], ["b"]])
        #expect(parts.map(\.inFlight) == [[1, 3], [2]])
        #expect(parts.map { $0.offer?.weights } == [[1, 3], [2]])
        #expect(parts.map { $0.offer?.perSecond } == [400, 200])
        #expect(parts.map { $0.reads?.minimumCounts } == [[4, 6], [5]])
    }

    @Test("a closed loop has as many in flight as it was told")
    func closed() {
        let plan = WritesPlan(
            WritesSettings(groups: 7, inFlight: 5, payloadSizeBytes: 16, leaders: .one),
            nodeCount: 3)
        #expect(plan.workload(0).inFlight == [5, 5, 5, 5, 5, 5, 5])
        #expect(plan.workload(1).groups.isEmpty)
        #expect(plan.workload(0).offer == nil)
    }
}
