import Foundation

/// Measures what one durable write costs on the disk itself: 4 KiB and fdatasync, one after the
/// other, into a file that has all its blocks already.
struct DiskProbe {
    private static let blockSize = 4_096
    private static let blockCount = 1_024

    private(set) var latencies = Latencies()

    /// Measures for about `seconds` in a file of its own in `folder`.
    mutating func run(in folder: String, seconds: Double) throws {
        let path = folder + "/probe"
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        guard descriptor >= 0 else {
            throw BenchFailure("\(path): \(String(cString: strerror(errno)))")
        }
        defer {
            close(descriptor)
            unlink(path)
        }
        let zeros = [UInt8](repeating: 0, count: DiskProbe.blockSize * DiskProbe.blockCount)
        try write(zeros, descriptor, at: 0)
        guard fsync(descriptor) == 0 else { throw BenchFailure("fsync failed in \(folder)") }
        let block = [UInt8](repeating: 0x5A, count: DiskProbe.blockSize)
        let end = monotonicClock() + UInt64(seconds * 1e9)
        var number = 0
        var now = monotonicClock()
        while now < end {
            try write(block, descriptor, at: number % DiskProbe.blockCount * DiskProbe.blockSize)
            guard fdatasync(descriptor) == 0 else {
                throw BenchFailure("fdatasync failed in \(folder)")
            }
            let done = monotonicClock()
            latencies.record(done - now)
            now = done
            number += 1
        }
    }

    private func write(_ bytes: [UInt8], _ descriptor: Int32, at offset: Int) throws {
        guard pwrite(descriptor, bytes, bytes.count, off_t(offset)) == bytes.count else {
            throw BenchFailure("could not write a probe: \(String(cString: strerror(errno)))")
        }
    }
}
