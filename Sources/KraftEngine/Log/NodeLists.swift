import KraftRouting
import RaftCore

/// What the log says of the node itself: its lives, the other nodes, and what lived here once.
///
/// Written again, in parts, when the segment with the older records is to go. Each part adds to what
/// came before it and takes nothing back.
struct NodeLists {
    struct Tombstone: Hashable {
        var name: GroupName
        var incarnation: UInt64
    }

    struct Former: Hashable {
        var group: GroupID
        var replica: ReplicaID
    }

    struct Life: Hashable {
        var number: UInt64
        var boot: UInt64
    }

    struct Neighbour: Hashable {
        var node: NodeID
        var identity: PeerIdentity
    }

    /// Of the last life; nil for a new folder.
    var boot: BootRecord?
    /// The nonces of all lives, ascending; of so many at most.
    var lives: [Life] = []
    static let lifeLimit = 4_096
    /// The newest word on each node.
    var roster: [RosterEntry] = []
    var neighbours: [Neighbour] = []
    /// The last incarnation of each name that was removed here.
    var tombstones: [Tombstone] = []
    /// The last replica of a group that was a member here and isn't any more.
    var formers: [Former] = []

    /// The log was damaged once: replicas may have lived here that nothing is known of any more.
    var isForgetful = false

    // While a log is read; groups come and go by the thousand.
    private var placeOfName: [GroupName: Int] = [:]  // ordered: looked up only
    private var placeOfFormer: [GroupID: Int] = [:]  // ordered: looked up only

    init() {}

    // MARK: Notes

    mutating func note(_ boot: BootRecord) {
        self.boot = boot
        note(Life(number: boot.lives, boot: boot.boot))
    }

    mutating func note(_ life: Life) {
        if lives.last == life { return }
        let place = lives.lastIndex { $0.number <= life.number }
        if let place, lives[place].number == life.number {
            lives[place] = life
        } else {
            lives.insert(life, at: place.map { $0 + 1 } ?? 0)
        }
        if lives.count > NodeLists.lifeLimit { lives.removeFirst() }
    }

    mutating func note(_ entry: RosterEntry) {
        roster.removeAll { $0.node == entry.node }
        roster.append(entry)
    }

    mutating func note(_ identity: PeerIdentity, of node: NodeID) {
        neighbours.removeAll { $0.node == node }
        neighbours.append(Neighbour(node: node, identity: identity))
    }

    mutating func note(tombstone incarnation: UInt64, of name: GroupName) {
        if let place = placeOfName[name] {
            tombstones[place].incarnation = max(tombstones[place].incarnation, incarnation)
        } else {
            placeOfName[name] = tombstones.count
            tombstones.append(Tombstone(name: name, incarnation: incarnation))
        }
    }

    mutating func note(former replica: ReplicaID, of group: GroupID) {
        if let place = placeOfFormer[group] {
            formers[place].replica = max(formers[place].replica, replica)
        } else {
            placeOfFormer[group] = formers.count
            formers.append(Former(group: group, replica: replica))
        }
    }

    mutating func add(_ part: NodeLists) {
        isForgetful = isForgetful || part.isForgetful
        for life in part.lives { note(life) }
        if let boot = part.boot { note(boot) }
        for entry in part.roster { note(entry) }
        for neighbour in part.neighbours { note(neighbour.identity, of: neighbour.node) }
        for tombstone in part.tombstones {
            note(tombstone: tombstone.incarnation, of: tombstone.name)
        }
        for former in part.formers { note(former: former.replica, of: former.group) }
    }

    // MARK: Parts

    /// The same in parts that are records of a bearable size.
    func parts(itemLimit: Int = 64) -> [NodeLists] {
        var parts: [NodeLists] = []
        var part = NodeLists()
        part.boot = boot
        part.isForgetful = isForgetful
        var count = 0
        func next() {
            count += 1
            guard count >= itemLimit else { return }
            parts.append(part)
            part = NodeLists()
            count = 0
        }
        for item in lives {
            part.lives.append(item)
            next()
        }
        for item in roster {
            part.roster.append(item)
            next()
        }
        for item in neighbours {
            part.neighbours.append(item)
            next()
        }
        for item in tombstones {
            part.tombstones.append(item)
            next()
        }
        for item in formers {
            part.formers.append(item)
            next()
        }
        return parts + [part]
    }
}

extension NodeLists: BinaryCodable {
    func encode(into writer: inout ByteWriter) {
        writer.write(UInt8(boot == nil ? 0 : 1) | UInt8(isForgetful ? 2 : 0))
        boot?.encode(into: &writer)
        writer.write(UInt32(lives.count))
        for life in lives {
            writer.write(life.number)
            writer.write(life.boot)
        }
        writer.write(UInt32(roster.count))
        for entry in roster { entry.encode(into: &writer) }
        writer.write(UInt32(neighbours.count))
        for neighbour in neighbours {
            writer.write(neighbour.node.rawValue)
            neighbour.identity.encode(into: &writer)
        }
        writer.write(UInt32(tombstones.count))
        for tombstone in tombstones {
            writer.writeString(tombstone.name.string)
            writer.write(tombstone.incarnation)
        }
        writer.write(UInt32(formers.count))
        for former in formers {
            writer.write(former.group.rawValue)
            writer.write(position: former.replica.added)
        }
    }

    // Every item takes bytes, so a count that lies ends with them.
    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        let flags = try reader.readFlags(known: 3)
        isForgetful = flags & 2 != 0
        if flags & 1 != 0 { boot = try BootRecord(from: &reader) }
        for _ in 0..<(try reader.read(UInt32.self)) {
            lives.append(Life(number: try reader.read(), boot: try reader.read()))
        }
        for _ in 0..<(try reader.read(UInt32.self)) {
            roster.append(try RosterEntry(from: &reader))
        }
        for _ in 0..<(try reader.read(UInt32.self)) {
            let node = NodeID(try reader.read(UInt32.self))
            neighbours.append(
                Neighbour(node: node, identity: try PeerIdentity(from: &reader)))
        }
        for _ in 0..<(try reader.read(UInt32.self)) {
            let string = try reader.readString(limit: GroupName.lengthLimit)
            guard let name = GroupName(string) else { throw ByteReader.Malformed() }
            tombstones.append(Tombstone(name: name, incarnation: try reader.readNumber()))
        }
        for _ in 0..<(try reader.read(UInt32.self)) {
            let group = GroupID(try reader.read(UInt64.self))
            formers.append(
                Former(group: group, replica: ReplicaID(added: try reader.readPosition())))
        }
    }
}
