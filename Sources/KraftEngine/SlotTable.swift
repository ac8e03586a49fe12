/// Finds slots by something that they hold themselves: a hash table of the slots alone, four bytes
/// each. Open addressing; whoever asks says whether a slot is the one, and what its hash is.
package struct SlotTable: Sendable {
    private static let void: Int32 = -1
    private static let removed: Int32 = -2

    private var slots: [Int32] = Array(repeating: SlotTable.void, count: 16)
    private var live = 0
    /// Places that aren't void.
    private var used = 0

    package init() {}

    @inline(__always)
    package func slot(hash: Int, where isMatch: (Int) -> Bool) -> Int? {
        let mask = slots.count - 1
        var place = hash & mask
        while slots[place] != SlotTable.void {
            if slots[place] >= 0, isMatch(Int(slots[place])) { return Int(slots[place]) }
            place = (place + 1) & mask
        }
        return nil
    }

    /// - `hashes`: of each slot that was inserted before.
    package mutating func insert(_ slot: Int, hash: Int, hashes: (Int) -> Int) {
        if (used + 1) * 2 > slots.count { grow(hashes) }
        put(Int32(slot), hash)
        live += 1
    }

    package mutating func remove(_ slot: Int, hash: Int) {
        let mask = slots.count - 1
        var place = hash & mask
        while slots[place] != SlotTable.void {
            if slots[place] == Int32(slot) {
                slots[place] = SlotTable.removed
                live -= 1
                return
            }
            place = (place + 1) & mask
        }
    }

    private mutating func put(_ slot: Int32, _ hash: Int) {
        let mask = slots.count - 1
        var place = hash & mask
        while slots[place] != SlotTable.void { place = (place + 1) & mask }
        slots[place] = slot
        used += 1
    }

    private mutating func grow(_ hashes: (Int) -> Int) {
        let old = slots
        var size = 16
        while size < (live + 1) * 3 { size *= 2 }
        slots = Array(repeating: SlotTable.void, count: size)
        used = 0
        for slot in old where slot >= 0 { put(slot, hashes(Int(slot))) }
    }
}
