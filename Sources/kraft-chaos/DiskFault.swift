import Foundation

/// What can happen to the folder of a node that doesn't run.
enum DiskFault: String, CaseIterable {
    case flip, cut, zero, zeroFile, deleteFile, swap, olderCopy, wipe

    /// Whether it is done to one file.
    var isOfFile: Bool {
        switch self {
        case .flip, .cut, .zero, .zeroFile, .deleteFile: true
        case .swap, .olderCopy, .wipe: false
        }
    }

    /// Does harm to some file of a data folder that holds anything; says what, nil if there is none.
    func spoil(_ folder: URL, _ random: inout SeededGenerator) throws -> String? {
        let files = DiskFault.files(of: folder)
        guard let file = files.randomElement(using: &random) else { return nil }
        let name = file.pathComponents.suffix(2).joined(separator: "/")
        if self == .deleteFile {
            try FileManager.default.removeItem(at: file)
            return "deleted \(name)"
        }
        var bytes = [UInt8](try Data(contentsOf: file))
        guard !bytes.isEmpty else { return nil }
        // Behind what was written there are only zeros.
        let used = max(1, (bytes.lastIndex { $0 != 0 } ?? 0) + 1)
        let offset = DiskFault.offset(in: used, &random)
        let what: String
        switch self {
        case .flip:
            let count = Int.random(in: 1...3, using: &random)
            for place in offset..<min(used, offset + count) {
                bytes[place] ^= UInt8.random(in: 1...255, using: &random)
            }
            what = "flipped bits of \(count) bytes at \(offset) of \(used) in \(name)"
        case .cut:
            bytes.removeLast(bytes.count - offset)
            what = "cut \(name) at \(offset) of \(used)"
        case .zero:
            let end = min(used, offset + Int.random(in: 1...64, using: &random) * 512)
            for place in offset..<end { bytes[place] = 0 }
            what = "zeroed \(end - offset) bytes at \(offset) of \(used) in \(name)"
        default:
            bytes = [UInt8](repeating: 0, count: bytes.count)
            what = "zeroed all of \(name)"
        }
        try Data(bytes).write(to: file)
        return what
    }

    /// Anywhere, but often near the end: there lies what is hardest to judge.
    private static func offset(in used: Int, _ random: inout SeededGenerator) -> Int {
        let isNearEnd = Int.random(in: 0..<3, using: &random) == 0
        return Int.random(in: isNearEnd ? max(0, used - 8_192)..<used : 0..<used, using: &random)
    }

    /// All of the node's files but the lock, sorted; those of the log twice as likely.
    private static func files(of folder: URL) -> [URL] {
        let all = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        let files = (all?.compactMap { $0 as? URL } ?? []).filter {
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: $0.path, isDirectory: &isFolder)
                && !isFolder.boolValue && $0.lastPathComponent != "LOCK"
        }.sorted { $0.path < $1.path }
        return files + files.filter { $0.pathExtension == "seg" }
    }
}
