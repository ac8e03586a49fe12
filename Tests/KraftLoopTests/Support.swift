import Foundation
import KraftLoop
import Synchronization

extension EventLoop {
    /// Runs `body` on the loop and answers with what it returned or threw.
    func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in
            execute { continuation.resume(with: Result { try body() }) }
        }
    }

    /// A loop that runs until the body is through.
    static func with(_ body: (EventLoop) async throws -> Void) async throws {
        let loop = try EventLoop()
        try loop.start()
        do {
            try await body(loop)
        } catch {
            await loop.stopAndWait()
            throw error
        }
        await loop.stopAndWait()
    }

    func stopAndWait() async {
        await withCheckedContinuation { continuation in stop { continuation.resume() } }
        join()
    }
}

/// A value that a test waits for; set at most once.
final class Promise<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiter: CheckedContinuation<Value, Never>?
    }
    private let state = Mutex(State())

    func fulfil(_ value: Value) {
        let waiter = state.withLock { state -> CheckedContinuation<Value, Never>? in
            guard state.value == nil else { return nil }
            state.value = value
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: value)
    }

    var isFulfilled: Bool { state.withLock { $0.value != nil } }

    var value: Value {
        get async {
            await withCheckedContinuation { continuation in
                let known = state.withLock { state -> Value? in
                    if state.value == nil { state.waiter = continuation }
                    return state.value
                }
                if let known { continuation.resume(returning: known) }
            }
        }
    }
}

/// A folder of its own for one test.
func withTemporaryFolder(_ body: (Folder) async throws -> Void) async throws {
    let url = FileManager.default.temporaryDirectory.appending(path: "kraft-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    try await body(Folder(url.path))
}
