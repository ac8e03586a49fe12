import KraftLoop
import Synchronization

/// Brings a state machine to the state that a snapshot's file holds. On the pool.
enum RestoreWork {
    /// Ends restores under way, from any thread.
    final class Stop: Sendable {
        private let flag = Atomic(false)
        var isSet: Bool { flag.load(ordering: .relaxed) }
        func set() { flag.store(true, ordering: .relaxed) }
    }

    /// Answers with the engine's part of the state.
    static func run(
        _ box: MachineBox, _ path: String, _ name: SnapshotName, _ stop: Stop
    ) -> Result<[UInt8], FileSnapshots.Failure> {
        do {
            let file = try File(path, .read)
            var offset = 0
            let reader = SnapshotReader(name) { buffer in
                guard !stop.isSet else { throw FileSnapshots.Failure("the node shuts down") }
                let count = try file.read(into: buffer, at: offset)
                offset += count
                return count
            }
            return .success(try box.restore(from: reader))
        } catch is ByteReader.Malformed {
            return .failure(.init("\(path): the state machine can't read what it holds"))
        } catch {
            return .failure(.init("\(error)"))
        }
    }
}
