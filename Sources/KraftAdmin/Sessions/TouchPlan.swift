import KraftMultiRaft

/// Which sessions a node has seen used, and when each is to be touched in all groups: a value.
///
/// A session that is used in one group must live on in the others. After a use it is touched there at
/// the latest a third of its time to live after it was touched last, so that it lives on everywhere
/// for its whole time to live after its last use.
struct TouchPlan {
    typealias Time = ContinuousClock.Instant

    /// Sessions at once: more than a group can have open, so that room is made by those that are over.
    static let limit = 8_192
    /// Of a session that another node has touched so far, nobody knows here when it did so last. It is
    /// touched soon, but not at once: others may come and share the entry.
    static let patience: Duration = .milliseconds(50)

    private struct Entry {
        var ttl: Duration
        var lastUse: Time
        var nextTouch: Time
        /// Used since it was touched last.
        var isUsed: Bool
    }

    private var entries: [SessionID: Entry] = [:]

    var count: Int { entries.count }

    /// A session was opened in all groups.
    mutating func opened(_ token: SessionToken, now: Time) {
        insert(token, now: now, nextTouch: now + token.timeToLive / 3, isUsed: false)
    }

    /// A command of the session was carried out. When it is to be touched; nil when that was known
    /// before.
    mutating func used(_ token: SessionToken, now: Time) -> Time? {
        guard let entry = entries[token.id] else {
            let next = now + TouchPlan.patience
            return insert(token, now: now, nextTouch: next, isUsed: true) ? next : nil
        }
        entries[token.id]?.lastUse = now
        entries[token.id]?.isUsed = true
        return entry.isUsed ? nil : entry.nextTouch
    }

    /// False when there is no room.
    @discardableResult
    private mutating func insert(
        _ token: SessionToken, now: Time, nextTouch: Time, isUsed: Bool
    ) -> Bool {
        if entries.count >= TouchPlan.limit {
            entries = entries.filter { $0.value.lastUse + $0.value.ttl >= now }
        }
        guard entries.count < TouchPlan.limit else { return false }
        entries[token.id] = Entry(
            ttl: token.timeToLive, lastUse: now, nextTouch: nextTouch, isUsed: isUsed)
        return true
    }

    /// When `takeDue` should be called next; nil when nothing is to be touched. Looks at all.
    var nextDue: Time? { entries.values.filter(\.isUsed).map(\.nextTouch).min() }

    /// The sessions to be touched now. Forgets those that haven't been used for so long that they
    /// are over.
    mutating func takeDue(now: Time) -> [SessionID] {
        var due: [SessionID] = []
        for (id, entry) in entries {
            if entry.isUsed, entry.nextTouch <= now {
                due.append(id)
                entries[id]?.isUsed = false
                entries[id]?.nextTouch = now + entry.ttl / 3
            } else if !entry.isUsed, entry.lastUse + entry.ttl < now {
                entries[id] = nil
            }
        }
        return due.sorted()
    }

    /// They could not be touched in some group: there are two or three tries more in time.
    mutating func failed(_ ids: [SessionID], now: Time) {
        for id in ids {
            guard let entry = entries[id], entry.lastUse + entry.ttl >= now else { continue }
            entries[id]?.isUsed = true
            entries[id]?.nextTouch = now + entry.ttl / 9
        }
    }
}
