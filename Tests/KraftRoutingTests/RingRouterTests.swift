import Testing

@testable import KraftRouting

@Suite("Consistent-hash router")
struct RingRouterTests {
    /// The documented formula, by linear scan: the last point at or before the key, else the last.
    private func naive(_ groups: [RingGroup], _ virtualNodes: Int) -> ([UInt8]) -> GroupName {
        var points: [(position: UInt64, group: GroupName)] = []
        for group in groups {
            for seed in 1...(group.weight * virtualNodes) {
                let position = Array(group.name.string.utf8).withUnsafeBytes {
                    keyHash($0, seed: UInt64(seed))
                }
                points.append((position, group.name))
            }
        }
        return { key in
            let position = key.withUnsafeBytes { keyHash($0) }
            let before = points.filter { $0.position <= position }
            return (before.isEmpty ? points : before).max { $0.position < $1.position }!.group
        }
    }

    @Test("Every key lies where a linear scan of the documented points finds it")
    func againstLinearScan() throws {
        var random = SplitMix64(seed: 3)
        for _ in 0..<40 {
            let groups = names(Int.random(in: 1...12, using: &random)).map {
                RingGroup($0, weight: Int.random(in: 1...3, using: &random))
            }
            let virtualNodes = Int.random(in: 1...20, using: &random)
            let router = try Router.consistentHash(groups: groups, virtualNodes: virtualNodes)
            let expected = naive(groups, virtualNodes)
            for _ in 0..<100 {
                let key = random.key(upTo: 20)
                #expect(router.route(key).group == expected(key))
            }
        }
    }

    @Test("A position on a border belongs to the point that lies there")
    func borders() throws {
        let router = try Router.consistentHash(groups: names(5).map { RingGroup($0) })
        let table = router.table
        for index in 1..<table.count {
            #expect(table.owner(ofWord: table.starts[index]) == table.owners[index])
            #expect(table.owner(ofWord: table.starts[index] - 1) == table.owners[index - 1])
        }
        #expect(table.owner(ofWord: 0) == table.owners[0])
        #expect(table.owner(ofWord: .max) == table.owners[table.count - 1])
        #expect(table.owners[0] == table.owners[table.count - 1], "the ring is closed")
    }

    @Test("The order of the groups doesn't matter")
    func orderIsIrrelevant() throws {
        var random = SplitMix64(seed: 4)
        let groups = names(30).enumerated().map { RingGroup($1, weight: 1 + $0 % 3) }
        let table = try Router.consistentHash(groups: groups).table
        for _ in 0..<5 {
            let shuffled = groups.shuffled(using: &random)
            #expect(try Router.consistentHash(groups: shuffled).table == table)
        }
    }

    @Test("Adding and removing groups gives the table that building it anew would give")
    func changesAreExact() throws {
        var random = SplitMix64(seed: 5)
        var groups = names(4).map { RingGroup($0) }
        var router = try Router.consistentHash(groups: groups, virtualNodes: 20)
        for step in 0..<60 {
            let version = router.version
            if groups.count == 1 || Bool.random(using: &random) {
                let group = RingGroup(
                    name("new-\(step)"), weight: Int.random(in: 1...3, using: &random))
                groups.append(group)
                router = try router.adding(group)
            } else {
                let index = groups.indices.randomElement(using: &random)!
                router = try router.removing(groups.remove(at: index).name)
            }
            let anew = try Router.consistentHash(groups: groups, virtualNodes: 20)
            #expect(router.table == anew.table)
            #expect(router.owners.map(\.group) == anew.owners.map(\.group))
            #expect(router.version == version.next)
        }
    }

    @Test(
        "A change raises the epochs of the groups whose part of the ring changed, no others'",
        arguments: ["a-first-by-name", "group-23-between", "newcomer"].map(name))
    func epochsFollowBorders(newcomer: GroupName) throws {
        let groups = names(40).map { RingGroup($0) }
        // One point each: a new point takes from exactly one group.
        let before = try Router.consistentHash(groups: groups, virtualNodes: 1)
        let after = try before.adding(RingGroup(newcomer))
        let raised = after.owners.filter { $0.epoch > .first }
        #expect(raised.count == 1)
        #expect(after.epoch(of: newcomer) == .first)
        #expect(before.owners.allSatisfy { $0.epoch == .first }, "the old value stays as it was")

        let back = try after.removing(newcomer)
        #expect(back.table == before.table)
        #expect(back.owners.filter { $0.epoch > .first }.map(\.group) == raised.map(\.group))
        #expect(back.epoch(of: raised[0].group) == Epoch(3))
        #expect(back.epoch(of: newcomer) == nil)
    }

