import KraftRouting
import RaftCore

/// Follows a log while it grows, batch by batch, as a node that starts on its bytes would read it;
/// for checkers that look after every write. Reads each batch once.
package struct LogFollower {
    package enum Record {
        case groupCreated(GroupID, ReplicaID)
        /// `isFormerMember`: the group lives on elsewhere.
        case groupRemoved(GroupID, isFormerMember: Bool)
        case hardState(GroupID, term: Term, vote: NodeID)
        /// What stood at `first` and behind is void. Hashes are of each entry's kind and payload; 0
        /// for one whose bytes a witness isn't given.
        case entries(GroupID, first: LogIndex, term: Term, hashes: [UInt64])
        /// Entries that the group holds already stand here, too.
        case rewritten(GroupID, first: LogIndex, term: Term, hashes: [UInt64])
        /// The log up to `base` is given up for `snapshot`; with `isReset` all that stood before.
        case checkpoint(
            GroupID, ReplicaID, HardState, base: EntryPosition, snapshot: SnapshotReference?,
            isReset: Bool)
    }

    private var recovery: LogRecovery

    package init(firstSegment: UInt64 = 1) { recovery = LogRecovery(firstSegment: firstSegment) }

    package init(behind mark: LogMark) { recovery = LogRecovery(behind: mark) }

    /// The segment that the log ends in, as far as it was read.
    package var segment: UInt64 { recovery.log.end.segment }

    /// Reads what is new in a segment: the one that the log ends in, or the one behind. Says
    /// whether anything was.
    package mutating func read(
        _ number: UInt64, _ bytes: UnsafeRawBufferPointer, onRecord: (Record) -> Void
    ) throws(KraftError) -> Bool {
        try recovery.readOn(number, bytes) { header, payload in
            switch header.kind {
            case .groupCreated, .groupRemoved:
                var reader = ByteReader(payload)
                guard let record = try? GroupRecord(from: &reader) else { return }
                onRecord(
                    header.kind == .groupCreated
                        ? .groupCreated(header.group, record.replica)
                        : .groupRemoved(header.group, isFormerMember: record.isFormerMember))
            case .boot, .roster, .identity, .nodeLists, .logStart: break
            case .checkpoint:
                var reader = ByteReader(payload)
                guard let checkpoint = try? Checkpoint(from: &reader) else { return }
                onRecord(
                    .checkpoint(
                        header.group, checkpoint.record.replica, checkpoint.hardState,
                        base: checkpoint.base, snapshot: checkpoint.snapshot,
                        isReset: checkpoint.isReset))
            case .hardState:
                onRecord(
                    .hardState(
                        header.group, term: header.term, vote: NodeID(UInt32(header.count))))
            case .entries:
                onRecord(
                    .entries(
                        header.group, first: header.index, term: header.term,
                        hashes: LogFollower.hashes(payload, count: header.count)))
            case .rewritten:
                onRecord(
                    .rewritten(
                        header.group, first: header.index, term: header.term,
                        hashes: LogFollower.hashes(payload, count: header.count)))
            }
        }
    }

    private static func hashes(_ payload: UnsafeRawBufferPointer, count: Int) -> [UInt64] {
        var hashes: [UInt64] = []
        hashes.reserveCapacity(count)
        var offset = 0
        for _ in 0..<count {
            let size = LogFormat.entryHeaderSize + EntryRun.payloadCount(payload, at: offset)
            let bytes = UnsafeRawBufferPointer(rebasing: payload[offset..<(offset + size)])
            let isWithheld = bytes[4] == EntryKind.withheld.rawValue
            hashes.append(isWithheld ? 0 : LogFormat.checksum(bytes, seed: 0))
            offset += size
        }
        return hashes
    }
}
