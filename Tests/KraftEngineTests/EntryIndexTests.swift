import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The index of a group's entries, against a plain list")
struct EntryIndexTests {
    /// An index, and what should be in it.
    private struct Model {
        var index = EntryIndex()
        /// For each entry, the position of the run that holds it; the first `dropped` are gone.
        var naive: [LogPosition] = []
        var dropped = 0

        /// Also truncates, where `truncating` is above zero.
        mutating func append(_ count: Int, at position: LogPosition, truncating: Int = 0) {
            naive.removeLast(truncating)
            index.append(
                first: LogIndex(UInt64(naive.count + 1)), count: count, position: position,
                payloadCount: 10 * count)
            naive += Array(repeating: position, count: count)
        }

        mutating func drop(upTo last: Int) {
            index.drop(upTo: LogIndex(UInt64(last)))
            while dropped < last {
                let run = naive[dropped...].prefix { $0 == naive[dropped] }
                guard run.endIndex <= last else { break }
                dropped = run.endIndex
            }
        }

        func check() {
            for entry in naive.indices {
                let place = index.place(of: LogIndex(UInt64(entry + 1)))
                let position = place.map { index.run(at: $0).position }
                #expect(position == (entry < dropped ? nil : naive[entry]))
            }
            #expect(index.place(of: .zero) == nil)
            #expect(index.place(of: LogIndex(UInt64(naive.count + 1))) == nil)
            let runs = index.runs
            #expect(index.runCount == runs.count && index.isEmpty == runs.isEmpty)
            #expect(index.runCount == Set(naive[dropped...]).count)
            #expect(index.first == runs.first?.first)
            #expect(index.oldestSegment == runs.map(\.segment).min())
            #expect(index.byteCount == runs.reduce(0) { $0 + $1.recordSize })
            for segment in Set(naive.map(\.segment)) {
                let held = runs.reduce(0) { $0 + ($1.segment == segment ? $1.recordSize : 0) }
                #expect(index.byteCount(in: segment) == held)
            }
        }
    }

    @Test("every entry is found in its run, through appends, truncations and drops")
    func model() {
        var dice = Dice(seed: 4)
        for _ in 0..<100 {
            var model = Model()
            for offset in 1...60 {
                var truncated = 0
                if model.naive.count > model.dropped, dice.next() % 5 == 0 {
                    truncated = Int(dice.next() % UInt64(model.naive.count - model.dropped))
                }
                model.append(
                    1 + Int(dice.next() % 6),
                    at: LogPosition(segment: UInt64(1 + offset / 9), offset: offset << 3),
                    truncating: truncated)
                if dice.next() % 9 == 0 {
                    model.drop(upTo: Int(dice.next() % UInt64(model.naive.count + 1)))
                }
                model.check()
            }
        }
    }

    /// With 400 runs, most of them in a segment with others.
    private func long() -> Model {
        var dice = Dice(seed: 5)
        var model = Model()
        for offset in 1...400 {
            model.append(
                1 + Int(dice.next() % 4),
                at: LogPosition(segment: UInt64(1 + offset / 25), offset: offset << 3))
        }
        return model
    }

    @Test("the room of many runs is given back once they are dropped, and all goes on")
    func room() {
        var model = long()
        model.check()
        let most = model.index.olderRuns.capacity
        #expect(most >= 399)
        // Little by little first: what is needed soon again stays.
        model.drop(upTo: model.naive.count / 8)
        #expect(model.index.olderRuns.capacity >= 256)
        model.check()
        model.drop(upTo: model.naive.count - 20)
        #expect(model.index.runCount > 2)
        #expect(model.index.olderRuns.capacity < 64)
        model.check()
        for offset in 401...500 {
            model.append(
                2, at: LogPosition(segment: UInt64(1 + offset / 25), offset: offset << 3),
                truncating: offset % 7 == 0 ? 3 : 0)
            model.check()
        }
        model.drop(upTo: model.naive.count)
        #expect(model.index.isEmpty && model.index.olderRuns.capacity == 0)
        model.check()
    }

    @Test("a truncation may leave nothing of many runs, be it all or all that wasn't dropped")
    func truncationToNothing() {
        for dropped in [0, 1, 100, 401] {
            var model = long()
            model.drop(upTo: dropped)
            model.append(
                5, at: LogPosition(segment: 30, offset: 8),
                truncating: model.naive.count - model.dropped)
            #expect(model.index.runCount == 1)
            #expect(model.index.oldestSegment == 30)
            model.check()
            model.append(1, at: LogPosition(segment: 30, offset: 16))
            model.check()
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
