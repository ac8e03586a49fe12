import Foundation
import KraftMultiRaft

/// The file `routing` in the data folder: with which router and how many groups the node was first
/// started. Later starts go by it, not by their flags, for another table would look for keys in the
/// wrong groups.
///
/// Two lines, `router hash` and `groups 8`. Written whole and durably, or not at all.
struct RoutingRecord {
    static let fileName = "routing"

    var directory: String

    private var path: String { "\(directory)/\(RoutingRecord.fileName)" }

    /// What the node was first started with; `wanted` is recorded if this is the first time.
    func settle(_ wanted: BootstrapRouting) throws(KraftError) -> BootstrapRouting {
        do {
            if let data = FileManager.default.contents(atPath: path) {
                guard let stored = RoutingRecord.parse(String(decoding: data, as: UTF8.self)) else {
                    throw KraftError(.storage, "\(path): damaged; expected router and groups")
                }
                return stored
            }
            try write(RoutingRecord.text(of: wanted))
            return wanted
        } catch let error as KraftError {
            throw error
        } catch {
            throw KraftError(.storage, "\(path): \(error)")
        }
    }

    static func text(of routing: BootstrapRouting) -> String {
        "router \(routing.kind.rawValue)\ngroups \(routing.groupCount)\n"
    }

    static func parse(_ text: String) -> BootstrapRouting? {
        let lines = text.split(separator: "\n")
        guard lines.count == 2, lines[0].hasPrefix("router "), lines[1].hasPrefix("groups "),
            let kind = Router.Kind(rawValue: String(lines[0].dropFirst(7))), kind != .custom,
            let count = Int(lines[1].dropFirst(7)), (1...NodeSettings.groupLimit).contains(count)
        else { return nil }
        return BootstrapRouting(kind: kind, groupCount: count)
    }

    /// A new file, synced, renamed into place; then the folder is synced.
    private func write(_ text: String) throws {
        let draft = path + ".new"
        guard FileManager.default.createFile(atPath: draft, contents: Data(text.utf8)) else {
            throw CocoaError(.fileWriteUnknown)
        }
        try RoutingRecord.sync(draft)
        guard rename(draft, path) == 0 else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
        try RoutingRecord.sync(directory)
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
