import RaftCore

/// I5: every replica, in every life, applies the same commands at the same indexes and comes to the
/// same state.
struct ApplyOracle {
    private struct Track {
        /// By index: the hash of the command applied there; nil where there is none.
        var commands: [UInt64?] = [nil]
        /// By index: the machine's digest after it, where some replica paused there.
        var digests: [UInt64?] = [nil]
        /// The highest index that any replica has applied.
        var highest = LogIndex.zero
    }

    private var tracks: [Track] = []

    mutating func addTrack() { tracks.append(Track()) }

    /// The hash of the command that was applied at an index.
    func record(_ track: Int, _ index: LogIndex) -> UInt64? {
        let commands = tracks[track].commands
        return index.rawValue < commands.count ? commands[Int(index.rawValue)] : nil
    }

    /// The last command at `index` or before.
    func lastCommand(_ track: Int, upTo index: LogIndex) -> LogIndex {
        let commands = tracks[track].commands
        var place = min(Int(index.rawValue), commands.count - 1)
        while place > 0, commands[place] == nil { place -= 1 }
        return LogIndex(UInt64(place))
    }

    func highest(_ track: Int) -> LogIndex { tracks[track].highest }

    /// `node`, whose last command was at `previous`, applies one at `index`. Says whether it is the
    /// first to do so.
    mutating func apply(
        _ track: Int, node: NodeID, previous: LogIndex, index: LogIndex, command: UInt64
    ) -> (isNew: Bool, Finding?) {
        guard index > previous else {
            return (
                false, (.stateMachineSafety, "node \(node) applies \(index) after \(previous)")
            )
        }
        let place = Int(index.rawValue)
        while tracks[track].commands.count <= place { tracks[track].commands.append(nil) }
        for skipped in Int(previous.rawValue) + 1..<place
        where tracks[track].commands[skipped] != nil {
            return (false, (.stateMachineSafety, "node \(node) skips the command at \(skipped)"))
        }
        if let before = tracks[track].commands[place] {
            guard before != command else { return (false, nil) }
            return (
                false,
                (.stateMachineSafety, "node \(node) applies another command at \(index)")
            )
        }
        guard index > tracks[track].highest else {
            return (
                false, (.stateMachineSafety, "node \(node) applies \(index), which others skipped")
            )
        }
        tracks[track].commands[place] = command
        tracks[track].highest = index
        return (true, nil)
    }

    /// A machine's digest after the command at `index`. Says whether there was one to compare with.
    mutating func digest(
        _ track: Int, node: NodeID, index: LogIndex, digest: UInt64
    ) -> (wasCompared: Bool, Finding?) {
        let place = Int(index.rawValue)
        while tracks[track].digests.count <= place { tracks[track].digests.append(nil) }
        guard let before = tracks[track].digests[place] else {
            tracks[track].digests[place] = digest
            return (false, nil)
        }
        guard before == digest else {
            return (true, (.stateMachineSafety, "node \(node) has another state at \(index)"))
        }
        return (true, nil)
    }
}
