import CXXHash

/// The XXH3 of bytes that come portion by portion; the same as of all of them at once, seed 0.
public struct RunningChecksum: ~Copyable {
    private let state: OpaquePointer

    public init() {
        guard let state = XXH3_createState() else { fatalError("no memory for a checksum") }
        self.state = state
        XXH3_64bits_reset(state)
    }

    deinit { XXH3_freeState(state) }

    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        XXH3_64bits_update(state, bytes.baseAddress, bytes.count)
    }

    /// Of all bytes so far.
    public var value: UInt64 { XXH3_64bits_digest(state) }

    /// Of these bytes.
    public static func of(_ bytes: some Collection<UInt8>) -> UInt64 {
        Array(bytes).withUnsafeBytes { LogFormat.checksum($0, seed: 0) }
    }
}
