import KraftRouting
import RaftCore

/// The wire's codec by itself, for `kraft-guard` to count.
package struct CountedCodec: ~Copyable {
    private let format: any WireFormat = StandardWireFormat()
    private let block = Block(capacity: 32 << 10)
    private let entries: CountedEntries
    private var index = LogIndex.zero

    package init(entries count: Int, payload: Int) {
        entries = CountedEntries(count: count, payload: payload)
    }

    /// One frame with one append, there and back: encoded, sealed, checked, decoded. Returns how many
    /// entries came out.
    package mutating func roundTrip() -> Int {
        block.count = 0
        var writer = FrameWriter(headerSize: format.headerSize, block: block)
        let append = Message.append(
            .init(
                term: Term(7), previous: .init(index: index, term: Term(7)), entriesTerm: Term(7),
                count: entries.count, commit: index))
        index = index + entries.count
        let envelope = RaftEnvelope(group: GroupID(42))
        let size = WireMessage.size(append, envelope)
        let target = writer.reserve(size + entries.bytes.count, format: format)
        WireMessage.write(append, envelope, entriesCount: entries.bytes.count, to: target)
        entries.copy(to: target + size)
        writer.seal(.messages, format: format)

        var reader = FrameReader()
        var received = 0
        try? reader.receive(writer.block.bytes, format: format) { _, body in
            var fields = ByteReader(body)
            if case .raft(_, .append(let append), _) = try? WireMessage.read(from: &fields) {
                received += append.count
            }
            return true
        }
        return received
    }
}

/// The shared log by itself, for `kraft-guard` to count.
package struct CountedLog: ~Copyable {
    private var log: SharedLog
    private let entries: CountedEntries
    private var index = LogIndex(1)

    /// - `directory`: an empty one.
    package init(
        entries count: Int, payload: Int, directory: inout some LogDirectory
    ) throws(KraftError) {
        entries = CountedEntries(count: count, payload: payload)
        var limits = EngineConfiguration.LogLimits()
        limits.segmentSizeBytes = 1 << 20
        limits.cacheSizeBytes = 256 << 10
        let recovered = try LogRecovery.recover(
            &directory, node: 1, clusterID: "counted", limits: limits, seed: 1)
        log = SharedLog(
            recovered: recovered, node: 1, clusterID: "counted", life: .init(number: 1, boot: 1),
            limits: limits, seed: 2)
    }

    /// One record of entries.
    package mutating func append() {
        let header = RecordHeader(
            kind: .entries, payloadCount: entries.bytes.count, group: GroupID(42), index: index,
            term: Term(7), count: entries.count)
        index = index + entries.count
        let entries = entries
        _ = log.append(header) { entries.copy(to: $0) }
    }

    /// What was appended becomes one write, and that is done at once. Returns its bytes.
    package mutating func write() -> Int {
        while let preparation = log.takePreparation() { log.segmentPrepared(preparation.number) }
        var byteCount = 0
        while let write = log.takeWrite() {
            byteCount += write.byteCount
            _ = log.written(write.id)
        }
        log.trim()
        return byteCount
    }
}

/// A run of entries as they lie in frames and in the log.
private struct CountedEntries {
    let count: Int
    let bytes: [UInt8]

    init(count: Int, payload: Int) {
        var writer = ByteWriter()
        for _ in 0..<count {
            writer.write(UInt32(payload))
            writer.write(EntryKind.command.rawValue)
            writer.write(raw: [UInt8](repeating: 0x5A, count: payload))
        }
        self.count = count
        bytes = writer.bytes
    }

    func copy(to target: UnsafeMutableRawPointer) {
        bytes.withUnsafeBytes { source in
            if let start = source.baseAddress {
                target.copyMemory(from: start, byteCount: source.count)
            }
        }
    }
}
