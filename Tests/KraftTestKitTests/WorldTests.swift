import RaftCore
import Testing

@testable import KraftEngine
@testable import KraftTestKit

@Suite("The simulated world")
struct WorldTests {
    @Test("Equal seeds throw equal dice, other seeds others")
    func dice() {
        var a = SeededRandom(seed: 7)
        var b = SeededRandom(seed: 7)
        var c = SeededRandom(seed: 7, stream: 1)
        let first = (0..<100).map { _ in a.next() }
        #expect(first == (0..<100).map { _ in b.next() })
        #expect(first != (0..<100).map { _ in c.next() })
    }

    @Test("Dice stay in their range and reach all of it")
    func diceRange() {
        var random = SeededRandom(seed: 1)
        var seen = Array(repeating: false, count: 6)
        for _ in 0..<1_000 { seen[random.number(in: 0...5)] = true }
        #expect(seen.allSatisfy { $0 })
        #expect(random.below(0) == 0)
        #expect(random.number(in: UInt64(3)...3) == 3)
    }

    @Test("The queue gives what is earliest, and of one instant what was added first")
    func queue() {
        var queue = EventQueue<Int>()
        var random = SeededRandom(seed: 3)
        var expected: [(time: UInt64, number: Int)] = []
        for number in 0..<500 {
            let time = UInt64(random.below(50))
            queue.add(number, at: time)
            expected.append((time, number))
        }
        expected.sort { ($0.time, $0.number) < ($1.time, $1.number) }
        for (time, number) in expected {
            let next = queue.removeFirst()
            #expect(next?.time == time && next?.element == number)
        }
        #expect(queue.removeFirst() == nil)
    }

    @Test("The queue stays in order while things are added and taken by turns")
    func queueByTurns() {
        var queue = EventQueue<UInt64>()
        var random = SeededRandom(seed: 4)
        var last: UInt64 = 0
        for _ in 0..<5_000 {
            if random.chance(550) {
                let time = last + UInt64(random.below(100))
                queue.add(time, at: time)
            } else if let next = queue.removeFirst() {
                #expect(next.time == next.element && next.time >= last)
                last = next.time
            }
        }
        #expect(queue.count > 0)
    }

    @Test("A clock that changes its rate doesn't jump")
    func clockChange() throws {
        var clock = SimulatedClock(offset: 500, skewPercent: 10)
        let before = clock.instant(at: 1_000_000)
        clock.change(at: 1_000_000, skewPercent: -10)
        #expect(clock.instant(at: 1_000_000) == before)
        let later = clock.instant(at: 2_000_000)
        #expect(later > before)
        #expect(later - before < .nanoseconds(1_000_000))
        #expect(try #require(clock.time(of: later)) == 2_000_000)
    }

    @Test(
        "A skewed clock shows an instant at the very moment that it is asked for",
        arguments: [
            -10, -1, 0, 1, 10,
        ])
    func clock(skew: Int) throws {
        let clock = SimulatedClock(offset: 123_456_789, skewPercent: skew)
        for time in stride(from: UInt64(0), to: 10_000_000_000, by: 333_333_333) {
            let instant = clock.instant(at: time) + .nanoseconds(777)
            let due = try #require(clock.time(of: instant))
            #expect(clock.instant(at: due) >= instant)
            #expect(due == 0 || clock.instant(at: due - 1) < instant)
        }
        #expect(clock.time(of: .never) == nil)
    }
}

@Suite("The simulated disk")
struct DiskTests {
    private func disk(seed: UInt64) -> SimulatedDisk {
        let disk = SimulatedDisk(random: SeededRandom(seed: seed))
        let segment = SegmentPreparation(number: 1, sizeBytes: 8_192, header: [1, 2, 3])
        #expect(disk.add(segment, isEntryDurable: true))
        return disk
    }

