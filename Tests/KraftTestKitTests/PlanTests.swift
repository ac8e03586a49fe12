import RaftCore
import Testing

@testable import KraftTestKit

@Suite("Plans, and how they are cut down")
struct PlanTests {
    @Test("Three seeds of four are clusters of five nodes and sixteen groups")
    func shapes() {
        let plans = (1...400).map { Plan.drawn(from: UInt64($0)) }
        #expect(plans.count { $0.nodes == 5 && $0.groups == 16 } >= 300)
        #expect(plans.contains { $0.nodes == 1 } && plans.contains { $0.nodes == 7 })
        #expect(plans.contains { $0.groups >= 100 })
    }

    @Test("A seed means the same plan each time, another seed another")
    func drawing() {
        #expect("\(Plan.drawn(from: 5))" == "\(Plan.drawn(from: 5))")
        #expect("\(Plan.drawn(from: 5))" != "\(Plan.drawn(from: 6))")
    }

    @Test("A plan with cuts is text that means the same plan")
    func text() throws {
        let plan = Plan.drawn(from: 7)
        let numbers = plan.faults.prefix(2).map { String($0.number) }.joined(separator: ",")
        let text = "7 faults=\(numbers) clients=1 groups=2 ms=1500 network=calm limits=plain"
        let cut = try #require(Plan(text: text))
        #expect(cut.text == text)
        #expect(cut.faults == Array(plan.faults.prefix(2)))
        #expect(cut.load.clients == 1 && cut.groups == 2)
        #expect(cut.duration == .milliseconds(1_500))
        #expect(cut.options.network.spikePermille == 0)
        #expect(try #require(Plan(text: "7")).faults == plan.faults)
        #expect(try #require(Plan(text: "7 faults=none")).faults.isEmpty)
    }

    @Test(
        "What isn't a plan is refused",
        arguments: ["", "x", "7 clients", "7 clients=x", "7 nodes=99", "7 faults=1,x", "7 wind=3"])
    func malformed(text: String) {
        #expect(Plan(text: text) == nil)
    }

    @Test("A cut replaces an earlier one of its kind")
    func replaced() throws {
        let once = try #require(Plan.drawn(from: 7).cut(PlanCut(.clients, "4")))
        let twice = try #require(once.cut(PlanCut(.clients, "1")))
        #expect(twice.text == "7 clients=1")
    }

    /// Fails as long as two certain faults are there, and at least two groups.
    private func judge(_ plan: Plan, _ guilty: Set<Int>) -> Violation? {
        let numbers = Set(plan.faults.map(\.number))
        guard guilty.isSubset(of: numbers), plan.groups >= 2 else { return nil }
        return Violation(invariant: .durability, message: "", time: 1_000_000_000)
    }

    @Test("Of many faults only the guilty ones are left, and of the rest nothing")
    func minimized() throws {
        let seed = try #require((1...200).first { Plan.drawn(from: $0).faults.count > 60 })
        let plan = Plan.drawn(from: seed)
        let guilty: Set<Int> = [17, 43]
        var minimizer = Minimizer { judge($0, guilty) }
        let found = minimizer.minimize(plan)
        let least = try #require(found)
        #expect(Set(least.plan.faults.map(\.number)) == guilty)
        #expect(least.plan.load.clients == 1)
        #expect((2...3).contains(least.plan.groups))
        #expect(least.plan.cuts.contains(PlanCut(.network, "calm")))
        #expect(Plan(text: least.plan.text)?.text == least.plan.text)
        #expect(minimizer.runs < 200)
    }

    @Test("A plan that breaks another invariant isn't the same failure")
    func sameInvariant() {
        let plan = Plan.drawn(from: 1)
        var minimizer = Minimizer { candidate in
            Violation(
                invariant: candidate.cuts.isEmpty ? .durability : .liveness, message: "", time: 0)
        }
        let found = minimizer.minimize(plan)
        #expect(found?.plan.text == "1")
        var sound = Minimizer { _ in nil }
        let nothing = sound.minimize(plan)
        #expect(nothing == nil)
    }

    @Test("A summary goes from one process to another as numbers")
    func summary() throws {
        var summary = SwarmSummary()
        summary.add(SwarmRun(try #require(Plan(text: "2 faults=none ms=100"))).run())
        let copy = try #require(SwarmSummary(numbers: summary.numbers))
        #expect(copy.lines == summary.lines)
        #expect(copy.headline(cpuSeconds: 1) == summary.headline(cpuSeconds: 1))
        #expect(SwarmSummary(numbers: [1, 2]) == nil)
    }
}
