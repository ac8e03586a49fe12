import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("What a log's report says")
struct LogReportTests {
    private func logged(_ count: UInt64, size: Int = 100) throws -> LogUnderTest {
        var test = try LogUnderTest()
        test.createGroup()
        for index in 1...count {
            test.addEntry(index, size: size)
            test.write()
        }
        return test
    }

    private func report(_ memory: LogMemory) throws -> LogReport {
        var memory = memory
        let (before, syncs) = (memory.segments, memory.syncs)
        let report = try LogReport.read(&memory)
        #expect(memory.segments == before)
        #expect(memory.syncs == syncs)
        return report
    }

    @Test("of a sound log: its owner, groups, segments, and where it ends")
    func sound() throws {
        var test = try logged(300, size: 3_000)
        test.add(.hardState, [], index: 0, term: 4, count: 1)
        test.write()
        let report = try report(test.memory)
        #expect(report.isSound)
        #expect(report.tornTail == nil)
        #expect(report.owner == .init(node: 1, clusterID: "test"))
        #expect(report.segments.map(\.number) == Array(1...UInt64(test.memory.segments.count)))
        #expect(report.segments.allSatisfy { $0.byteCount == 128 << 10 })
        let shares = report.segments.flatMap(\.shares)
        #expect(shares.reduce(0) { $0 + $1.entryCount } == 300)
        #expect(shares.reduce(0) { $0 + $1.byteCount } > 300 * 3_000)
        let last = try #require(test.writes.last)
        #expect(report.end == .init(segment: last.segment, offset: last.offset + last.count))
        #expect(report.lastSequence == test.log.nextSequence - 1)
        let group = try #require(report.groups.first)
        #expect(group.name == GroupName("g"))
        #expect(group.first == LogIndex(1) && group.last == LogIndex(300))
        #expect(group.firstTerm == Term(1) && group.lastTerm == Term(1))
        #expect(group.term == Term(4) && group.vote == 1)
        #expect(group.members == [.init(node: 1, kind: .voter)])
        #expect(group.oldestEntry?.segment == 1)
    }

    @Test("a write that was cut short is a torn tail, and no damage")
    func torn() throws {
        var test = try logged(5, size: 2_000)
        let last = try #require(test.writes.last)
        // One sector of it never came to the disk.
        let start = last.offset + 1_024
        test.memory.segments[last.segment]?.replaceSubrange(
            start..<start + 512, with: [UInt8](repeating: 0, count: 512))
        let report = try report(test.memory)
        #expect(report.isSound)
        #expect(report.tornTail == .init(segment: last.segment, offset: last.offset))
        #expect(report.groups.first?.last == LogIndex(4))
    }

    @Test("names segment and offset of damage, and what could be read before it")
    func damaged() throws {
        var test = try logged(5)
        let third = test.writes[2]
        test.memory.segments[third.segment]?[third.offset + 60] ^= 1
        let report = try report(test.memory)
        let damage = try #require(report.damages.first)
        #expect(damage.place == .init(segment: third.segment, offset: third.offset))
        #expect(damage.reason.contains("segment 1"))
        #expect(damage.reason.contains("offset \(third.offset)"))
        #expect(report.groups.first?.last == LogIndex(2))
        #expect(report.tornTail == nil)
    }

    @Test("a segment that is missing, short, zeroed or another node's is damage")
    func segments() throws {
        let test = try logged(300, size: 3_000)
        for number in [1, 2, 3] as [UInt64] {
            var missing = test.memory
            missing.segments[number] = nil
            #expect(try !report(missing).isSound)
            var short = test.memory
            short.segments[number]?.removeLast(4_096)
            #expect(try report(short).damages.first?.place?.segment == number)
            var zeroed = test.memory
            let size = zeroed.segments[number]?.count ?? 0
            zeroed.segments[number] = [UInt8](repeating: 0, count: size)
            #expect(try report(zeroed).damages.first?.place == .init(segment: number, offset: 0))
            var swapped = test.memory
            let header = SegmentHeader(
                number: number, nonce: 9, sizeBytes: UInt64(size), node: 2, store: 5,
                clusterID: "test")
            swapped.segments[number]?.replaceSubrange(0..<4_096, with: header.encoded())
            #expect(try !report(swapped).isSound)
        }
    }

    @Test("an empty folder has nothing to say")
    func empty() throws {
        let report = try report(LogMemory())
        #expect(report.isSound)
        #expect(report.segments.isEmpty && report.groups.isEmpty)
    }

    @Test("whatever stands in the files, it is told, never trapped on", arguments: 1...40)
    func garbage(seed: UInt64) throws {
        var dice = Dice(seed: seed)
        var test = try logged(40, size: 900)
        for _ in 0..<Int(1 + dice.below(6)) {
            let number = 1 + dice.below(UInt64(test.memory.segments.count))
            let size = test.memory.segments[number]?.count ?? 0
            let offset = Int(dice.below(UInt64(size)))
            test.memory.segments[number]?[offset] = UInt8(truncatingIfNeeded: dice.next())
        }
        let report = try report(test.memory)
        // What a node would find is what is reported.
        let log = try LogUnderTest.recover(test.memory)
        #expect(report.damages.count == log.damages.count)
        #expect(report.groups.map(\.last) == log.groups.map(\.terms.lastIndex))
        #expect(report.groups.map(\.isDamaged) == log.groups.map(\.isDamaged))
    }
}