    @Test("A synced write survives every power cut", arguments: UInt64(0)..<20)
    func synced(seed: UInt64) throws {
        let disk = disk(seed: seed)
        #expect(disk.cache(.init(offset: 512, bytes: [9, 9, 9]), segment: 1))
        disk.sync(segment: 1)
        #expect(disk.cache(.init(offset: 4_096, bytes: [8]), segment: 1))
        disk.losePower()
        #expect(disk.read(segment: 1, offset: 512, count: 3) == [9, 9, 9])
        #expect(disk.read(segment: 1, offset: 0, count: 3) == [1, 2, 3])
    }

    @Test("An unsynced write vanishes, stays or is torn at sectors, each under some seed")
    func torn() throws {
        var lost = 0
        var kept = 0
        var torn = 0
        for seed in 0..<200 {
            let disk = disk(seed: UInt64(seed))
            let bytes = [UInt8](repeating: 7, count: 2_048)
            #expect(disk.cache(.init(offset: 1_024, bytes: bytes), segment: 1))
            disk.losePower()
            let after = try #require(disk.read(segment: 1, offset: 1_024, count: 2_048))
            let sectors = stride(from: 0, to: 2_048, by: 512).map { Array(after[$0..<$0 + 512]) }
            for sector in sectors { #expect(Set(sector).count == 1, "torn inside of a sector") }
            let count = sectors.count { $0[0] == 7 }
            if count == 0 { lost += 1 } else if count == 4 { kept += 1 } else { torn += 1 }
        }
        #expect(lost > 10 && kept > 10 && torn > 10)
    }

    @Test("A sync that fails may leave its bytes to be read, until the power fails")
    func failedSync() {
        let disk = disk(seed: 3)
        #expect(disk.cache(.init(offset: 4_096, bytes: [7, 7]), segment: 1))
        disk.failSync(segment: 1, bytesStay: true)
        #expect(disk.read(segment: 1, offset: 4_096, count: 2) == [7, 7])
        disk.sync(segment: 1)
        #expect(disk.read(segment: 1, offset: 4_096, count: 2) == [7, 7])
        disk.losePower()
        #expect(disk.read(segment: 1, offset: 4_096, count: 2) != [7, 7])
    }

    @Test("What is written again after a failed sync becomes durable with the next one")
    func writtenAgain() throws {
        let disk = disk(seed: 3)
        #expect(disk.cache(.init(offset: 4_096, bytes: [7, 7]), segment: 1))
        disk.failSync(segment: 1, bytesStay: true)
        let bytes: [UInt8] = [7, 7]
        try bytes.withUnsafeBytes { try disk.rewrite(segment: 1, offset: 4_096, $0) }
        try disk.sync()
        disk.losePower()
        #expect(disk.read(segment: 1, offset: 4_096, count: 2) == [7, 7])
    }

    @Test("A killed process loses nothing that the operating system has taken")
    func killed() {
        let disk = disk(seed: 1)
        #expect(disk.cache(.init(offset: 0, bytes: [5]), segment: 1))
        #expect(disk.read(segment: 1, offset: 0, count: 1) == [5])
    }

    @Test("A write outside of its segment is refused")
    func outside() {
        let disk = disk(seed: 1)
        #expect(!disk.cache(.init(offset: 8_190, bytes: [1, 2, 3]), segment: 1))
        #expect(!disk.cache(.init(offset: 0, bytes: [1]), segment: 2))
        #expect(disk.read(segment: 1, offset: 8_190, count: 10)?.count == 2)
    }

    @Test("A starting node may lose power at each of its operations")
    func bootCrash() {
        let disk = disk(seed: 1)
        disk.begin(operationsUntilCrash: 1)
        #expect(throws: Never.self) { try disk.segmentNumbers() }
        #expect(throws: KraftError.self) { try disk.sync() }
        #expect(disk.didCrash)
    }
}

extension Nanoseconds {
    static func nanoseconds(_ count: UInt64) -> Nanoseconds { Nanoseconds(count) }
}
