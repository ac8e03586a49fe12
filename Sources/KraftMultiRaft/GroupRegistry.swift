import KraftEngine
import Synchronization

/// The groups that are open on this node, for callers on any thread; written on the loop.
final class GroupRegistry: Sendable {
    struct Entry: Sendable {
        var name: GroupName
        var id: GroupID
        var slot: GroupSlot
        var box: MachineBox
    }

    /// An entry where it lies: at its slot.
    private struct Item: Sendable {
        var name: GroupName
        var id: GroupID
        var box: MachineBox
    }

    private struct State {
        var items: [Item?] = []
        var byName = SlotTable()
        var byID = SlotTable()

        func slot(_ name: GroupName) -> Int? {
            byName.slot(hash: name.hashValue) { items[$0]?.name == name }
        }

        func slot(_ id: GroupID) -> Int? {
            byID.slot(hash: id.hashValue) { items[$0]?.id == id }
        }

        func item(at slot: Int) -> Item? { slot < items.count ? items[slot] : nil }

        func entry(_ slot: Int?) -> Entry? {
            guard let slot, let item = item(at: slot) else { return nil }
            return Entry(
                name: item.name, id: item.id, slot: GroupSlot(rawValue: slot), box: item.box)
        }

        mutating func insert(_ entry: Entry) {
            let slot = entry.slot.rawValue
            while items.count <= slot { items.append(nil) }
            items[slot] = Item(name: entry.name, id: entry.id, box: entry.box)
            let items = items
            byName.insert(slot, hash: entry.name.hashValue) { items[$0]?.name.hashValue ?? 0 }
            byID.insert(slot, hash: entry.id.hashValue) { items[$0]?.id.hashValue ?? 0 }
        }

        mutating func remove(_ name: GroupName) {
            guard let slot = slot(name), let item = items[slot] else { return }
            byName.remove(slot, hash: item.name.hashValue)
            byID.remove(slot, hash: item.id.hashValue)
            items[slot] = nil
        }
    }

    private let state = Mutex(State())

    func insert(_ entry: Entry) {
        state.withLock { state in
            // What had the name or the slot before is gone.
            state.remove(entry.name)
            if let other = state.item(at: entry.slot.rawValue) { state.remove(other.name) }
            state.insert(entry)
        }
    }

    func remove(_ name: GroupName) { state.withLock { $0.remove(name) } }

    func removeAll() { state.withLock { $0 = State() } }

    func find(_ name: GroupName) -> Entry? { state.withLock { $0.entry($0.slot(name)) } }

    func find(_ id: GroupID) -> Entry? { state.withLock { $0.entry($0.slot(id)) } }
}