    @Test("Who gained or lost positions is found as by comparing every position")
    func changedOwners() throws {
        var random = SplitMix64(seed: 6)
        for _ in 0..<300 {
            func table() throws -> IntervalTable {
                var table = IntervalTable()
                for start in UInt64(0)..<24 where start == 0 || Bool.random(using: &random) {
                    try table.append(
                        start: start, owner: UInt32.random(in: 0..<4, using: &random))
                }
                return table
            }
            let (old, new) = (try table(), try table())
            var expected = [Bool](repeating: false, count: 4)
            for position in UInt64(0)..<30 {
                let (then, now) = (old.owner(ofWord: position), new.owner(ofWord: position))
                if then != now {
                    expected[Int(then)] = true
                    expected[Int(now)] = true
                }
            }
            #expect(new.changedOwners(since: old, ownerCount: 4) { $0 } == expected)
        }
    }

    @Test("Weights give groups their multiple of the ring")
    func weights() throws {
        let router = try Router.consistentHash(
            groups: (1...4).map { RingGroup(name("w\($0)"), weight: $0) }, virtualNodes: 1000)
        for (index, share) in router.shares.enumerated() {
            guard case .fraction(let fraction) = share.extent else { throw UnexpectedExtent() }
            #expect(abs(fraction / (Double(index + 1) / 10) - 1) < 0.1)
        }
    }

    private struct UnexpectedExtent: Error {}

    @Test("One group owns the whole ring, in one interval")
    func singleGroup() throws {
        let router = try Router.consistentHash(groups: [RingGroup(name("only"))])
        #expect(router.intervalCount == 1)
        #expect(router.shares.map(\.extent) == [.fraction(1)])
        #expect(router.route("").group == name("only"))
    }

    @Test("5,000 groups: every one has a part, the parts sum to the ring")
    func manyGroups() throws {
        let router = try Router.consistentHash(groups: names(5000).map { RingGroup($0) })
        var sum = 0.0
        for share in router.shares {
            guard case .fraction(let fraction) = share.extent else { throw UnexpectedExtent() }
            #expect(fraction > 0)
            sum += fraction
        }
        #expect(abs(sum - 1) < 1e-9)
        #expect(router.intervalCount > 740_000)
    }

    @Test("Bad input is refused with its own code")
    func refusals() throws {
        let a = RingGroup(name("a"))
        #expect(
            code { () throws(RoutingError) in try Router.consistentHash(groups: []) } == .noGroup)
        #expect(
            code { () throws(RoutingError) in try Router.consistentHash(groups: [a, a]) }
                == .duplicate)
        for (weight, virtualNodes) in [(0, 1), (-1, 1), (1, 0), (1, -1), (.max, 1), (1, .max)] {
            #expect(
                code { () throws(RoutingError) in
                    try Router.consistentHash(
                        groups: [RingGroup(name("a"), weight: weight)], virtualNodes: virtualNodes)
                } == .outOfBounds)
        }
        // 2^16 * 2^16 points, each number within its own bound.
        #expect(
            code { () throws(RoutingError) in
                try Router.consistentHash(
                    groups: [RingGroup(name("a"), weight: 65536)], virtualNodes: 65536)
            } == .outOfBounds)

        let ring = try Router.consistentHash(groups: [a])
        let hash = try Router.hash(groups: [a.name])
        #expect(code { () throws(RoutingError) in try ring.adding(a) } == .duplicate)
        #expect(code { () throws(RoutingError) in try ring.removing(a.name) } == .noGroup)
        #expect(code { () throws(RoutingError) in try ring.removing(name("b")) } == .unknownGroup)
        #expect(code { () throws(RoutingError) in try hash.adding(a) } == .wrongKind)
        #expect(code { () throws(RoutingError) in try hash.removing(a.name) } == .wrongKind)
    }
}
