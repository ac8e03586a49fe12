/// Names the calls under way by tokens. Loop-confined; a slab, so a token costs no allocation.
///
/// A token holds the place in the slab, its generation and the position within the call. The
/// highest bit is left to the loop's own clients.
struct CallTable {
    /// Commands in one call.
    static let positionLimit = 1 << 20
    private static let placeLimit = 1 << 24
    private static let generationMask: UInt64 = 0x7_FFFF

    private struct Entry {
        /// Retained while it is here. Unmanaged, so that a call passes through without being touched:
        /// its memory was last another thread's.
        var call: Unmanaged<Call>?
        /// Never 0, so that no token is.
        var generation: UInt64 = 1
        var missing = 0
    }

    private var entries: [Entry] = []
    private var free: [Int] = []

    /// Room for a call of `count` requests: the token of the first; the others follow it. Nil when
    /// the table is full.
    mutating func add(_ call: Call, count: Int = 1) -> RequestToken? {
        let retained = Unmanaged.passRetained(call)
        let token = add(retained: retained, count: count)
        if token == nil { retained.release() }
        return token
    }

    /// As `add`; takes over the caller's reference, unless the table is full.
    mutating func add(retained call: Unmanaged<Call>, count: Int = 1) -> RequestToken? {
        precondition((1...CallTable.positionLimit).contains(count))
        let place: Int
        if let last = free.popLast() {
            place = last
        } else {
            guard entries.count < CallTable.placeLimit else { return nil }
            place = entries.count
            entries.append(Entry())
        }
        entries[place].call = call
        entries[place].missing = count
        return entries[place].generation << 44 | UInt64(place) << 20
    }

    /// The call and position of a token whose request ended; nil for one that ended before.
    mutating func take(_ token: RequestToken) -> (call: Call, position: Int)? {
        let place = Int(token >> 20) & (CallTable.placeLimit - 1)
        let position = Int(token) & (CallTable.positionLimit - 1)
        precondition(place < entries.count, "a token that was never given")
        guard entries[place].generation == token >> 44 else { return nil }
        entries[place].missing -= 1
        // The last one takes the table's reference with it.
        let isLast = entries[place].missing == 0
        guard let call = entries[place].call else {
            preconditionFailure("a place in use without a call")
        }
        guard isLast else { return (call.takeUnretainedValue(), position) }
        empty(place)
        return (call.takeRetainedValue(), position)
    }

    private mutating func empty(_ place: Int) {
        entries[place].call = nil
        let next = (entries[place].generation + 1) & CallTable.generationMask
        entries[place].generation = next == 0 ? 1 : next
        free.append(place)
    }

    /// Takes all calls out: nothing will complete them any more.
    mutating func removeAll() -> [Call] {
        var calls: [Call] = []
        for place in entries.indices {
            guard let call = entries[place].call else { continue }
            calls.append(call.takeRetainedValue())
            empty(place)
        }
        return calls
    }
}
