import Foundation
import KraftMultiRaft

/// The file `routing` in the data folder: how the node came into its cluster, and by which routing
/// the cluster's keys are spread. Later starts go by it, not by their flags: another table would
/// look for keys in the wrong groups, and other voters would make other groups.
///
/// Lines of a name and a value: `router hash`, `groups 8`, and `peers 1=host:port,2=host:port` on a
/// node that began the cluster or `joined` on one that came later; that one may not know the other
/// two yet. Written whole and durably, or not at all.
struct NodeRecord: Equatable {
    var origin: Origin
    /// Nil while a node that joined has not learned it.
    var routing: BootstrapRouting?

    enum Origin: Equatable {
        /// It began the cluster, together with these: they are the first voters of its groups.
        /// Empty in folders of before this was recorded.
        case founder([NodeID: String])
        case joined
    }

    /// The first voters of the groups that this node has to make.
    func voters(flags peers: [NodeID: String]) -> [NodeID] {
        guard case .founder(let founders) = origin else { return [] }
        return (founders.isEmpty ? peers : founders).keys.sorted()
    }

    // MARK: Text

    var text: String {
        var lines: [String] = []
        if let routing {
            lines += ["router \(routing.kind.rawValue)", "groups \(routing.groupCount)"]
        }
        switch origin {
        case .founder(let peers) where peers.isEmpty: break
        case .founder(let peers):
            let list = peers.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            lines.append("peers " + list.joined(separator: ","))
        case .joined: lines.append("joined")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Nil for what `text` could not have written.
    init?(_ text: String) {
        var fields: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            let space = line.firstIndex(of: " ") ?? line.endIndex
            let name = line[..<space]
            guard ["router", "groups", "peers", "joined"].contains(name), fields[name] == nil
            else { return nil }
            fields[name] = line[space...].dropFirst()
        }
        switch (fields["router"], fields["groups"]) {
        case (let kind?, let count?):
            guard let routing = BootstrapRouting(kind: String(kind), groupCount: Int(count)) else {
                return nil
            }
            self.routing = routing
        case (nil, nil): routing = nil
        default: return nil
        }
        if fields["joined"] != nil {
            guard fields["peers"] == nil else { return nil }
            origin = .joined
        } else {
            guard routing != nil else { return nil }
            var peers: [NodeID: String] = [:]
            for item in (fields["peers"] ?? "").split(separator: ",") {
                let parts = item.split(separator: "=", maxSplits: 1)
                guard parts.count == 2, let node = UInt32(parts[0]), node > 0,
                    HostPort(String(parts[1])) != nil
                else { return nil }
                peers[NodeID(node)] = String(parts[1])
            }
            origin = .founder(peers)
        }
    }

    init(origin: Origin, routing: BootstrapRouting?) {
        (self.origin, self.routing) = (origin, routing)
    }
}

/// Where a node's record lies.
struct NodeRecordFile {
    static let fileName = "routing"

    var directory: String

    private var path: String { "\(directory)/\(NodeRecordFile.fileName)" }

    /// Nil if there is none. Throws `storage` for one that is damaged.
    func read() throws(KraftError) -> NodeRecord? {
        guard let data = FileManager.default.contents(atPath: path) else {
            guard !FileManager.default.fileExists(atPath: path) else {
                throw KraftError(.storage, "\(path): can't be read")
            }
            return nil
        }
        guard let record = NodeRecord(String(decoding: data, as: UTF8.self)) else {
            throw KraftError(.storage, "\(path): damaged; expected router, groups and peers")
        }
        return record
    }

    /// A new file, synced, renamed into place; then the folder is synced. The folder's lock must be
    /// this process's.
    func write(_ record: NodeRecord) throws(KraftError) {
        do {
            let draft = path + ".new"
            guard
                FileManager.default.createFile(atPath: draft, contents: Data(record.text.utf8))
            else { throw CocoaError(.fileWriteUnknown) }
            try NodeRecordFile.sync(draft)
            guard rename(draft, path) == 0 else {
                throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
            }
            try NodeRecordFile.sync(directory)
        } catch {
            throw KraftError(.storage, "\(path): \(error)")
        }
    }

    private static func sync(_ path: String) throws {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
    }
}
