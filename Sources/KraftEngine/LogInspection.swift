import KraftRouting
import RaftCore

/// What is in a log, for tools and tests: what a node that starts on these bytes recovers.
package enum LogInspection {
    package struct Entry: Hashable, Sendable {
        package var index: LogIndex
        package var term: Term
        /// Of the entry's kind and payload.
        package var hash: UInt64
    }

    package struct Group: Sendable {
        package var id: GroupID
        package var name: GroupName
        package var incarnation: UInt64
        /// Those of the log, ascending; the first holds before the first entry.
        package var configurations: [Raft.Configuration]
        package var term: Term
        package var vote: NodeID
        /// Ascending, without gaps.
        package var entries: [Entry]
    }

    /// The groups that live, ascending by id. `segments` ascend in number.
    ///
    /// Throws `storage` for what a node would refuse to start on.
    package static func inspect(
        _ segments: [(number: UInt64, bytes: UnsafeRawBufferPointer)]
    ) throws(KraftError) -> [Group] {
        var entries: [GroupID: [Entry]] = [:]  // ordered: looked up only
        let log = try LogRecovery.read(segments) { header, payload in
            guard header.kind == .entries else { return }
            // In place: a copy for each record would cost the square of the log.
            while let last = entries[header.group, default: []].last, last.index >= header.index {
                entries[header.group, default: []].removeLast()
            }
            var offset = 0
            for number in 0..<header.count {
                let size =
                    LogFormat.entryHeaderSize + EntryRun.payloadCount(payload, at: offset)
                let bytes = UnsafeRawBufferPointer(rebasing: payload[offset..<(offset + size)])
                entries[header.group, default: []].append(
                    Entry(
                        index: header.index + number, term: header.term,
                        hash: LogFormat.checksum(bytes, seed: 0)))
                offset += size
            }
        }
        return log.groups.map { group in
            Group(
                id: group.id, name: group.name, incarnation: group.incarnation,
                configurations: group.configurations, term: group.hardState.term,
                vote: group.hardState.vote,
                entries: entries[group.id] ?? [])
        }.sorted { $0.id < $1.id }
    }
}
