import Foundation

/// How figures are written for people and for programs.
enum Report {
    static func table(_ rows: [(String, String)]) -> String {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { name, value in
            let padding = String(repeating: " ", count: width - name.count)
            return value.isEmpty ? "" : "\(name)\(padding)  \(value)"
        }.joined(separator: "\n")
    }

    static func json(_ report: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }

    /// The rows that say what it ran on.
    static func machineRows(
        _ machine: Machine, _ percentUsedByOthers: Double
    ) -> [(String, String)] {
        [
            ("machine", "\(machine.cpu), \(machine.cores) cores, \(machine.kernel)"),
            ("data folder", machine.fileSystem),
            ("used by others meanwhile", "\(decimal(percentUsedByOthers, digits: 0)) % of it"),
        ]
    }

    /// A whole number with its thousands set apart.
    static func count(_ value: Double) -> String {
        let digits = String(Int(value.rounded()))
        var text = ""
        for (place, digit) in digits.enumerated() {
            if place > 0, (digits.count - place) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return text
    }

    static func decimal(_ value: Double, digits: Int = 2) -> String {
        String(format: "%.\(digits)f", value)
    }

    /// From microseconds.
    static func time(_ microseconds: Double) -> String {
        if microseconds < 1_000 { return "\(decimal(microseconds, digits: 0)) µs" }
        if microseconds < 1_000_000 { return "\(decimal(microseconds / 1_000)) ms" }
        return "\(decimal(microseconds / 1_000_000)) s"
    }

    static func bytes(_ count: Double) -> String {
        if abs(count) < 1_024 { return "\(decimal(count, digits: 0)) B" }
        if abs(count) < 1_048_576 { return "\(decimal(count / 1_024, digits: 1)) KiB" }
        return "\(decimal(count / 1_048_576, digits: 1)) MiB"
    }
}
