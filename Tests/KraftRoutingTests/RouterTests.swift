import KraftRouting
import Testing

@Suite("Routers of every kind")
struct RouterTests {
    private struct ByLength: KeyRouting {
        func group(forKey key: UnsafeRawBufferPointer) -> GroupName { name("length-\(key.count)") }
    }

    private func everyKind() throws -> [Router] {
        let groups = names(5)
        return [
            try Router.hash(groups: groups),
            try Router.consistentHash(groups: groups.map { RingGroup($0) }),
            try Router.range(evenRanges(among: groups)),
            try Router.prefix(groups.map { PrefixRule("\($0)", group: $0) }, default: groups[0]),
            try Router.custom(groups: groups) { key in groups[key.count % groups.count] },
        ]
    }

    @Test("Kinds have the names of the command line")
    func kinds() throws {
        #expect(
            try everyKind().map(\.kind.rawValue) == [
                "hash", "consistent-hash", "range", "prefix", "custom",
            ])
    }

    @Test("All forms of a key give the same route")
    func formsOfKeys() throws {
        for router in try everyKind() {
            for key in ["", "k", "group-3/key", "ключ", String(repeating: "long ", count: 100)] {
                let bytes = Array(key.utf8)
                let route = router.route(bytes)
                #expect(router.route(key) == route)
                #expect(router.route(bytes.span) == route)
                #expect(bytes.withUnsafeBytes { router.route($0) } == route)
                let index = try #require(bytes.withUnsafeBytes { router.ownerIndex($0) })
                #expect(router.owners[index].group == route.group)
            }
        }
    }

    @Test("An epoch belongs to one group: raising it shows in that group's routes alone")
    func epochsArePerGroup() throws {
        for router in try everyKind() {
            let raised = name("group-2")
            let next = try router.settingEpochs([Router.Owner(group: raised, epoch: Epoch(7))])
            #expect(next.version == router.version.next)
            #expect(router.version == .first)
            for key in numberedKeys(200) {
                let route = next.route(key)
                #expect(route.group == router.route(key).group)
                #expect(route.epoch == (route.group == raised ? Epoch(7) : .first))
            }
        }
    }

    @Test("Epochs only rise, and only those of known groups")
    func epochRefusals() throws {
        for router in try everyKind() {
            func refusal(_ owner: Router.Owner) -> RoutingError.Code? {
                code { () throws(RoutingError) in try router.settingEpochs([owner]) }
            }
            let group = name("group-1")
            #expect(refusal(Router.Owner(group: group, epoch: Epoch(0))) == .outOfBounds)
            #expect(refusal(Router.Owner(group: group, epoch: Epoch(.max))) == .outOfBounds)
            let unknown = Router.Owner(group: name("unknown"), epoch: Epoch(2))
            #expect(refusal(unknown) == (router.kind == .custom ? nil : .unknownGroup))
        }
    }

    @Test("A custom type names groups that nobody listed; they are at the first epoch until set")
    func customType() throws {
        let router = try Router.custom(ByLength())
        #expect(router.route("abc") == Route(group: name("length-3"), epoch: .first))
        #expect([1, 2, 3].withUnsafeBytes { router.ownerIndex($0) } == nil)
        let next = try router.settingEpochs([
            Router.Owner(group: name("length-3"), epoch: Epoch(4)),
            Router.Owner(group: name("length-2"), epoch: Epoch(2)),
        ])
        #expect(next.route("abc").epoch == Epoch(4))
        #expect(next.route("ab").epoch == Epoch(2))
        #expect(next.route("a").epoch == .first)
        #expect(next.shares.map(\.group) == [name("length-2"), name("length-3")])
    }

    @Test("A custom router refuses a group listed twice")
    func customRefusals() {
        #expect(
            code { () throws(RoutingError) in
                try Router.custom(ByLength(), groups: [name("a"), name("a")])
            } == .duplicate)
    }
}
