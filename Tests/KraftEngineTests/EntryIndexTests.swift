import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The index of a group's entries, against a plain list")
struct EntryIndexTests {
    @Test("every entry is found in its run, through appends and truncations")
    func model() {
        var dice = Dice(seed: 4)
        for _ in 0..<100 {
            var index = EntryIndex()
            // For each entry, the position of the run that holds it.
            var naive: [UInt64] = []
            for position in 1...60 as ClosedRange<UInt64> {
                if !naive.isEmpty, dice.next() % 5 == 0 {
                    naive.removeLast(Int(dice.next() % UInt64(naive.count)))
                }
                let count = 1 + Int(dice.next() % 6)
                index.append(
                    first: LogIndex(UInt64(naive.count + 1)), count: count,
                    position: LogPosition(rawValue: position), payloadCount: 10 * count)
                naive += Array(repeating: position, count: count)
                for entry in naive.indices {
                    let place = index.place(of: LogIndex(UInt64(entry + 1)))
                    #expect(place.map { index.runs[$0].position.rawValue } == naive[entry])
                }
                #expect(index.place(of: .zero) == nil)
                #expect(index.place(of: LogIndex(UInt64(naive.count + 1))) == nil)
            }
        }
    }

    @Test("a slot is found by its hash, whatever came and went")
    func table() {
        var dice = Dice(seed: 9)
        var table = SlotTable()
        var hashes: [Int] = []
        var naive: [Int: Int] = [:]
        for step in 0..<20_000 {
            // They collide in their low bits.
            let hash = Int((dice.next() % 400) << 32 | dice.next() % 3)
            hashes.append(hash)
            if let slot = naive[hash] {
                table.remove(slot, hash: hash)
                naive[hash] = nil
            } else {
                table.insert(step, hash: hash) { hashes[$0] }
                naive[hash] = step
            }
            let other = Int((dice.next() % 400) << 32 | dice.next() % 3)
            #expect(table.slot(hash: other) { hashes[$0] == other } == naive[other])
        }
    }
}
