import CXXHash

/// The 64-bit xxHash (XXH64) of a key: the position of every hashing router.
///
/// Source: the xxHash specification, algorithm XXH64. Seed 0 for keys; `RingGroup` says what other
/// seeds are for.
@inline(__always)
public func keyHash(_ key: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    XXH64(key.baseAddress, key.count, seed)
}
