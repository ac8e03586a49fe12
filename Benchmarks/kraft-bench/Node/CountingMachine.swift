import KraftMultiRaft

/// The state machine of the benchmark: it costs next to nothing, and gives away a command that was
/// lost, applied twice, damaged, or applied in another order on another replica.
struct CountingMachine: StateMachine {
    typealias Command = BenchCommand
    typealias Reply = NoReply
    struct Query: Sendable {}
    struct State: Sendable {
        var applied = Checksum()
        var damagedCount: UInt64 = 0
    }

    private var state = State()
    /// Of the commands in their order.
    private var order: UInt64 = 0xCBF2_9CE4_8422_2325
    /// Ballast, for snapshots that take time: no command changes it.
    private var ballast: [UInt64]
    private let workRounds: Int

    init(_ setup: MachineSetup = .init()) {
        workRounds = setup.workRounds
        ballast = (0..<UInt64(setup.stateBytes / 8)).map { $0 &* 0x9E37_79B9_7F4A_7C15 }
    }

    mutating func apply(_ command: BenchCommand, at index: LogIndex) -> NoReply {
        take(command.sequence)
        return NoReply()
    }

    mutating func apply(_ batch: CommittedBatch, replies: inout ReplyBuffer) {
        for (_, bytes) in batch {
            if let sequence = BenchCommand.sequence(of: bytes) {
                take(sequence)
            } else {
                state.damagedCount += 1
            }
            replies.appendEmpty()
        }
    }

    @inline(__always)
    private mutating func take(_ sequence: UInt64) {
        state.applied.add(sequence)
        order = (order ^ sequence) &* 0x0000_0100_0000_01B3
        for _ in 0..<workRounds { order = (order ^ order >> 29) &* 0x0000_0100_0000_01B3 }
    }

    func answer(_ query: Query) -> State { state }

    func digest() -> UInt64 {
        order ^ state.applied.sum ^ state.damagedCount ^ UInt64(ballast.count)
    }
}

/// Four numbers, and then the ballast, piece by piece.
extension CountingMachine {
    struct Snapshot: StateSnapshot {
        fileprivate var machine: CountingMachine
        private var isBegun = false
        private var written = 0
        private static let numbersInPiece = 8_192

        fileprivate init(_ machine: CountingMachine) { self.machine = machine }

        mutating func writePiece(into writer: inout ByteWriter) -> Bool {
            if !isBegun {
                isBegun = true
                let state = machine.state
                for number in [
                    state.applied.count, state.applied.sum, state.damagedCount, machine.order,
                ] {
                    writer.write(number)
                }
                return true
            }
            let end = min(machine.ballast.count, written + Snapshot.numbersInPiece)
            machine.ballast[written..<end].withUnsafeBytes { writer.write(raw: $0) }
            defer { written = end }
            return end > written
        }
    }

    func snapshot() -> Snapshot { Snapshot(self) }

    mutating func restore(from pieces: inout SnapshotPieces) throws {
        guard let first = try pieces.next() else { throw ByteReader.Malformed() }
        var reader = ByteReader(first)
        state.applied = Checksum(count: try reader.read(), sum: try reader.read())
        state.damagedCount = try reader.read()
        order = try reader.read()
        ballast = []
        while let piece = try pieces.next() {
            for offset in stride(from: 0, to: piece.count - 7, by: 8) {
                ballast.append(piece.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
        }
        for (place, number) in ballast.enumerated()
        where number != UInt64(place) &* 0x9E37_79B9_7F4A_7C15 { state.damagedCount += 1 }
    }
}

/// A command of a given size: its number, filler, and where there is room the number's complement.
struct BenchCommand: BinaryCodable {
    static let minimumSize = 8
    /// From this size on a damaged command is recognised.
    private static let checkedSize = 16

    var sequence: UInt64
    var size: Int

    /// The number of a command; nil if it isn't one as `fill` makes it.
    @inline(__always)
    static func sequence(of bytes: UnsafeRawBufferPointer) -> UInt64? {
        guard bytes.count >= minimumSize else { return nil }
        let sequence = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard bytes.count >= checkedSize else { return sequence }
        let last = bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt64.self)
        return UInt64(littleEndian: last) == ~sequence ? sequence : nil
    }

    /// Writes the number into a command whose filler is already there.
    @inline(__always)
    static func number(_ buffer: UnsafeMutableRawBufferPointer, _ sequence: UInt64) {
        if buffer.count >= checkedSize {
            buffer.storeBytes(
                of: (~sequence).littleEndian, toByteOffset: buffer.count - 8, as: UInt64.self)
        }
        buffer.storeBytes(of: sequence.littleEndian, as: UInt64.self)
    }

    init(sequence: UInt64, size: Int) { (self.sequence, self.size) = (sequence, size) }

    func encode(into writer: inout ByteWriter) {
        withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { buffer in
            buffer.initializeMemory(as: UInt8.self, repeating: 0x5A)
            BenchCommand.number(buffer, sequence)
            writer.write(raw: UnsafeRawBufferPointer(buffer))
        }
    }

    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        let bytes = try reader.read(count: reader.remaining)
        guard let sequence = BenchCommand.sequence(of: bytes) else { throw .init() }
        self.init(sequence: sequence, size: bytes.count)
    }
}

/// An acknowledgement without content.
struct NoReply: BinaryCodable {
    func encode(into writer: inout ByteWriter) {}
    init() {}
    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {}
}
