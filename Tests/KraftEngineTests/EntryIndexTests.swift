import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The index of a group's entries, against a plain list")
struct EntryIndexTests {
    @Test("every entry is found in its run, through appends, truncations and drops")
    func model() {
        var dice = Dice(seed: 4)
        for _ in 0..<100 {
            var index = EntryIndex()
            // For each entry, the position of the run that holds it; the first `dropped` are gone.
            var naive: [LogPosition] = []
            var dropped = 0
            for offset in 1...60 {
                if naive.count > dropped, dice.next() % 5 == 0 {
                    naive.removeLast(Int(dice.next() % UInt64(naive.count - dropped)))
                }
                let count = 1 + Int(dice.next() % 6)
                let position = LogPosition(segment: UInt64(1 + offset / 9), offset: offset << 3)
                index.append(
                    first: LogIndex(UInt64(naive.count + 1)), count: count, position: position,
                    payloadCount: 10 * count)
                naive += Array(repeating: position, count: count)
                if dice.next() % 9 == 0 {
                    let last = Int(dice.next() % UInt64(naive.count + 1))
                    index.drop(upTo: LogIndex(UInt64(last)))
                    while dropped < last {
                        let run = naive[dropped...].prefix { $0 == naive[dropped] }
                        guard run.endIndex <= last else { break }
                        dropped = run.endIndex
                    }
                }
                check(index, naive, dropped: dropped)
            }
        }
    }

    private func check(_ index: EntryIndex, _ naive: [LogPosition], dropped: Int) {
        for entry in naive.indices {
            let place = index.place(of: LogIndex(UInt64(entry + 1)))
            let position = place.map { index.run(at: $0).position }
            #expect(position == (entry < dropped ? nil : naive[entry]))
        }
        #expect(index.place(of: .zero) == nil)
        #expect(index.place(of: LogIndex(UInt64(naive.count + 1))) == nil)
        let runs = index.runs
        #expect(index.runCount == runs.count && index.isEmpty == runs.isEmpty)
        #expect(index.first == runs.first?.first)
        #expect(index.oldestSegment == runs.map(\.segment).min())
        #expect(index.byteCount == runs.reduce(0) { $0 + $1.recordSize })
        for segment in 0...8 as ClosedRange<UInt64> {
            let held = runs.reduce(0) { $0 + ($1.segment == segment ? $1.recordSize : 0) }
            #expect(index.byteCount(in: segment) == held)
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
