import KraftLoop
import Synchronization

/// Reads a snapshot's file piece by piece and checks all of it. Belongs to one thread of the pool.
final class SnapshotFileReader {
    /// Why a snapshot can't be used.
    struct Failure: Error, CustomStringConvertible {
        var description: String
        /// The system lacks something that it may have again soon.
        var isPassing = false
    }

    /// Has a reader stop.
    final class Stop: Sendable {
        private let flag = Atomic(false)
        var isSet: Bool { flag.load(ordering: .relaxed) }
        func set() { flag.store(true, ordering: .relaxed) }
    }

    private let file: File
    private let stop: Stop
    private var decoder: SnapshotDecoder
    private var offset = 0
    private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 0, alignment: 16)
    private var hasEnded = false
    /// Once it has failed it gives nothing more, whatever the state machine makes of that.
    private var failure: Failure?
    private(set) var engineState: [UInt8] = []

    init(_ file: File, name: SnapshotName, stop: Stop) {
        (self.file, self.stop) = (file, stop)
        decoder = SnapshotDecoder(name: name)
    }

    deinit { buffer.deallocate() }

    /// Gives the machine its pieces, and answers with the engine's state.
    static func restore(
        _ box: MachineBox, from path: String, name: SnapshotName, stop: Stop
    ) -> Result<[UInt8], Failure> {
        do {
            let reader = SnapshotFileReader(try File(path, .read), name: name, stop: stop)
            // The engine's state comes before the first piece: looked at while the machine is whole.
            var first = try reader.next()
            var isFirst = true
            var pieces = SnapshotPieces {
                guard isFirst else { return try reader.next() }
                isFirst = false
                defer { first = nil }
                return first
            }
            try box.restore(from: &pieces)
            try reader.finish()
            return .success(reader.engineState)
        } catch let error as LoopError {
            return .failure(
                Failure(description: error.description, isPassing: error.isShortage))
        } catch let failure as Failure {
            return .failure(failure)
        } catch {
            return .failure(
                Failure(description: "\(path): the state machine refused it: \(error)"))
        }
    }

    /// Reads and checks a whole snapshot for nobody. Nil: it is sound.
    static func verify(_ path: String, name: SnapshotName) -> Failure? {
        do {
            let file = try File(path, .read)
            try SnapshotFileReader(file, name: name, stop: Stop()).finish()
            return nil
        } catch let failure as Failure {
            return failure
        } catch {
            return Failure(description: "\(error)")
        }
    }

    /// The machine's next piece; nil at the end. Valid until the next call.
    func next() throws(Failure) -> UnsafeRawBufferPointer? {
        if let failure { throw failure }
        do throws(Failure) {
            while !hasEnded {
                guard !stop.isSet else { throw Failure(description: "the node shuts down") }
                let part = try read(decoder.wanted)
                switch try take(part) {
                case .none: break
                case .engineState(let bytes): engineState.append(contentsOf: bytes)
                case .piece(let bytes): return bytes
                case .end:
                    hasEnded = true
                    // Not even one byte may follow.
                    guard try read(1).isEmpty else {
                        throw Failure(description: "\(file.path): longer than it should be")
                    }
                }
            }
            return nil
        } catch {
            failure = error
            throw error
        }
    }

    /// Checks what the machine left unread.
    private func finish() throws(Failure) {
        while try next() != nil {}
    }

    private func take(_ part: UnsafeRawBufferPointer) throws(Failure) -> SnapshotDecoder.Item {
        do throws(SnapshotDecoder.Damage) {
            return try decoder.take(part)
        } catch {
            throw Failure(description: "\(file.path): \(error)")
        }
    }

    /// Fewer bytes at the end of the file.
    private func read(_ count: Int) throws(Failure) -> UnsafeRawBufferPointer {
        if buffer.count < count {
            buffer.deallocate()
            buffer = .allocate(byteCount: count, alignment: 16)
        }
        do throws(LoopError) {
            let got = try file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
            offset += got
            return UnsafeRawBufferPointer(rebasing: buffer[..<got])
        } catch {
            throw Failure(description: error.description)
        }
    }
}
