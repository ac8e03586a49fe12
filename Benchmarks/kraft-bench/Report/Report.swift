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
        machineRows(machine) + [
            ("used by others meanwhile", "\(decimal(percentUsedByOthers, digits: 0)) % of it")
        ]
    }

    static func machineRows(_ machine: Machine) -> [(String, String)] {
        [
            ("machine", "\(machine.cpu), \(machine.cores) cores, \(machine.kernel)"),
            ("data folder", machine.fileSystem),
        ]
    }

    /// What the machine itself took in the same run.
    static func limitRows(_ limits: [MachineLimits]) -> [(String, String)] {
        func words(_ times: [Percentiles]) -> String {
            let p50 = Spread(times.map(\.p50))?.text(time) ?? ""
            let p99 = Spread(times.map(\.p99))?.text(time) ?? ""
            return "p50 \(p50), p99 \(p99)"
        }
        return [
            ("disk, 4 KiB + fdatasync", words(limits.map(\.fdatasync))),
            ("loopback, 64 B and back", words(limits.map(\.loopback))),
        ]
    }

    /// Several columns with a head, all set to the right.
    static func columns(_ head: [String], _ lines: [[String]]) -> String {
        let widths = head.indices.map { column in
            ([head] + lines).map { $0[column].count }.max() ?? 0
        }
        return ([head] + lines).map { cells in
            zip(cells, widths).map { cell, width in
                String(repeating: " ", count: width - cell.count) + cell
            }.joined(separator: "   ")
        }.joined(separator: "\n")
    }

    /// How often `limit` fits into a value.
    static func ratio(_ value: Double, by limit: Double) -> Double { value / max(limit, 0.001) }

    static func ratio(_ value: Double) -> String { "\(decimal(value, digits: 1)) ×" }

    static func microseconds(_ value: Double) -> String { "\(decimal(value)) µs" }

    static func seconds(_ value: Double) -> String { "\(decimal(value, digits: 1)) s" }

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
