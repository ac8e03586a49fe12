import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The log: format and recovery")
struct LogTests {
    /// A log of `count` writes with one entry each.
    private func logged(_ count: UInt64, size: Int = 100) throws -> LogUnderTest {
        var test = try LogUnderTest()
        test.createGroup()
        test.write()
        for index in 1...count {
            test.addEntry(index, size: size)
            test.write()
        }
        return test
    }

    private func lastIndex(_ log: RecoveredLog) -> UInt64 {
        log.groups.first?.terms.lastIndex.rawValue ?? 0
    }

    @Test("what was written is recovered, over many segments")
    func roundTrip() throws {
        let test = try logged(300, size: 3_000)
        #expect(test.memory.segments.count > 5)
        let log = try LogUnderTest.recover(test.memory)
        #expect(lastIndex(log) == 300)
        #expect(!log.isTailTorn)
        #expect(log.nextSequence == test.log.nextSequence)
    }

    @Test("a log goes on where it ended, again and again")
    func goesOn() throws {
        var memory = LogMemory()
        for life in 0..<20 as Range<UInt64> {
            var test = try LogUnderTest(memory: memory)
            if life == 0 { test.createGroup() }
            for index in (life * 5 + 1)...(life * 5 + 5) { test.addEntry(index, size: 900) }
            test.write()
            memory = test.memory
        }
        #expect(lastIndex(try LogUnderTest.recover(memory)) == 100)
    }

    @Test("entries in memory and entries read back are the same bytes")
    func payloads() throws {
        var test = try LogUnderTest()
        test.createGroup()
        test.write()
        var places: [(LogPosition, UInt64)] = []
        for index in 1...200 as ClosedRange<UInt64> {
            let header = RecordHeader(
                kind: .entries, payloadCount: 1_000, group: LogUnderTest.group,
                index: LogIndex(index), term: Term(1), count: 1)
            let position = test.log.append(header) { target in
                target.initializeMemory(as: UInt8.self, repeating: UInt8(index), count: 1_000)
            }.position
            places.append((position, index))
            test.write()
            test.log.trim()
        }
        var readBack = 0
        for (position, index) in places {
            if test.log.payload(at: position, count: 1_000) == nil {
                readBack += 1
                let asked = test.log.requestRead(at: position, count: 1_000)
                let read = try #require(asked)
                let segment = test.memory.segments[read.segment] ?? []
                let end = min(segment.count, read.offset + read.count)
                let isWhole = segment[read.offset..<end].withUnsafeBytes {
                    test.log.wasRead(read.id, $0)
                }
                #expect(isWhole)
            }
            let payload = try #require(test.log.payload(at: position, count: 1_000))
            #expect(payload.allSatisfy { $0 == UInt8(index) })
        }
        #expect(readBack > 0)
    }

