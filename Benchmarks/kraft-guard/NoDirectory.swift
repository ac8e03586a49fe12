import KraftEngine

/// A log folder that keeps nothing but the first, empty segment, as nobody restarts.
struct NoDirectory: LogDirectory {
    private var first: SegmentPreparation?

    func segmentNumbers() -> [UInt64] { [] }
    func snapshotNames() -> [SnapshotName] { [] }
    func rewrite(segment number: UInt64, offset: Int, _ bytes: UnsafeRawBufferPointer) {}
    func sync() {}
    mutating func prepare(_ segment: SegmentPreparation) { first = segment }

    func load(segment number: UInt64) -> Block {
        let block = Block(capacity: first?.sizeBytes ?? 1)
        block.load { target in
            target.initializeMemory(as: UInt8.self, repeating: 0)
            target.copyBytes(from: first?.header ?? [])
            return target.count
        }
        return block
    }
}
