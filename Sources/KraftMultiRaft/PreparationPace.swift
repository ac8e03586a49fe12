/// How fast a segment is filled with zeros: at twice the pace at which the log fills the one before
/// it, so that it is ready when that is half full, or at a little pace of its own. In one go it
/// would keep the log's own writes from the disk for tens of milliseconds.
struct PreparationPace {
    /// What is written between two looks, at least.
    static let leastSliceBytes = 256 << 10
    static let leastBytesPerSecond = 32 << 20

    let begunAt: UInt64
    /// What the log had written when it began.
    let loggedBefore: Int
    var zeroedBytes = 0

    /// What is written next: all that it is behind, however long the loop has not looked.
    func slice(logged: Int) -> Int {
        max(PreparationPace.leastSliceBytes, 2 * (logged - loggedBefore) - zeroedBytes)
    }

    /// When the next slice is due, as the log has written so much by now.
    func due(logged: Int) -> UInt64 {
        let ahead = zeroedBytes - 2 * (logged - loggedBefore)
        guard ahead > 0 else { return begunAt }
        let wait = UInt64(ahead) * 1_000_000_000 / UInt64(PreparationPace.leastBytesPerSecond)
        return begunAt + wait
    }
}
