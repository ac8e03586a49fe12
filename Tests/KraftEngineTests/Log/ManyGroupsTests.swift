import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine
@testable import KraftTestKit

/// One node with 1,000 groups, of which a few are written to at a time.
private final class ManyGroups {
    /// How the load is spread.
    struct Mix {
        /// Groups that are written to at a time, and after how many writes others are.
        var hot: Int
        var writesUntilOthers = Int.max
        /// What an idle group wrote once, and how often.
        var idlePadding: ClosedRange<Int>
        var idleWrites: ClosedRange<Int>
        var padding: Int
        /// How quick the disk is: a write takes it three steps, a snapshot about seven.
        var stepsPerWrite = 12
    }

    static let count = 1_000
    static let configuration: EngineConfiguration = {
        var configuration = CrashableCluster.configuration
        configuration.log.segmentSizeBytes = 128 << 10
        configuration.log.budgetSizeBytes = 16 * (128 << 10)
        configuration.log.cacheSizeBytes = 128 << 10
        configuration.snapshots.entryLimit = 200
        return configuration
    }()

    let life: CrashableCluster
    private let names: [GroupName]
    private let mix: Mix
    private var dice: SeededRandom
    private(set) var mostBytes = 0

    init(_ mix: Mix, seed: UInt64) throws {
        self.mix = mix
        dice = SeededRandom(seed: seed)
        names = (0..<ManyGroups.count).compactMap { GroupName("group-\($0)") }
        life = try CrashableCluster(
            seed: seed, nodes: 1, configuration: ManyGroups.configuration)
        try life.create(names.map(\.string), on: [1])
        let isLed = try life.run(atMost: 20_000) {
            names.allSatisfy { life.leader(of: $0) != nil }
        }
        #expect(isLed)
        for name in names {
            for _ in 0..<dice.number(in: mix.idleWrites) { try write(name, mix.idlePadding) }
        }
    }

    private func write(_ name: GroupName, _ padding: ClosedRange<Int>) throws {
        try life.propose(name, on: 0, padding: dice.number(in: padding))
        try life.advance(dice.below(mix.stepsPerWrite))
        let bytes = life.nodes[0].disk.segments.reduce(0) { $0 + $1.cached.count }
        mostBytes = max(mostBytes, bytes)
    }

    func load(writes: Int) throws {
        var first = 0
        for number in 1...writes {
            if number % mix.writesUntilOthers == 0 { first = dice.below(names.count) }
            let name = names[(first + dice.below(mix.hot)) % names.count]
            try write(name, mix.padding / 2...mix.padding)
        }
        try life.settle()
    }
}

@Suite("1,000 groups on one log")
struct ManyGroupsTests {
    @Test(
        "The log stays under twice its budget, whatever the mix of hot and idle", arguments: 0..<6)
    func bound(kind: Int) throws {
        let mixes: [ManyGroups.Mix] = [
            // All but a few are idle: they wrote next to nothing, a little, or more than the budget.
            .init(hot: 5, idlePadding: 0...50, idleWrites: 1...1, padding: 1_500),
            .init(hot: 20, idlePadding: 100...600, idleWrites: 0...4, padding: 1_000),
            .init(
                hot: 3, idlePadding: 3_000...4_000, idleWrites: 1...2, padding: 3_000,
                stepsPerWrite: 24),
            // Those that are hot change, slowly and quickly.
            .init(
                hot: 10, writesUntilOthers: 500, idlePadding: 0...200, idleWrites: 0...2,
                padding: 2_000),
            .init(
                hot: 50, writesUntilOthers: 60, idlePadding: 0...200, idleWrites: 0...2,
                padding: 2_000),
            // All are written to.
            .init(hot: 1_000, idlePadding: 0...10, idleWrites: 0...0, padding: 1_500),
        ]
        let many = try ManyGroups(mixes[kind], seed: UInt64(kind) + 1)
        let proof = CrashProof(seed: UInt64(kind + 1) << 24)
        var steps = 0
        many.life.onStep = { [unowned many] step in
            steps += 1
            if steps % 701 == 0 { try proof.crash(many.life, at: step) }
        }
        try many.load(writes: 6_000)
        many.life.onStep = nil
        let budget = ManyGroups.configuration.log.budgetSizeBytes
        let rare = many.life.nodes[0].engine.rare
        #expect(many.mostBytes < 2 * budget)
        #expect(rare.segmentsReleased > 30)
        #expect(rare.checkpointsRewritten > 500)
        #expect(proof.points > 5)
        try CrashProof.expectLife(of: many.life)
    }
}
