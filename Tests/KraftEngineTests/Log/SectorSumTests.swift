import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The sums of a batch's sectors")
struct SectorSumTests {
    private static let nonce: UInt64 = 99
    private static let offset = 8_192

    /// A segment with one sealed batch of so many bytes at 8,192.
    private func sealed(_ byteCount: Int, seed: UInt64) -> [UInt8] {
        var dice = Dice(seed: seed)
        let padded = SectorSums.paddedCount(for: byteCount)
        var bytes = [UInt8](repeating: 0, count: SectorSumTests.offset + padded)
        bytes.withUnsafeMutableBytes { bytes in
            // Rubbish behind it, as in a block that serves again.
            for place in SectorSumTests.offset..<bytes.count {
                bytes[place] = UInt8(truncatingIfNeeded: dice.next() | 1)
            }
            guard let base = bytes.baseAddress else { return }
            SectorSums.seal(
                base + SectorSumTests.offset, byteCount: byteCount, nonce: SectorSumTests.nonce,
                offset: SectorSumTests.offset)
        }
        return bytes
    }

    private func judge(_ bytes: [UInt8], _ byteCount: Int) -> SectorSums.Verdict {
        bytes.withUnsafeBytes {
            SectorSums.judge(
                $0, at: SectorSumTests.offset, byteCount: byteCount, nonce: SectorSumTests.nonce)
        }
    }

    private static let sizes = [64, 512, 513, 3_500, 4_096, 126 * 512, 126 * 512 + 1, 300_000]

    @Test("a batch as it was written is sound, and stands alone in its blocks", arguments: sizes)
    func sound(_ byteCount: Int) {
        let bytes = sealed(byteCount, seed: 1)
        #expect(judge(bytes, byteCount) == .sound)
        #expect((bytes.count - SectorSumTests.offset) % LogFormat.blockSize == 0)
    }

    @Test("with sectors missing it is torn, with any other change rotten", arguments: sizes)
    func verdicts(_ byteCount: Int) {
        let whole = sealed(byteCount, seed: 2)
        let sectors = SectorSums.sectors(for: byteCount)
        let count = sectors.content + sectors.tables
        var dice = Dice(seed: 3)
        for _ in 0..<200 {
            var bytes = whole
            let missing = 1 + Int(dice.next() % 5)
            for _ in 0..<missing {
                let start = SectorSumTests.offset + Int(dice.next() % UInt64(count)) * 512
                bytes.replaceSubrange(start..<(start + 512), with: repeatElement(0, count: 512))
            }
            #expect(judge(bytes, byteCount) == .torn)
            // Nothing that was written is zero, so a changed bit is never a missing sector.
            var rotten = whole
            let place = SectorSumTests.offset + Int(dice.next() % UInt64(count * 512))
            rotten[place] ^= 1 << (dice.next() % 8)
            #expect(judge(rotten, byteCount) == .rotten)
            // Zeros that end within a sector are none of the disk's doing.
            var cut = whole
            let start = SectorSumTests.offset + Int(dice.next() % UInt64(byteCount))
            let end = min(SectorSumTests.offset + byteCount, start + 1 + Int(dice.next() % 2_000))
            cut.replaceSubrange(start..<end, with: repeatElement(0, count: end - start))
            let isWhole = start % 512 == 0 && (end % 512 == 0 || end == byteCount + 8_192)
            #expect(isWhole || judge(cut, byteCount) == .rotten)
        }
    }

    @Test("a sum tells any two sectors apart that differ in one byte, or in their order")
    func sums() {
        var dice = Dice(seed: 5)
        var sector = (0..<512).map { _ in UInt8(truncatingIfNeeded: dice.next()) }
        func sum() -> UInt32 { sector.withUnsafeBytes { SectorSums.sum($0.baseAddress!) } }
        let right = sum()
        for place in sector.indices {
            for bit in 0..<8 {
                sector[place] ^= 1 << bit
                #expect(sum() != right)
                sector[place] ^= 1 << bit
            }
        }
        for place in stride(from: 0, to: 504, by: 8) {
            sector.swapAt(place, place + 8)
            #expect(sum() != right || sector[place] == sector[place + 8])
            sector.swapAt(place, place + 8)
        }
        #expect(sum() == right)
    }
}
