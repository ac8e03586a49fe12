import Synchronization

/// The groups that are open on this node, for callers on any thread; written on the loop.
final class GroupRegistry: Sendable {
    struct Entry: Sendable {
        var name: GroupName
        var id: GroupID
        var slot: GroupSlot
        var box: MachineBox
    }

    private struct State {
        var byName: [GroupName: Entry] = [:]
        var names: [GroupID: GroupName] = [:]
    }

    private let state = Mutex(State())

    func insert(_ entry: Entry) {
        state.withLock { state in
            state.byName[entry.name] = entry
            state.names[entry.id] = entry.name
        }
    }

    func remove(_ name: GroupName) {
        state.withLock { state in
            guard let entry = state.byName.removeValue(forKey: name) else { return }
            state.names.removeValue(forKey: entry.id)
        }
    }

    func removeAll() { state.withLock { $0 = State() } }

    func find(_ name: GroupName) -> Entry? { state.withLock { $0.byName[name] } }

    func find(_ id: GroupID) -> Entry? {
        state.withLock { state in state.names[id].flatMap { state.byName[$0] } }
    }
}
