import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The log against a plain model: random lives, and crashes at every boundary")
struct LogLifeTests {
    /// Recovers what a crash left; the log must say what the model said when it ended.
    private func check(
        _ left: LogMemory, _ life: LogLife, _ what: String, _ seed: UInt64
    ) throws -> (model: LogLife.Model, left: LogMemory) {
        var left = left
        let (_, recovered) = try LogLife.open(&left, seed: seed)
        if let damage = recovered.damages.first {
            throw FuzzFinding("\(what): \(damage)", seed)
        }
        let next = recovered.nextSequence
        guard next > life.completed else { throw FuzzFinding("\(what): batches are lost", seed) }
        let expected = life.model(before: next)
        let found = LogLife.model(of: recovered, in: left)
        guard found == expected else {
            throw FuzzFinding(
                "\(what): \(String(describing: found))\nis not \(expected)", seed)
        }
        return (expected, left)
    }

    @Test("whatever is written, moved, given back or lost, it says what the model says")
    func lives() throws {
        var released = 0
        var rewritten = 0
        var torn = 0
        for seed in 1...40 as ClosedRange<UInt64> {
            var dice = Dice(seed: seed &* 77)
            var life = try LogLife(seed: seed)
            for _ in 0..<150 {
                for _ in 0...(dice.next() % 12) { life.step() }
                while let write = life.takeWrite() {
                    if dice.next() % 4 == 0 {
                        let left = life.torn(write)
                        let (model, _) = try check(left, life, "torn", seed)
                        torn += 1
                        if dice.next() % 6 == 0 {
                            _ = try life.restart(with: left, as: model)
                            continue
                        }
                    }
                    life.carryOut(write)
                    if dice.next() % 6 == 0 {
                        _ = try check(life.memory, life, "whole", seed)
                    }
                    // What had been given back is found again, spoilt.
                    if dice.next() % 10 == 0, let first = life.memory.segments.keys.min(), first > 1 {
                        var left = life.memory
                        left.segments[first - 1] = left.segments[first]
                        left.segments[first - 1]?.replaceSubrange(
                            0..<5_000, with: repeatElement(UInt8(dice.next() % 2), count: 5_000))
                        _ = try check(left, life, "with a leftover", seed)
                    }
                }
                if dice.next() % 30 == 0 {
                    let (model, left) = try check(life.memory, life, "restarted", seed)
                    _ = try life.restart(with: left, as: model)
                }
            }
            released += life.released
            rewritten += life.rewritten
        }
        #expect(released > 100)
        #expect(rewritten > 300)
        #expect(torn > 300)
    }

    @Test("damage anywhere is found, and every group that it may concern is marked")
    func damage() throws {
        for seed in 1...25 as ClosedRange<UInt64> {
            var dice = Dice(seed: seed &* 131)
            var life = try LogLife(seed: seed)
            var writes: [(segment: UInt64, offset: Int, count: Int)] = []
            for _ in 0..<60 {
                for _ in 0...(dice.next() % 12) { life.step() }
                while let write = life.takeWrite() {
                    life.carryOut(write)
                    writes.append((write.segment, write.offset, write.byteCount))
                }
            }
            writes.removeAll { life.memory.segments[$0.segment] == nil }
            // Only those that count.
            var sound = life.memory
            let start = try LogLife.open(&sound, seed: seed).recovered.firstSegment
            writes.removeAll { $0.segment < start }
            for _ in 0..<20 {
                let write = writes[Int(dice.next() % UInt64(writes.count))]
                var left = life.memory
                switch dice.next() % 4 {
                case 0: left.segments[write.segment] = nil
                case 1:
                    let cut = write.offset + Int(dice.next() % 4_096)
                    left.segments[write.segment]?.removeLast((64 << 10) - cut)
                case 2: left.segments[write.segment] = [UInt8](repeating: 0, count: 64 << 10)
                default: left.segments[write.segment]?[write.offset + Int(dice.next() % 64)] ^= 4
                }
                let whole = life.model
                var again = try LogLife(seed: seed + 1_000)
                let first = try again.restart(with: left, as: whole)
                #expect(!first.damages.isEmpty)
                #expect(first.groups.allSatisfy { $0.isDamaged || $0.metadataAt > place(first) })
                // What is left of a group is what was there once.
                for group in first.groups where !group.isDamaged {
                    let found = LogLife.model(of: first, in: left)?[group.id.rawValue]
                    #expect(found == whole[group.id.rawValue])
                }
                // It goes on, and the damage is found again by whoever reads it.
                var memory = again.memory
                _ = try LogLife.open(&memory, seed: seed)
            }
        }
    }

    private func place(_ log: RecoveredLog) -> LogPosition {
        log.damages.map { LogPosition(segment: $0.segment, offset: $0.offset) }.max()
            ?? LogPosition(rawValue: 0)
    }
}
