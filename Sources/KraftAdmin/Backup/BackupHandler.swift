import HTTPTypes
import Hummingbird
import HummingbirdCore
import KraftMultiRaft
import NIOCore

/// Gives groups' backups out and takes them in, as streams: a few hundred KiB of memory each,
/// however large the state and however slow the client.
struct BackupHandler {
    private static let partSizeBytes = 256 << 10

    let manager: KraftMultiRaft
    let directory: RoutingDirectory
    let book: AddressBook

    /// The backup's bytes, with what they hold in headers. An answer that breaks off is told from a
    /// whole one by its length, and by the end of the snapshot in it.
    func backup(_ name: GroupName, timeout: Duration) async throws(HTTPFault) -> Response {
        let backup: GroupBackup
        do throws(KraftError) {
            backup = try await manager.backup(of: name.string, timeout: max(.zero, timeout))
        } catch {
            throw await fault(error, name)
        }
        var fields = HTTPFields()
        fields[.contentType] = "application/octet-stream"
        fields[BackupHandler.groupHeader] = name.string
        fields[BackupHandler.indexHeader] = "\(backup.position.index)"
        fields[BackupHandler.termHeader] = "\(backup.position.term)"
        let body = ResponseBody(contentLength: backup.byteCount) { writer in
            var offset = 0
            while offset < backup.byteCount {
                let part = try await backup.read(
                    at: offset, count: BackupHandler.partSizeBytes)
                offset += part.count
                try await writer.write(ByteBuffer(bytes: part))
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: fields, body: body)
    }

    /// Into an empty group that this node leads alone.
    func restore(
        _ name: GroupName, _ body: RequestBody, timeout: Duration
    ) async throws(HTTPFault) -> HTTPAnswer {
        do throws(KraftError) {
            let bytes = body.map { Array($0.readableBytesView) }
            let restored = try await manager.restore(
                name.string, from: bytes, timeout: max(.zero, timeout))
            return .json([
                "group": .string(name.string), "index": .unsigned(restored.index.rawValue),
                "bytes": .unsigned(restored.byteCount),
            ])
        } catch {
            throw await fault(error, name)
        }
    }

    /// Streams aren't passed on: who asks is told where the leader is, or to look for another node.
    private func fault(_ error: KraftError, _ name: GroupName) async -> HTTPFault {
        var fault = await HTTPFault.ofGroup(
            error, name, isRouted: directory.owns(name), book)
        fault.elsewhere = nil
        return fault
    }

    private static let groupHeader = HTTPField.Name("Kraft-Group")!
    private static let indexHeader = HTTPField.Name("Kraft-Index")!
    private static let termHeader = HTTPField.Name("Kraft-Term")!
}