    @Test("of a write torn at any sector only whole batches at its front count")
    func tornTail() throws {
        var test = try logged(5, size: 2_000)
        for index in 6...9 as ClosedRange<UInt64> { test.addEntry(index, size: 2_000) }
        test.write()
        let last = try #require(test.writes.last)
        var torn = 0
        for sector in stride(from: 0, to: last.count, by: 512) {
            for keepsRest in [false, true] {
                var memory = test.memory
                // Either nothing from the sector on was written, or all but this sector.
                let start = last.offset + sector
                let end = keepsRest ? start + 512 : last.offset + last.count
                let old = memory.segments[last.segment] ?? []
                let hasContent = old[start..<end].contains { $0 != 0 }
                memory.segments[last.segment]?.replaceSubrange(
                    start..<end, with: [UInt8](repeating: 0, count: end - start))
                let log = try LogUnderTest.recover(memory)
                let isTorn = lastIndex(log) < 9
                // Of the sums of sectors nothing hangs as long as what they sum up is whole.
                #expect(!isTorn || hasContent)
                if keepsRest { #expect(log.isTailTorn == isTorn) }
                #expect(log.damages.isEmpty)
                #expect(lastIndex(log) >= 5)
                torn += isTorn ? 1 : 0
            }
        }
        #expect(torn > last.count / 512)
    }

    @Test("after a torn tail the log goes on in a segment that holds nothing")
    func afterTornTail() throws {
        var test = try logged(3)
        test.addEntry(4)
        test.write()
        let last = try #require(test.writes.last)
        for place in last.offset..<(last.offset + 512) {
            test.memory.segments[last.segment]?[place] = 0
        }
        let torn = try LogUnderTest.recover(test.memory)
        #expect(torn.isTailTorn && torn.damages.isEmpty)
        var again = try LogUnderTest(memory: test.memory)
        again.addEntry(4, term: 2)
        again.write()
        #expect(again.writes.first?.segment == last.segment + 1)
        let log = try LogUnderTest.recover(again.memory)
        #expect(lastIndex(log) == 4)
        #expect(log.groups.first?.terms.last.term == Term(2))
    }

    @Test("a flipped bit in any batch is damage, in the last one too")
    func damage() throws {
        let test = try logged(6)
        for (place, write) in test.writes.enumerated() {
            for offset in [0, 9, 20, 47, 48, 60, 63, 64, 100, 116, 132] {
                var memory = test.memory
                memory.segments[write.segment]?[write.offset + offset] ^= 0x10
                let log = try LogUnderTest.recover(memory)
                #expect(log.damages.first?.segment == write.segment)
                #expect(log.damages.first?.offset == write.offset)
                #expect(!log.isTailTorn)
                // What stands before is kept, what stands behind isn't believed.
                let group = log.groups.first
                #expect(group?.isDamaged ?? true)
                #expect((group?.terms.lastIndex.rawValue ?? 0) == UInt64(max(0, place - 1)))
                // It shows each time that the log is read, also when it has gone on.
                var again = try LogUnderTest(memory: memory)
                again.add(.hardState, [], index: 0, term: 9, count: 0)
                again.write()
                let later = try LogUnderTest.recover(again.memory)
                #expect(later.damages.count == 1)
                #expect(later.groups.first?.isDamaged ?? true)
            }
        }
    }

    @Test("a write that is gone is damage where a later one stands, and else was torn")
    func zeroedWrites() throws {
        let test = try logged(6)
        for (place, write) in test.writes.enumerated() {
            var memory = test.memory
            let range = write.offset..<write.offset + write.count
            memory.segments[write.segment]?.replaceSubrange(
                range, with: repeatElement(0, count: write.count))
            let log = try LogUnderTest.recover(memory)
            let isLast = place == test.writes.count - 1
            #expect(log.damages.isEmpty == isLast, "write \(place) was zeroed")
            #expect((log.groups.first?.isDamaged ?? true) != isLast)
            #expect(lastIndex(log) == UInt64(max(0, place - 1)))
        }
    }

    @Test("a missing, shortened or zeroed segment is damage")
    func missingSegments() throws {
        let test = try logged(200, size: 3_000)
        let numbers = test.memory.segments.keys.sorted()
        for number in numbers {
            var missing = test.memory
            missing.segments[number] = nil
            expectDamage(missing)
            var zeroed = test.memory
            zeroed.segments[number] = [UInt8](repeating: 0, count: 128 << 10)
            expectDamage(zeroed)
            var short = test.memory
            short.segments[number] = Array((short.segments[number] ?? []).prefix(60_000))
            expectDamage(short)
        }
    }

    private func expectDamage(_ memory: LogMemory) {
        do {
            let log = try LogUnderTest.recover(memory)
            #expect(!log.damages.isEmpty)
            #expect(log.groups.allSatisfy { $0.isDamaged })
            // However often it is read, and wherever it has gone on.
            var again = try LogUnderTest(memory: memory)
            again.write()
            var writer = ByteWriter()
            WireSamples.nodeLists.encode(into: &writer)
            again.add(.nodeLists, writer.bytes, index: 0, term: 0, count: 0)
            again.write()
            let later = try LogUnderTest.recover(again.memory)
            #expect(!later.damages.isEmpty)
        } catch {
            Issue.record(error)
        }
    }

    @Test("a folder of another node or cluster is refused")
    func otherOwner() throws {
        let test = try logged(1)
        for (node, cluster) in [(NodeID(2), "test"), (1, "other")] {
            var memory = test.memory
            let error = #expect(throws: KraftError.self) {
                _ = try LogRecovery.recover(
                    &memory, node: node, clusterID: cluster, limits: LogUnderTest.limits, seed: 1)
            }
            #expect(error?.code == .conflict)
        }
    }

    @Test("a record is believed only in its segment's life and at its place")
    func bound() throws {
        let test = try logged(2)
        let segment = try #require(test.memory.segments[1])
        try segment.withUnsafeBytes { bytes in
            let header = try #require(SegmentHeader.decode(bytes))
            let offset = try #require(test.writes.last).offset
            #expect(BatchHeader.decode(bytes, at: offset, nonce: header.nonce) != nil)
            #expect(BatchHeader.decode(bytes, at: offset, nonce: header.nonce ^ 1) == nil)
            let record = offset + LogFormat.batchHeaderSize
            #expect(
                RecordHeader.decode(bytes, at: record, nonce: header.nonce, offset: record) != nil)
            #expect(
                RecordHeader.decode(bytes, at: record, nonce: header.nonce, offset: record + 8)
                    == nil)
        }
        // And no two segments have one life.
        let segments = try logged(200, size: 3_000).memory.segments
        let nonces = segments.values.compactMap { bytes in
            bytes.withUnsafeBytes { SegmentHeader.decode($0)?.nonce }
        }
        #expect(Set(nonces).count == segments.count)
    }

    @Test("recovery syncs before it believes what it reads")
    func syncs() throws {
        var memory = try logged(1).memory
        memory.syncs = 0
        _ = try LogRecovery.recover(
            &memory, node: 1, clusterID: "test", limits: LogUnderTest.limits, seed: 1)
        // Once for what it reads, once for the last write, which it writes again.
        #expect(memory.syncs == 2)
    }

    @Test("random bytes in a segment never trap recovery")
    func fuzz() throws {
        let test = try logged(8)
        var dice = Dice(seed: 5)
        for _ in 0..<400 {
            var memory = test.memory
            for _ in 0..<(1 + dice.next() % 8) {
                let place = Int(dice.next() % 40_000)
                memory.segments[1]?[place] = UInt8(truncatingIfNeeded: dice.next())
            }
            _ = try? LogUnderTest.recover(memory)
        }
    }
}
