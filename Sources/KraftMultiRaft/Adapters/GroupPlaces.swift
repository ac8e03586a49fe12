import Synchronization

/// Which adapter of this node each group is on, so that a name is on one of them only. A node without
/// dedicated adapters has none of this.
///
/// Written on the loops: each adapter claims and releases names as its engine has them.
final class GroupPlaces: Sendable {
    private struct Names {
        /// Who has which name.
        var owners: [GroupName: Int] = [:]
        /// Whose engines hold a replica of a name that isn't theirs. Without an owner they are several,
        /// and nobody has said yet which counts.
        var strays: [GroupName: [Int]] = [:]

        /// Whether it is the owner's now; else it is a stray.
        mutating func hold(_ name: GroupName, _ place: Int) -> Bool {
            if owners[name] == nil, strays[name] == nil { owners[name] = place }
            guard owners[name] != place else { return true }
            addStray(name, place)
            return false
        }

        mutating func addStray(_ name: GroupName, _ place: Int) {
            if strays[name]?.contains(place) != true { strays[name, default: []].append(place) }
        }
    }

    /// By place; nil is the shared adapter.
    private let adapters: [String?]
    private let names = Mutex(Names())

    var count: Int { adapters.count }

    init(_ adapters: [String?]) { self.adapters = adapters }

    /// Who has a name; nil if nobody does. Throws `conflict` while several might.
    func find(_ name: GroupName) throws(KraftError) -> Int? {
        let (owner, strays) = names.withLock { ($0.owners[name], $0.strays[name]) }
        guard owner == nil, let strays else { return owner }
        throw conflict(name, on: strays, ": createGroup says which of them it is")
    }

    /// Takes a name for `createGroup`, or keeps it. Throws `conflict` when it is on another adapter.
    func claim(_ name: GroupName, at place: Int) throws(KraftError) {
        let others = names.withLock { names -> [Int] in
            if let owner = names.owners[name] { return owner == place ? [] : [owner] }
            if var strays = names.strays[name] {
                guard let own = strays.firstIndex(of: place) else { return strays }
                strays.remove(at: own)
                names.strays[name] = strays
            }
            names.owners[name] = place
            return []
        }
        guard others.isEmpty else { throw conflict(name, on: others) }
    }

    /// Takes a name that an engine has on its own, unless it is another's: then it is a stray there.
    func holds(_ name: GroupName, at place: Int) -> Bool {
        names.withLock { $0.hold(name, place) }
    }

    /// As `holds`, for a name from the disk. If another adapter has it too, neither counts more: it is
    /// nobody's until `createGroup` says whose.
    func recovered(_ name: GroupName, at place: Int) -> Bool {
        names.withLock { names in
            guard !names.hold(name, place) else { return true }
            if let owner = names.owners.removeValue(forKey: name) { names.addStray(name, owner) }
            return false
        }
    }

    /// Lets a name go. If one other adapter holds a replica of it, it is that one's from now on.
    func release(_ name: GroupName, from place: Int) {
        names.withLock { names in
            if names.owners[name] == place { names.owners[name] = nil }
            guard var strays = names.strays[name] else { return }
            strays.removeAll { $0 == place }
            if names.owners[name] == nil, strays.count == 1 {
                names.owners[name] = strays.removeLast()
            }
            names.strays[name] = strays.isEmpty ? nil : strays
        }
    }

    private func conflict(
        _ name: GroupName, on places: [Int], _ advice: String = ""
    ) -> KraftError {
        let words = places.sorted().map { place in
            adapters[place].map { "adapter \($0)" } ?? "the shared adapter"
        }
        return KraftError(
            .conflict, "group \(name) is on \(words.joined(separator: " and ")) here\(advice)",
            group: name)
    }
}

extension NodeDriver {
    func claim(_ name: GroupName) throws(KraftError) {
        try places?.claim(name, at: place)
    }

    /// Whether a group into which this node was invited is this adapter's. A leader may have invited it
    /// although the name was in use: then this replica votes and stores, but isn't to be opened.
    func keeps(_ name: GroupName) -> Bool {
        guard let places, !places.holds(name, at: place) else { return true }
        reportStray(name)
        return false
    }

    /// The names of the groups that came from the disk.
    func claimRecovered() {
        guard let places else { return }
        for slot in engine.slots {
            let name = engine.status(of: slot).name
            if !places.recovered(name, at: place) { reportStray(name) }
        }
    }

    private func reportStray(_ name: GroupName) {
        logger.error(
            "a group of this name is on another adapter too", metadata: ["group": "\(name)"])
    }

    /// Lets a name go that this adapter's engine doesn't have, or not any more.
    func releaseIfGone(_ name: GroupName) {
        if let places, engine.slot(of: name) == nil { places.release(name, from: place) }
    }
}
