import Dispatch

/// Where backups' files are read and written: a thread of their own, so that those of the loop's pool
/// stay free for the log, however slowly somebody takes a backup.
enum BackupQueue {
    private static let queue = DispatchQueue(label: "kraft.backup", attributes: .concurrent)

    static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withUnsafeContinuation { continuation in
            queue.async { continuation.resume(returning: body()) }
        }
    }
}
