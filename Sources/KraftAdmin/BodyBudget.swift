import Synchronization

/// Bounds the memory that the bodies of all requests under way may take together.
final class BodyBudget: Sendable {
    let limitBytes: Int
    private let reserved = Mutex(0)

    init(limitBytes: Int) { self.limitBytes = limitBytes }

    /// Runs `body` with so many bytes reserved; nil, without running it, when they aren't there.
    func reserving<R>(_ bytes: Int, _ body: () async throws -> R) async throws -> R? {
        let isGranted = reserved.withLock { reserved in
            guard bytes <= limitBytes - reserved else { return false }
            reserved += bytes
            return true
        }
        guard isGranted else { return nil }
        defer { reserved.withLock { $0 -= bytes } }
        return try await body()
    }
}
