import KraftRouting
import RaftCore

/// The payload of the records that tell of a group's beginning and end on this node.
struct GroupRecord: Hashable {
    var name: GroupName
    var incarnation: UInt64
    var replica: ReplicaID
    /// The members before the group's first entry.
    var base: Membership
    /// Of an end: the group lives on elsewhere, without this node.
    var isFormerMember = false
    /// It was added as a witness.
    var isWitness = false
    /// What the replica had acknowledged may be lost: it must be replaced by another.
    var isDamaged = false

    private static let formerFlag: UInt8 = 1
    private static let witnessFlag: UInt8 = 2
    private static let damagedFlag: UInt8 = 4

    var encoded: [UInt8] {
        var writer = ByteWriter()
        encode(into: &writer)
        return writer.bytes
    }

    func encode(into writer: inout ByteWriter) {
        writer.writeString(name.string)
        writer.write(incarnation)
        writer.write(position: replica.added)
        writer.write(
            (isFormerMember ? GroupRecord.formerFlag : 0)
                | (isWitness ? GroupRecord.witnessFlag : 0)
                | (isDamaged ? GroupRecord.damagedFlag : 0))
        base.encode(into: &writer)
    }
}

extension GroupRecord: BinaryCodable {
    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        let string = try reader.readString(limit: GroupName.lengthLimit)
        guard let name = GroupName(string) else { throw ByteReader.Malformed() }
        self.name = name
        incarnation = try reader.readNumber()
        replica = ReplicaID(added: try reader.readPosition())
        let known = GroupRecord.formerFlag | GroupRecord.witnessFlag | GroupRecord.damagedFlag
        let flags = try reader.readFlags(known: known)
        isFormerMember = flags & GroupRecord.formerFlag != 0
        isWitness = flags & GroupRecord.witnessFlag != 0
        isDamaged = flags & GroupRecord.damagedFlag != 0
        base = try Membership(from: &reader)
    }
}
