import KraftRouting
import RaftCore

/// Memberships as they stand in entries, group records and invitations. Little-endian.
extension Membership {
    private static let version: UInt8 = 1
    /// As version 1, with `returning` behind the other masks. Only where that isn't empty.
    private static let returningVersion: UInt8 = 2
    /// 1 + 1 bytes, 20 a member, four masks, goal and end of a change.
    static let encodedLimit = 2 + 20 * memberLimit + 8 + 21 + 18

    func encode(into writer: inout ByteWriter) {
        writer.write(returning.isEmpty ? Membership.version : Membership.returningVersion)
        writer.write(UInt8(members.count))
        for member in members {
            writer.write(member.node.rawValue)
            writer.write(position: member.id.added)
        }
        writer.write(voters.mask)
        writer.write(outgoing.mask)
        writer.write(witnesses.mask)
        if !returning.isEmpty { writer.write(returning.mask) }
        writer.write(UInt8(goal == nil ? 0 : 1))
        if let goal {
            writer.write(position: goal.change)
            writer.write(goal.voters.mask)
            writer.write(goal.kept.mask)
        }
        writer.write(UInt8(finished == nil ? 0 : 1))
        if let finished {
            writer.write(position: finished.change)
            writer.write(UInt8(finished.isAbandoned ? 1 : 0))
        }
    }

    var encoded: [UInt8] {
        var writer = ByteWriter(capacity: Membership.encodedLimit)
        encode(into: &writer)
        return writer.bytes
    }

    /// Throws for what no sequence of changes leads to.
    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        let version = try reader.read(UInt8.self)
        guard version == Membership.version || version == Membership.returningVersion else {
            throw ByteReader.Malformed()
        }
        let count = Int(try reader.read(UInt8.self))
        guard count <= Membership.memberLimit else { throw ByteReader.Malformed() }
        var members: [Replica] = []
        for _ in 0..<count {
            let node = NodeID(try reader.read(UInt32.self))
            members.append(Replica(node, ReplicaID(added: try reader.readPosition())))
        }
        let voters = MemberSet(mask: try reader.read())
        let outgoing = MemberSet(mask: try reader.read())
        let witnesses = MemberSet(mask: try reader.read())
        var returning = MemberSet()
        if version == Membership.returningVersion {
            returning = MemberSet(mask: try reader.read())
            // One way only to write the same.
            guard !returning.isEmpty else { throw ByteReader.Malformed() }
        }
        var goal: Goal?
        if try reader.readFlag() {
            goal = Goal(
                change: try reader.readPosition(), voters: MemberSet(mask: try reader.read()),
                kept: MemberSet(mask: try reader.read()))
        }
        var finished: FinishedChange?
        if try reader.readFlag() {
            finished = FinishedChange(
                change: try reader.readPosition(), isAbandoned: try reader.readFlag())
        }
        let membership = Membership(
            members: members, voters: voters, outgoing: outgoing, witnesses: witnesses,
            returning: returning, goal: goal, finished: finished)
        guard let membership else { throw ByteReader.Malformed() }
        self = membership
    }

    /// The membership that an entry's payload holds, and nothing behind it.
    static func decode(
        _ payload: UnsafeRawBufferPointer
    ) throws(ByteReader.Malformed) -> Membership {
        var reader = ByteReader(payload)
        let membership = try Membership(from: &reader)
        guard reader.remaining == 0 else { throw ByteReader.Malformed() }
        return membership
    }
}

extension MembershipChange {
    func encode(into writer: inout ByteWriter) {
        writer.write(UInt8(clamping: add.count))
        for addition in add.prefix(255) {
            writer.write(addition.node.rawValue)
            writer.write(addition.kind.rawValue)
        }
        writer.write(UInt8(clamping: remove.count))
        for node in remove.prefix(255) { writer.write(node.rawValue) }
    }

    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        self.init()
        for _ in 0..<(try reader.read(UInt8.self)) {
            let node = NodeID(try reader.read(UInt32.self))
            guard let kind = MemberKind(rawValue: try reader.read()) else {
                throw ByteReader.Malformed()
            }
            add.append(.init(node, kind))
        }
        for _ in 0..<(try reader.read(UInt8.self)) {
            remove.append(NodeID(try reader.read(UInt32.self)))
        }
    }
}

extension ByteWriter {
    mutating func write(position: EntryPosition) {
        write(position.term.rawValue)
        write(position.index.rawValue)
    }
}

extension ByteReader {
    /// Numbers from outside stay below this, so that sums of them can't overflow.
    static let numberLimit: UInt64 = 1 << 62

    mutating func readNumber() throws(Malformed) -> UInt64 {
        let value = try read(UInt64.self)
        guard value < ByteReader.numberLimit else { throw Malformed() }
        return value
    }

    mutating func readPosition() throws(Malformed) -> EntryPosition {
        let term = Term(try readNumber())
        return EntryPosition(index: LogIndex(try readNumber()), term: term)
    }

    mutating func readSnapshotName() throws(Malformed) -> SnapshotName {
        let group = GroupID(try read(UInt64.self))
        return SnapshotName(group: group, position: try readPosition(), nonce: try read())
    }

    mutating func readFlag() throws(Malformed) -> Bool {
        let flag = try read(UInt8.self)
        guard flag <= 1 else { throw Malformed() }
        return flag == 1
    }

    /// Refuses bits that nobody gave a meaning.
    mutating func readFlags(known: UInt8) throws(Malformed) -> UInt8 {
        let flags = try read(UInt8.self)
        guard flags & ~known == 0 else { throw Malformed() }
        return flags
    }
}
