import Testing

@testable import KraftRouting

@Suite("Prefix router")
struct PrefixRouterTests {
    private let fallback = name("default")

    @Test("The longest prefix wins, as brute force finds it")
    func againstBruteForce() throws {
        var random = SplitMix64(seed: 20)
        let keys = allKeys(upTo: 5, of: [0, 0x61, 0xFE, 0xFF])
        for _ in 0..<150 {
            let groups = names(Int.random(in: 1...5, using: &random)) + [fallback]
            var rules: [PrefixRule] = []
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                let prefix = random.key(upTo: 4, of: [0, 0x61, 0xFE, 0xFF])
                if prefix.isEmpty || rules.contains(where: { $0.prefix == prefix }) { continue }
                rules.append(
                    PrefixRule(prefix: prefix, group: groups.randomElement(using: &random)!))
            }
            let router = try Router.prefix(rules, default: fallback)
            for key in keys {
                let longest = rules.filter { key.starts(with: $0.prefix) }
                    .max { $0.prefix.count < $1.prefix.count }
                #expect(
                    router.route(key).group == longest?.group ?? fallback, "\(key) \(rules)")
            }
        }
    }

    @Test("Long prefixes with a common beginning are told apart")
    func longPrefixes() throws {
        let router = try Router.prefix(
            [
                PrefixRule("tenants/eu/", group: name("eu")),
                PrefixRule("tenants/eu/acme/", group: name("acme")),
                PrefixRule("tenants/", group: name("tenants")),
            ], default: fallback)
        #expect(router.route("tenants/eu/acme/x").group == name("acme"))
        #expect(router.route("tenants/eu/acme").group == name("eu"))
        #expect(router.route("tenants/eu/").group == name("eu"))
        #expect(router.route("tenants/eu").group == name("tenants"))
        #expect(router.route("tenants/zz").group == name("tenants"))
        #expect(router.route("tenants").group == fallback)
        #expect(router.route("tenants0").group == fallback)
        #expect(router.route("").group == fallback)
    }

    @Test("Prefixes that end in 0xFF reach to where they should")
    func tails() throws {
        let ff = name("ff")
        let router = try Router.prefix(
            [
                PrefixRule(prefix: [0xFF], group: ff),
                PrefixRule(prefix: [0x61, 0xFF, 0xFF], group: ff),
                PrefixRule(prefix: [0x61], group: name("a")),
            ], default: fallback)
        #expect(router.route([0xFF]).group == ff)
        #expect(router.route([UInt8](repeating: 0xFF, count: 9000)).group == ff)
        #expect(router.route([0xFE, 0xFF]).group == fallback)
        #expect(router.route([0x61, 0xFF, 0xFE]).group == name("a"))
        #expect(router.route([0x61, 0xFF, 0xFF]).group == ff)
        #expect(router.route([0x61, 0xFF, 0xFF, 0xFF]).group == ff)
        #expect(router.route([0x62]).group == fallback)
    }

    @Test("No prefix at all is the default group alone")
    func onlyDefault() throws {
        let router = try Router.prefix([], default: fallback)
        #expect(router.intervalCount == 1)
        #expect(router.route("anything").group == fallback)
        #expect(router.shares.map(\.extent) == [.prefix([])])
    }

    @Test("A long chain of nested prefixes takes at most two intervals each")
    func deepNesting() throws {
        let groups = names(2000)
        let rules = groups.indices.map {
            PrefixRule(prefix: [UInt8](repeating: 0x61, count: $0 + 1), group: groups[$0])
        }
        let router = try Router.prefix(rules, default: fallback)
        #expect(router.intervalCount == 2 * rules.count + 1)
        for depth in [1, 7, 8, 9, 1999, 2000] {
            let key = [UInt8](repeating: 0x61, count: depth)
            #expect(router.route(key).group == groups[depth - 1])
            #expect(router.route(key + [0x62]).group == groups[depth - 1])
        }
    }

    @Test("5,000 prefixes, each its own group")
    func manyPrefixes() throws {
        let groups = names(5000)
        let rules = groups.map { PrefixRule("\($0)/", group: $0) }
        let router = try Router.prefix(rules, default: fallback)
        for group in groups {
            #expect(router.route("\(group)/key").group == group)
            #expect(router.route("\(group)").group == fallback)
        }
        #expect(router.shares.count == 5001)
    }

    @Test("Bad prefixes are refused with their own code")
    func refusals() {
        func refusal(_ rules: [PrefixRule]) -> RoutingError.Code? {
            code { () throws(RoutingError) in try Router.prefix(rules, default: fallback) }
        }
        let a = PrefixRule("a", group: name("a"))
        #expect(refusal([a, PrefixRule("b", group: name("b")), a]) == .duplicate)
        #expect(refusal([PrefixRule("", group: name("a"))]) == .emptyPrefix)
        let long = [UInt8](repeating: 1, count: RoutingLimits.borderBytes + 1)
        #expect(refusal([PrefixRule(prefix: long, group: name("a"))]) == .outOfBounds)
    }
}
