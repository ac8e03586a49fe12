import KraftEngine
import KraftRouting

/// 16 entries of 16 bytes in one frame, there and back.
enum CodecCase {
    private static let batch = 16

    static func run(_ count: Int) throws(WrongResult) -> Int {
        let frames = (count + batch - 1) / batch
        var codec = CountedCodec(entries: batch, payload: 16)
        var received = 0
        for _ in 0..<16 { received -= codec.roundTrip() - batch }
        measured { for _ in 0..<frames { received += codec.roundTrip() } }
        var isRight = false
        afterwards { isRight = received == frames * batch }
        guard isRight else {
            throw WrongResult("\(received) entries of \(frames * batch) came out")
        }
        return received
    }
}

/// 16 records of 16 entries of 16 bytes in one write.
enum LogCase {
    private static let batch = 16
    private static let records = 16
    private static let payload = 16

    static func run(_ count: Int) throws(WrongResult) -> Int {
        let writes = (count + batch * records - 1) / (batch * records)
        var directory = NoDirectory()
        var written = 0
        var isRight = false
        do throws(KraftError) {
            var log = try CountedLog(entries: batch, payload: payload, directory: &directory)
            for _ in 0..<64 { _ = write(&log) }
            measured { for _ in 0..<writes { written += write(&log) } }
            afterwards { isRight = written >= writes * records * batch * payload }
        } catch { throw WrongResult("\(error)") }
        guard isRight else {
            throw WrongResult("only \(written) bytes were written")
        }
        return writes * records * batch
    }

    private static func write(_ log: inout CountedLog) -> Int {
        for _ in 0..<records { log.append() }
        return log.write()
    }
}

/// Looks up keys of 16 bytes among 48 groups; without allocating.
enum RouterCase {
    private static let keySize = 16
    private static let keys = (0..<1_024).map { number -> [UInt8] in
        let digits = String(number &* 2_654_435_761 % 1_000_000_007)
        return Array("user:".utf8) + Array(repeating: 0x30, count: 11 - digits.utf8.count)
            + Array(digits.utf8)
    }

    static func run(_ kind: Router.Kind, _ count: Int) throws(WrongResult) -> Int {
        let router: Router
        do throws(RoutingError) { router = try RouterCase.router(kind) } catch {
            throw WrongResult("\(error)")
        }
        var seen = [Int](repeating: 0, count: router.owners.count)
        let keys = keys.flatMap { $0 }
        keys.withUnsafeBytes { keys in
            measured {
                for number in 0..<count {
                    let start = (number & 1_023) * keySize
                    let key = UnsafeRawBufferPointer(rebasing: keys[start..<(start + keySize)])
                    if let owner = router.ownerIndex(key) { seen[owner] += 1 }
                }
            }
        }
        var isRight = false
        afterwards { isRight = seen.reduce(0, +) == count && seen.count { $0 > 0 } > 40 }
        guard isRight else {
            throw WrongResult("keys have no owner, or owners no keys")
        }
        return count
    }

    private static func router(_ kind: Router.Kind) throws(RoutingError) -> Router {
        let groups = (0..<48).compactMap { GroupName("g\($0)") }
        switch kind {
        case .hash: return try .hash(groups: groups)
        case .consistentHash: return try .consistentHash(groups: groups.map { RingGroup($0) })
        default:
            let sorted = keys.sorted { $0.lexicographicallyPrecedes($1) }
            let borders = (0...48).map { place -> [UInt8]? in
                if place == 0 { return [] }
                return place == 48 ? nil : sorted[place * 1_024 / 48]
            }
            return try .range(
                groups.enumerated().map { place, group in
                    KeyRange(start: borders[place] ?? [], end: borders[place + 1], group: group)
                })
        }
    }
}
