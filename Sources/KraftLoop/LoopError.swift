import CKraftUV

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What the system said when a call failed: weather, never a bug.
package struct LoopError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The negative errno, as libuv gives it.
    package var code: Int32
    /// What was tried, for a human: `write data/wal/0001.seg`.
    package var operation: String
    /// A sync failed: what was written before it may be lost, and can't be trusted to be there.
    package var isOfSync = false

    package init(_ code: Int32, _ operation: String, isOfSync: Bool = false) {
        self.code = code
        self.operation = operation
        self.isOfSync = isOfSync
    }

    package var reason: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
            guard let base = text.baseAddress else { return "error \(code)" }
            _ = uv_strerror_r(code, base, text.count)
            return String(cString: base)
        }
    }

    package var description: String { "\(operation): \(reason)" }

    package var isAddressInUse: Bool { code == Int32(UV_EADDRINUSE.rawValue) }
    package var isEndOfStream: Bool { code == Int32(UV_EOF.rawValue) }
    package var isNoSuchFile: Bool { code == Int32(UV_ENOENT.rawValue) }
    /// Too many open files, or no memory: it may be better in a moment.
    package var isShortage: Bool {
        [UV_EMFILE, UV_ENFILE, UV_ENOMEM].contains { code == Int32($0.rawValue) }
    }
    package var isTaken: Bool { code == Int32(UV_EAGAIN.rawValue) }
    /// The disk, or what this user may have of it, is full.
    package var isOutOfSpace: Bool { code == Int32(UV_ENOSPC.rawValue) || code == -EDQUOT }

    static let invalid = Int32(UV_EINVAL.rawValue)
    static let again = Int32(UV_EAGAIN.rawValue)
    static let endOfStream = Int32(UV_EOF.rawValue)
    static let noSpace = Int32(UV_ENOSPC.rawValue)
    static let noMemory = Int32(UV_ENOMEM.rawValue)
    static let ioError = Int32(UV_EIO.rawValue)
}
