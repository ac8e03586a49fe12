import Synchronization

/// Which adapter of this node each group is on, so that a name is on one of them only. A node without
/// dedicated adapters has none of this.
///
/// Written on the loops: each adapter claims and releases names as its engine has them.
final class GroupPlaces: Sendable {
    /// By place; nil is the shared adapter.
    private let adapters: [String?]
    private let places = Mutex([GroupName: Int]())

    init(_ adapters: [String?]) { self.adapters = adapters }

    func find(_ name: GroupName) -> Int? { places.withLock { $0[name] } }

    /// Takes a name, or keeps it. Throws `conflict` when it is on another adapter.
    func claim(_ name: GroupName, at place: Int) throws(KraftError) {
        let owner = places.withLock { places in
            let owner = places[name] ?? place
            places[name] = owner
            return owner
        }
        guard owner == place else {
            let adapter = adapters[owner].map { "adapter \($0)" } ?? "the shared adapter"
            throw KraftError(.conflict, "group \(name) is on \(adapter) here", group: name)
        }
    }

    func release(_ name: GroupName, from place: Int) {
        places.withLock { places in
            if places[name] == place { places[name] = nil }
        }
    }
}

extension NodeDriver {
    func claim(_ name: GroupName) throws(KraftError) {
        try places?.claim(name, at: place)
    }

    /// Whether a group that the engine has on its own, invited or from the disk, is this adapter's.
    /// A leader may have invited this node although the name was in use: then this replica votes and
    /// stores, but isn't to be opened.
    func keeps(_ name: GroupName) -> Bool {
        do throws(KraftError) {
            try claim(name)
            return true
        } catch {
            logger.error(
                "a group of this name is on another adapter too", metadata: ["group": "\(name)"])
            return false
        }
    }

    /// The names of the groups that came from the disk.
    func claimRecovered() {
        guard places != nil else { return }
        for slot in engine.slots { _ = keeps(engine.status(of: slot).name) }
    }

    /// Lets a name go that this adapter's engine doesn't have, or not any more.
    func releaseIfGone(_ name: GroupName) {
        if let places, engine.slot(of: name) == nil { places.release(name, from: place) }
    }
}
