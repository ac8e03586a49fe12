import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The log: checkpoints, rewritten entries, a log that begins in its middle")
struct CheckpointTests {
    private func group(_ test: LogUnderTest) throws -> RecoveredGroup {
        try #require(try LogUnderTest.recover(test.memory).groups.first)
    }

    /// A log of one group and `count` entries, one to a write, some to a segment.
    private func logged(_ count: UInt64) throws -> LogUnderTest {
        var test = try LogUnderTest()
        test.createGroup()
        test.write()
        for index in 1...count {
            test.addEntry(index, size: 3_000)
            test.write()
        }
        return test
    }

    @Test("a checkpoint comes back as it was written")
    func coding() throws {
        let checkpoint = try #require(WireSamples.checkpoint)
        for isReset in [false, true] {
            for snapshot in [nil, checkpoint.snapshot] {
                var sample = checkpoint
                sample.isReset = isReset
                sample.snapshot = snapshot
                var writer = ByteWriter()
                sample.encode(into: &writer)
                let again = try writer.bytes.withUnsafeBytes {
                    var reader = ByteReader($0)
                    let again = try Checkpoint(from: &reader)
                    #expect(reader.remaining == 0)
                    return again
                }
                #expect(again == sample)
            }
        }
    }

    @Test("the lists of a node come back whole from their parts")
    func lists() throws {
        var lists = WireSamples.nodeLists
        for number in 1...500 as ClosedRange<UInt64> {
            if let name = GroupName("g\(number)") { lists.note(tombstone: number, of: name) }
            lists.note(former: .initial, of: GroupID(number))
        }
        var again = NodeLists()
        let parts = lists.parts()
        #expect(parts.count > 5)
        for part in parts {
            var writer = ByteWriter()
            part.encode(into: &writer)
            #expect(writer.count < 32 << 10)
            again.add(
                try writer.bytes.withUnsafeBytes {
                    var reader = ByteReader($0)
                    return try NodeLists(from: &reader)
                })
        }
        #expect(again.boot == lists.boot)
        #expect(again.lives == lists.lives)
        #expect(again.roster == lists.roster)
        #expect(again.neighbours == lists.neighbours)
        #expect(again.tombstones == lists.tombstones)
        #expect(again.formers == lists.formers)
    }

    @Test("a compaction moves the base, and the entries behind it stay where they are")
    func compaction() throws {
        var test = try logged(20)
        test.addCheckpoint(base: 12)
        test.write()
        let group = try group(test)
        #expect(group.terms.base == EntryPosition(index: LogIndex(12), term: Term(1)))
        #expect(group.terms.lastIndex == LogIndex(20))
        #expect(group.index.first == LogIndex(13))
        #expect(group.hardState == HardState(term: Term(1), vote: 1))
        #expect(group.snapshot?.name.position.index == LogIndex(12))
    }

    @Test("a reset makes all entries before it void")
    func reset() throws {
        var test = try logged(20)
        test.addCheckpoint(base: 50, term: 3, isReset: true)
        test.addEntry(51, term: 3)
        test.write()
        let group = try group(test)
        #expect(group.terms.base == EntryPosition(index: LogIndex(50), term: Term(3)))
        #expect(group.terms.lastIndex == LogIndex(51))
        #expect(group.index.runs.count == 1)
    }

    @Test("entries written again stand in their new place, and nothing is taken back")
    func rewritten() throws {
        var test = try logged(60)
        for index in 1...6 as ClosedRange<UInt64> { test.addRewritten(index, size: 3_000) }
        test.write()
        let group = try group(test)
        #expect(group.terms.lastIndex == LogIndex(60))
        #expect(group.index.runs.count == 60)
        let moved = group.index.runs.prefix(6).map(\.position)
        #expect(moved.allSatisfy { $0 > group.index.runs[59].position })
    }

    @Test("a log without its first segments is as whole as before, once all was moved on")
    func middle() throws {
        var test = try logged(70)
        let end = try #require(test.writes.last).segment
        #expect(end == 3)
        // The first two segments go: entries up to 5 are compacted, those in them moved.
        let before = try group(test)
        let live = before.index.runs.filter { $0.first > LogIndex(5) && $0.segment < 3 }
        #expect(live.count > 10)
        // In no order, with new entries in between.
        for (place, run) in (live.filter { $0.segment == 2 } + live).enumerated() {
            test.addRewritten(run.first.rawValue, size: 3_000)
            if place == 3 { test.addCheckpoint(base: 5) }
            if place % 5 == 0 { test.addEntry(UInt64(71 + place / 5), size: 3_000) }
            test.write()
        }
        test.addStart(3)
        test.write()
        let whole = try group(test)
        for leftover in 0...3 {
            var memory = test.memory
            if leftover & 1 == 0 { memory.segments[1] = nil }
            if leftover & 2 == 0 { memory.segments[2] = nil } else { memory.segments[2]?[0] ^= 1 }
            let log = try LogUnderTest.recover(memory)
            #expect(log.firstSegment == 3)
            #expect(log.damages.isEmpty)
            #expect(log.leftovers.count == leftover.nonzeroBitCount)
            let group = try #require(log.groups.first)
            #expect(group.terms.base == whole.terms.base)
            #expect(group.terms.last == whole.terms.last)
            #expect(group.index.runs.map(\.position) == whole.index.runs.map(\.position))
            #expect(group.index.runs.map(\.first) == whole.index.runs.map(\.first))
            #expect(group.index.runs.allSatisfy { $0.segment >= 3 })
            #expect(group.hardState == whole.hardState)
            #expect(log.nextSequence == test.log.nextSequence)
        }
    }

    @Test("a log goes on behind a start in its middle")
    func goesOn() throws {
        var test = try logged(70)
        test.addCheckpoint(base: 70)
        test.addStart(try #require(test.writes.last).segment)
        test.write()
        test.memory.segments[1] = nil
        test.memory.segments[2] = nil
        var again = try LogUnderTest(memory: test.memory)
        for index in 71...140 as ClosedRange<UInt64> {
            again.addEntry(index, size: 3_000)
            again.write()
        }
        let group = try group(again)
        #expect(group.terms.base.index == LogIndex(70))
        #expect(group.terms.lastIndex == LogIndex(140))
    }

    @Test("a segment that is missing behind the start is damage")
    func missing() throws {
        var test = try logged(70)
        test.addCheckpoint(base: 70)
        test.addStart(2)
        test.write()
        test.memory.segments[1] = nil
        let sound = try LogUnderTest.recover(test.memory)
        #expect(sound.damages.isEmpty)
        test.memory.segments[2] = nil
        let log = try LogUnderTest.recover(test.memory)
        #expect(log.damages.map(\.segment) == [2])
        #expect(log.groups.allSatisfy { $0.isDamaged })
    }

    @Test("entries that were truncated after they had been written again stay void")
    func truncated() throws {
        var test = try logged(30)
        for index in 8...12 as ClosedRange<UInt64> { test.addRewritten(index, size: 3_000) }
        test.addEntry(10, term: 2)
        test.addRewritten(9, size: 3_000)
        test.write()
        let group = try group(test)
        #expect(group.terms.last == EntryPosition(index: LogIndex(10), term: Term(2)))
        #expect(group.index.runs.count == 10)
        #expect(group.index.runs[8].position > group.index.runs[9].position)
    }
}
