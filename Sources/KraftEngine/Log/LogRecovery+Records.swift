import KraftRouting
import RaftCore

/// What each record of a log says.
extension LogRecovery {
    mutating func take(
        _ header: RecordHeader, _ payload: UnsafeRawBufferPointer, at position: LogPosition
    ) {
        do throws(RecoveringGroup.Contradiction) {
            guard header.term.rawValue < ByteReader.numberLimit else {
                throw RecoveringGroup.Contradiction(reason: "a term beyond all limits")
            }
            try takeChecked(header, payload, at: position)
        } catch {
            note(
                LogDamage(
                    segment: position.segment, offset: position.offset, reason: error.reason))
        }
    }

    private mutating func takeChecked(
        _ header: RecordHeader, _ payload: UnsafeRawBufferPointer, at position: LogPosition
    ) throws(RecoveringGroup.Contradiction) {
        switch header.kind {
        case .groupCreated:
            let record: GroupRecord = try decode(payload)
            let known = places[header.group].flatMap { groups[$0] }
            if known?.isDamaged == false {
                note(
                    LogDamage(
                        segment: position.segment, offset: position.offset,
                        reason: "a group begins twice"))
            }
            add(RecoveringGroup(id: header.group, record, at: position))
        case .groupRemoved:
            let record: GroupRecord = try decode(payload)
            change { log in
                if record.isFormerMember {
                    log.lists.note(former: record.replica, of: header.group)
                } else {
                    log.lists.note(tombstone: record.incarnation, of: record.name)
                }
            }
            if let place = places.removeValue(forKey: header.group) { groups[place] = nil }
        case .boot:
            let boot: BootRecord = try decode(payload)
            change { $0.lists.note(boot) }
        case .roster:
            let entry: RosterEntry = try decode(payload)
            change { $0.lists.note(entry) }
        case .identity:
            let identity: PeerIdentity = try decode(payload)
            let node = NodeID(UInt32(truncatingIfNeeded: header.count))
            change { $0.lists.note(identity, of: node) }
        case .nodeLists:
            let lists: NodeLists = try decode(payload)
            change { $0.lists.add(lists) }
        case .hardState:
            let state = HardState(term: header.term, vote: NodeID(UInt32(header.count)))
            try change(header, position) { (group) throws(RecoveringGroup.Contradiction) in
                try group.take(state, at: position)
            }
        case .entries:
            try change(header, position) { (group) throws(RecoveringGroup.Contradiction) in
                try group.takeEntries(header, payload, at: position)
            }
        case .rewritten:
            try change(header, position) { (group) throws(RecoveringGroup.Contradiction) in
                try group.takeRewritten(header, payload, at: position)
            }
        case .checkpoint:
            let checkpoint: Checkpoint = try decode(payload)
            try change(header, position) { (group) throws(RecoveringGroup.Contradiction) in
                try group.take(checkpoint, at: position)
            }
        case .logStart:
            let start = header.index.rawValue
            guard start > log.start, start <= position.segment else {
                throw RecoveringGroup.Contradiction(reason: "a senseless start of the log")
            }
            change { log in
                log.start = start
                log.startSequence = header.term.rawValue
            }
        }
    }

    private func decode<T: BinaryCodable>(
        _ payload: UnsafeRawBufferPointer
    ) throws(RecoveringGroup.Contradiction) -> T {
        var reader = ByteReader(payload)
        do throws(ByteReader.Malformed) { return try T(from: &reader) } catch {
            throw RecoveringGroup.Contradiction(reason: "a malformed record")
        }
    }

    private mutating func add(_ group: RecoveringGroup) {
        if let place = places[group.id] { groups[place] = nil }
        places[group.id] = groups.count
        groups.append(group)
    }

    private mutating func change(
        _ header: RecordHeader, _ position: LogPosition,
        _ body: (inout RecoveringGroup) throws(RecoveringGroup.Contradiction) -> Void
    ) throws(RecoveringGroup.Contradiction) {
        if places[header.group] == nil {
            // Its first records are gone, with the segments before or by damage.
            guard log.firstSegment > 1 || beginsInMiddle || !log.damages.isEmpty else {
                throw RecoveringGroup.Contradiction(reason: "a record of an unknown group")
            }
            add(
                RecoveringGroup(
                    id: header.group, isDamaged: !log.damages.isEmpty, at: position))
        }
        guard let place = places[header.group], var group = groups[place] else { return }
        // Moved out and back, so that it is changed in place.
        groups[place] = nil
        defer { groups[place] = group }
        try body(&group)
    }

    /// What the records come to, all in all.
    mutating func settle() {
        var settled: [RecoveredGroup] = []
        for case let group? in groups {
            // Of a group whose beginning is lost nothing is left that could be kept.
            guard let (end, problem) = group.finished() else {
                if !group.isDamaged {
                    note(end(of: group.id, "none of its records says whose it is"))
                }
                continue
            }
            if let problem, !end.isDamaged { note(self.end(of: end.id, problem)) }
            settled.append(end)
        }
        // What was found just now concerns those that were settled before, too.
        for place in settled.indices {
            guard let group = places[settled[place].id].flatMap({ groups[$0] }) else { continue }
            settled[place].isDamaged = group.isDamaged
            settled[place].isMarkedDamaged = group.record?.isDamaged ?? false
        }
        change { $0.groups = settled }
    }

    private func end(of group: GroupID, _ problem: String) -> LogDamage {
        LogDamage(
            segment: log.end.segment, offset: log.end.offset, reason: "group \(group): \(problem)")
    }
}
