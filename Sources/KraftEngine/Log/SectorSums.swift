/// Checksums of a batch sector by sector, so that whoever finds it broken can tell how.
///
/// A segment is all zero before it is used, and a disk writes a sector whole or not at all. So of a
/// write that power cut short each sector holds what was written there, or zeros; whatever else is
/// there has rotted. See the decision "Torn or rotten".
///
/// The sums stand in sectors of their own behind the batch's records. Each of those is sealed by
/// itself, as any of them may be missing.
enum SectorSums {
    static let sectorSize = 512
    /// 8 bytes of seal, then 4 bytes for each sector before.
    static let sealSize = 8
    static let sumsPerTable = (sectorSize - sealSize) / 4

    /// How many sectors `byteCount` bytes take, and how many their sums.
    @inline(__always)
    static func sectors(for byteCount: Int) -> (content: Int, tables: Int) {
        let content = (byteCount + sectorSize - 1) / sectorSize
        return (content, (content + sumsPerTable - 1) / sumsPerTable)
    }

    /// What a batch of `byteCount` bytes of header and records takes, sums and padding included.
    @inline(__always)
    static func paddedCount(for byteCount: Int) -> Int {
        let sectors = sectors(for: byteCount)
        return LogFormat.roundUp(
            (sectors.content + sectors.tables) * sectorSize, to: LogFormat.blockSize)
    }

    /// A Fletcher sum in eight lanes: a fifth of what XXH3 would take for so little. That a batch is
    /// broken its records' checksums have said before; this tells sectors that are what was written
    /// there from others, and needn't withstand more than chance.
    static func sum(_ sector: UnsafeRawPointer) -> UInt32 {
        var first = SIMD8<UInt64>.zero
        var second = first
        for row in 0..<8 {
            first &+= sector.loadUnaligned(fromByteOffset: 64 * row, as: SIMD8<UInt64>.self)
            second &+= first
        }
        second = second &<< 32 | second &>> 32
        let odd = SIMD8<UInt64>(1, 3, 5, 7, 9, 11, 13, 15)
        let sum =
            (first &* odd).wrappedSum() &* 0x9E37_79B1_85EB_CA87
            &+ (second &* odd).wrappedSum() &* 0xC2B2_AE3D_27D4_EB4F
        return UInt32(truncatingIfNeeded: sum ^ sum >> 32)
    }

    /// Zeroes what lies behind `byteCount` bytes of a batch at `base`, which stands at `offset` of
    /// its segment, and puts the sums of what lies before into it.
    static func seal(
        _ base: UnsafeMutableRawPointer, byteCount: Int, nonce: UInt64, offset: Int
    ) {
        let sectors = sectors(for: byteCount)
        let rest = paddedCount(for: byteCount) - byteCount
        (base + byteCount).initializeMemory(as: UInt8.self, repeating: 0, count: rest)
        for table in 0..<sectors.tables {
            let start = (sectors.content + table) * sectorSize
            let first = table * sumsPerTable
            let count = min(sumsPerTable, sectors.content - first)
            let target = base + start
            for number in 0..<count {
                let sum = sum(base + (first + number) * sectorSize)
                target.storeBytes(
                    of: sum.littleEndian, toByteOffset: sealSize + 4 * number, as: UInt32.self)
            }
            let seal = seal(of: target, nonce: nonce, offset: offset + start)
            target.storeBytes(of: seal.littleEndian, as: UInt64.self)
        }
    }

    private static func seal(of table: UnsafeRawPointer, nonce: UInt64, offset: Int) -> UInt64 {
        LogFormat.checksum(
            UnsafeRawBufferPointer(start: table + sealSize, count: sectorSize - sealSize),
            seed: nonce ^ UInt64(offset))
    }

    // MARK: Judging

    enum Verdict: Hashable {
        case sound
        /// Sectors were never written, and all others are right.
        case torn
        /// A sector is neither what was written nor zero.
        case rotten
    }

    /// What became of a batch whose header is right. `bytes` is its segment.
    static func judge(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, byteCount: Int, nonce: UInt64
    ) -> Verdict {
        guard let start = bytes.baseAddress, bytes.count - offset >= paddedCount(for: byteCount)
        else { return .rotten }
        let base = start + offset
        let sectors = sectors(for: byteCount)
        var verdict = Verdict.sound
        for table in 0..<sectors.tables {
            let place = (sectors.content + table) * sectorSize
            let target = base + place
            let first = table * sumsPerTable
            let count = min(sumsPerTable, sectors.content - first)
            let seal = UInt64(littleEndian: target.loadUnaligned(as: UInt64.self))
            guard seal == SectorSums.seal(of: target, nonce: nonce, offset: offset + place) else {
                guard isZero(target) else { return .rotten }
                verdict = .torn
                continue
            }
            for number in 0..<count {
                let sector = base + (first + number) * sectorSize
                let sum = target.loadUnaligned(
                    fromByteOffset: sealSize + 4 * number, as: UInt32.self)
                if UInt32(littleEndian: sum) == SectorSums.sum(sector) { continue }
                guard isZero(sector) else { return .rotten }
                verdict = .torn
            }
        }
        return verdict
    }

    static func isZero(_ sector: UnsafeRawPointer) -> Bool {
        let words = UnsafeRawBufferPointer(start: sector, count: sectorSize)
        return words.allSatisfy { $0 == 0 }
    }
}
