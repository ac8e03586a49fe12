import Testing

@testable import KraftMultiRaft

/// Who is found under which name and id, as slots and names pass from one group to another.
struct GroupRegistryTests {
    private let registry = GroupRegistry()

    @Test func `a slot that passes to another name is the other's alone`() throws {
        let first = try entry("first", 1, slot: 3)
        let second = try entry("second", 2, slot: 3)
        registry.insert(first)
        registry.insert(second)
        expect(gone: first)
        expect(found: second)
        registry.remove(first.name)
        expect(found: second)
    }

    @Test func `a name that comes back in another slot is found there, by its new id`() throws {
        let old = try entry("name", 1, slot: 0)
        let new = try entry("name", 2, slot: 5)
        registry.insert(old)
        registry.insert(try entry("other", 9, slot: 1))
        registry.insert(new)
        #expect(registry.find(old.id) == nil)
        expect(found: new)
        // What the name left behind may be taken by another group, and by itself again.
        let heir = try entry("heir", 3, slot: 0)
        registry.insert(heir)
        expect(found: heir)
        expect(found: new)
        let back = try entry("name", 4, slot: 0)
        registry.insert(back)
        expect(found: back)
        expect(gone: heir)
        #expect(registry.find(new.id) == nil)
    }

    @Test func `it finds what a plain list finds, whatever comes and goes`() throws {
        var naive: [GroupRegistry.Entry] = []
        var state: UInt64 = 1
        func random(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        for id in 1...2_000 as ClosedRange<UInt64> {
            let entry = try entry("n\(random(60))", id, slot: Int(random(40)))
            naive.removeAll { $0.name == entry.name }
            if random(4) == 0 {
                registry.remove(entry.name)
            } else {
                naive.removeAll { $0.slot == entry.slot }
                naive.append(entry)
                registry.insert(entry)
            }
            guard id % 20 == 0 else { continue }
            for known in naive { expect(found: known) }
            for id in 1...id where !naive.contains(where: { $0.id == GroupID(id) }) {
                #expect(registry.find(GroupID(id)) == nil)
            }
        }
        registry.removeAll()
        for known in naive { expect(gone: known) }
    }

    private func entry(_ name: String, _ id: UInt64, slot: Int) throws -> GroupRegistry.Entry {
        .init(
            name: try #require(GroupName(name)), id: GroupID(id),
            slot: GroupSlot(rawValue: slot), box: MachineBox())
    }

    private func expect(found entry: GroupRegistry.Entry) {
        for found in [registry.find(entry.name), registry.find(entry.id)] {
            #expect(found?.name == entry.name && found?.id == entry.id)
            #expect(found?.slot == entry.slot && found?.box === entry.box)
        }
    }

    private func expect(gone entry: GroupRegistry.Entry) {
        #expect(registry.find(entry.name) == nil)
        #expect(registry.find(entry.id) == nil)
    }
}
