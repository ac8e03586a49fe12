import KraftMultiRaft
import Testing

@testable import kraft_node

@Suite("The routing that a cluster starts with")
struct BootstrapRoutingTests {
    @Test("gives every key one of the groups", arguments: [1, 2, 7, 8, 64, 2_000])
    func allKinds(count: Int) throws {
        for kind in [Router.Kind.hash, .consistentHash, .range, .prefix] {
            let routing = BootstrapRouting(kind: kind, groupCount: count)
            let router = try routing.router()
            #expect(router.kind == kind)
            for number in 0..<200 {
                #expect(routing.groups.contains(router.route("key \(number)").group))
            }
        }
    }

    @Test("cuts ranges at even borders of 0-9 a-z")
    func rangeBorders() throws {
        let router = try BootstrapRouting(kind: .range, groupCount: 8).router()
        let borders = ["4i", "9", "di", "i", "mi", "r", "vi"]
        for (number, border) in borders.enumerated() {
            #expect(router.route(border).group.string == "kv-\(number + 1)")
        }
        #expect(router.route("").group.string == "kv-0")
        #expect(router.route("4h~").group.string == "kv-0")
        #expect(router.route("zzz").group.string == "kv-7")
        #expect(router.route([0xFF, 0xFF]).group.string == "kv-7")
    }

    @Test("gives prefixes their groups, and the rest to the first one")
    func prefixes() throws {
        let router = try BootstrapRouting(kind: .prefix, groupCount: 12).router()
        #expect(router.route("kv-3/x").group.string == "kv-3")
        #expect(router.route("kv-11/x").group.string == "kv-11")
        #expect(router.route("kv-1/x").group.string == "kv-1")
        #expect(router.route("kv-0/x").group.string == "kv-0")
        #expect(router.route("else").group.string == "kv-0")
    }

}
