import Testing

@testable import KraftRouting

@Suite("Hash router")
struct HashRouterTests {
    @Test("A key's group is groups[xxHash64(key) mod groups]", arguments: [1, 2, 3, 16, 65, 5000])
    func slotsAreGroups(count: Int) throws {
        let groups = names(count)
        let router = try Router.hash(groups: groups)
        var random = SplitMix64(seed: UInt64(count))
        for _ in 0..<5000 {
            let key = random.key(upTo: 20)
            let slot = Int(key.withUnsafeBytes { keyHash($0) } % UInt64(count))
            #expect(router.route(key) == Route(group: groups[slot], epoch: .first))
        }
    }

    @Test("More slots than groups are dealt out in even blocks, in the order of the groups")
    func blocksOfSlots() throws {
        var random = SplitMix64(seed: 2)
        for _ in 0..<50 {
            let groups = names(Int.random(in: 1...40, using: &random))
            let slots = groups.count + Int.random(in: 0...200, using: &random)
            let router = try Router.hash(groups: groups, slots: slots)
            // Slot s belongs to group floor(s * n / slots), which is the same blocks said otherwise.
            for _ in 0..<200 {
                let key = random.key(upTo: 20)
                let slot = Int(key.withUnsafeBytes { keyHash($0) } % UInt64(slots))
                #expect(router.route(key).group == groups[slot * groups.count / slots])
            }
        }
    }

    @Test("The order of the groups decides, not their names")
    func orderMatters() throws {
        let forwards = try Router.hash(groups: names(7))
        let backwards = try Router.hash(groups: names(7).reversed())
        for key in numberedKeys(1000) {
            let slot = Int(key.withUnsafeBytes { keyHash($0) } % 7)
            #expect(forwards.route(key).group == name("group-\(slot)"))
            #expect(backwards.route(key).group == name("group-\(6 - slot)"))
        }
    }

    @Test("Shares are the fractions of the slots and sum to one")
    func shares() throws {
        let shares = try Router.hash(groups: names(3), slots: 4).shares
        #expect(shares.map(\.extent) == [.fraction(0.5), .fraction(0.25), .fraction(0.25)])
    }

    @Test("Bad input is refused with its own code")
    func refusals() {
        #expect(code { () throws(RoutingError) in try Router.hash(groups: []) } == .noGroup)
        #expect(
            code { () throws(RoutingError) in try Router.hash(groups: [name("a"), name("a")]) }
                == .duplicate)
        for slots in [-1, 0, 2, RoutingLimits.intervals + 1, Int.max] {
            #expect(
                code { () throws(RoutingError) in try Router.hash(groups: names(3), slots: slots) }
                    == .outOfBounds)
        }
        #expect(
            code { () throws(RoutingError) in
                try Router.hash(groups: names(3), version: Epoch(.max))
            } == .outOfBounds)
    }
}
