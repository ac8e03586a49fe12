import KraftTestKit

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `kraft-sim check FILE`: judges a history that was exported as JSON lines.
enum HistoryCheck {
    /// The exit code: 0 linearizable, 1 not, 2 undecided, 65 not a history, 66 no such file.
    static func run(file: String) -> Int32 {
        guard let bytes = contents(of: file) else {
            print("\(file) can't be read")
            return 66
        }
        do {
            let history = try History<KeyValueModel>(jsonLines: bytes)
            let report = LinearizabilityChecker(KeyValueModel()).check(history)
            print(report)
            return switch report.verdict {
            case .linearizable: 0
            case .violated: 1
            case .undecided: 2
            }
        } catch {
            print("\(file), \(error)")
            return 65
        }
    }

    private static func contents(of file: String) -> [UInt8]? {
        guard let stream = fopen(file, "r") else { return nil }
        defer { fclose(stream) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = fread(&part, 1, part.count, stream)
            if count == 0 { return ferror(stream) == 0 ? bytes : nil }
            bytes += part[..<count]
        }
    }
}
