import RaftCore

/// The payloads of the two kinds of session entries; docs/disk-format.md describes them. They go
/// from node to node in the same form, with a stamp of 0: the leader puts in the true one when it
/// takes them into its log.
enum SessionEntry {
    /// Before a command: stamp, session, sequence, epoch of its route (0: none).
    static let commandHeaderSize = 32
    /// Before what a change names: stamp, and which change it is.
    static let changeHeaderSize = 9

    private static let open: UInt8 = 1
    private static let touch: UInt8 = 2
    private static let close: UInt8 = 3

    struct Command {
        var stamp: UInt64
        var tag: SessionTag
        /// 0: not chosen by a router.
        var route: UInt64
        var bytes: UnsafeRawBufferPointer
    }

    static func stamp(of payload: UnsafeRawBufferPointer) -> UInt64 {
        UInt64(littleEndian: payload.loadUnaligned(as: UInt64.self))
    }

    // MARK: Writing

    static func write(
        _ tag: SessionTag, route: UInt64, _ command: UnsafeRawBufferPointer,
        into writer: inout ByteWriter
    ) {
        writer.write(UInt64(0))
        writer.write(tag.session.rawValue)
        writer.write(tag.sequence)
        writer.write(route)
        writer.write(raw: command)
    }

    static func write(_ change: SessionChange, into writer: inout ByteWriter) {
        writer.write(UInt64(0))
        switch change {
        case .open(let id, let ttl):
            writer.write(open)
            writer.write(id.rawValue)
            writer.write(ttl)
        case .touch(let ids):
            writer.write(touch)
            for id in ids { writer.write(id.rawValue) }
        case .close(let id):
            writer.write(close)
            writer.write(id.rawValue)
        }
    }

    // MARK: Reading

    /// Whether an entry of one of the two kinds may hold these bytes.
    static func isSound(_ kind: EntryKind, _ payload: UnsafeRawBufferPointer) -> Bool {
        kind == .session ? change(payload) != nil : command(payload) != nil
    }

    /// Nil for what `write` could not have written.
    static func command(_ payload: UnsafeRawBufferPointer) -> Command? {
        guard payload.count >= commandHeaderSize else { return nil }
        func load(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        let command = Command(
            stamp: load(0),
            tag: SessionTag(session: SessionID(load(8)), sequence: load(16)), route: load(24),
            bytes: UnsafeRawBufferPointer(rebasing: payload[commandHeaderSize...]))
        guard command.stamp < ByteReader.numberLimit, command.tag.isValid else { return nil }
        return command
    }

    /// Nil for what `write` could not have written.
    static func change(_ payload: UnsafeRawBufferPointer) -> SessionChange? {
        var reader = ByteReader(payload)
        do throws(ByteReader.Malformed) {
            guard try reader.read(UInt64.self) < ByteReader.numberLimit else { return nil }
            let change: SessionChange
            switch try reader.read(UInt8.self) {
            case open:
                change = .open(
                    SessionID(try reader.read()), ttlMilliseconds: try reader.read())
            case touch:
                guard reader.remaining <= 8 * SessionChange.touchLimit else { return nil }
                var ids: [SessionID] = []
                while reader.remaining > 0 { ids.append(SessionID(try reader.read())) }
                change = .touch(ids)
            case close: change = .close(SessionID(try reader.read()))
            default: return nil
            }
            return change.isValid && reader.remaining == 0 ? change : nil
        } catch { return nil }
    }
}
