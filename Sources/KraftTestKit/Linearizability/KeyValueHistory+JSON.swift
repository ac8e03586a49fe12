// Histories of the key-value store as JSON lines, for other checkers: docs/guides/linearizability.md
// says what the fields mean.

/// Why a file of JSON lines is no history.
public struct HistoryFormatError: Error, Equatable, CustomStringConvertible {
    /// From 1.
    public var line: Int
    public var message: String

    public var description: String { "line \(line): \(message)" }
}

extension History where Model == KeyValueModel {
    // MARK: Writing

    /// Gives each event as a JSON object without line breaks, in the order in which they happened;
    /// what is open ends with `info` after everything else.
    public func forEachJSONLine(_ body: (String) -> Void) {
        for event in events { body(line(event).text) }
    }

    private struct Event {
        var place: Int
        var isInvocation: Bool
        var time: UInt64
    }

    private var events: [Event] {
        let last = entries.reduce(0) { max($0, $1.invoked, $1.isOpen ? 0 : $1.returned) }
        var events: [Event] = []
        for (place, entry) in entries.enumerated() {
            events.append(Event(place: place, isInvocation: true, time: entry.invoked))
            let time = entry.isOpen ? last : entry.returned
            events.append(Event(place: place, isInvocation: false, time: time))
        }
        // Of one instant: first what ends, since a process may ask again at once; last, what is open.
        return events.sorted { ($0.time, order($0), $0.place) < ($1.time, order($1), $1.place) }
    }

    private func order(_ event: Event) -> Int {
        let entry = entries[event.place]
        if event.isInvocation { return 1 }
        if entry.isOpen { return 2 }
        return entry.returned > entry.invoked ? 0 : 1
    }

    private func line(_ event: Event) -> JSONLine {
        let entry = entries[event.place]
        var line = JSONLine()
        line.add("process", Int64(entry.process))
        line.add("type", event.isInvocation ? "invoke" : entry.ending)
        line.add("f", entry.operation.name)
        line.add("key", entry.object)
        switch entry.operation {
        case .get:
            if event.isInvocation { line.add("value", .null) }
        case .put(let value, let condition):
            line.add(value: value)
            if let condition { line.add("if_version", condition) }
        case .delete(let condition):
            if let condition { line.add("if_version", condition) }
        case .append(let piece): line.add(value: piece)
        case .increment(let by): line.add("by", by)
        }
        if !event.isInvocation {
            switch entry.outcome {
            case .answered(let answer, _): line.add(answer)
            case .refused: line.add("error", "refused")
            case .open: break
            }
        }
        line.add("time", event.time)
        return line
    }

    // MARK: Reading

    /// Reads what `forEachJSONLine` has written, or another tool in that form. Empty lines are
    /// skipped, unknown fields ignored; an invocation without an end is open.
    public init(jsonLines bytes: [UInt8]) throws(HistoryFormatError) {
        self.init()
        var reader = HistoryReader()
        var number = 0
        for part in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            if part.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            do throws(JSONLine.Malformed) {
                try reader.take(JSONLine(parsing: part))
            } catch {
                throw HistoryFormatError(line: number, message: error.message)
            }
        }
        for entry in reader.entries { append(entry) }
    }
}

private struct HistoryReader {
    typealias Entry = History<KeyValueModel>.Entry

    var entries: [Entry] = []
    private var running: [Int64: Int] = [:]

    mutating func take(_ line: JSONLine) throws(JSONLine.Malformed) {
        let process = try line.signed("process")
        let time = try line.unsigned("time")
        let type = try line.string("type")
        if type == "invoke" {
            guard running[process] == nil else {
                throw JSONLine.Malformed(message: "process \(process) invokes before it has ended")
            }
            running[process] = entries.count
            entries.append(
                Entry(
                    process: Int(process), object: try line.string("key"),
                    operation: try line.operation(), invoked: time, outcome: .open))
            return
        }
        guard let place = running.removeValue(forKey: process) else {
            throw JSONLine.Malformed(message: "process \(process) ends what it never invoked")
        }
        guard time >= entries[place].invoked else {
            throw JSONLine.Malformed(message: "time: before the invocation")
        }
        let operation = entries[place].operation
        guard try line.string("f") == operation.name else {
            throw JSONLine.Malformed(message: "f: not what process \(process) has invoked")
        }
        switch type {
        case "ok": entries[place].outcome = .answered(try line.answer(to: operation), at: time)
        case "fail":
            let isConflict = line["error"] == .string("conflict")
            entries[place].outcome =
                isConflict
                ? .answered(.conflict(version: try line.number("version")), at: time)
                : .refused(at: time)
        case "info": break
        default: throw JSONLine.Malformed(message: "type: not invoke, ok, fail or info")
        }
    }
}

extension History<KeyValueModel>.Entry {
    fileprivate var isOpen: Bool { outcome == .open }

    fileprivate var ending: String {
        switch outcome {
        case .answered(.conflict, _), .refused: "fail"
        case .answered: "ok"
        case .open: "info"
        }
    }
}

extension KeyValueModel.Operation {
    fileprivate var name: String {
        switch self {
        case .get: "get"
        case .put: "put"
        case .delete: "delete"
        case .append: "append"
        case .increment: "increment"
        }
    }
}

extension JSONLine {
    // MARK: Writing

    /// Text as it is, other bytes in hexadecimal digits.
    fileprivate mutating func add(value: [UInt8]) {
        if let text = String(validating: value, as: UTF8.self) {
            add("value", text)
        } else {
            add("value", Hexadecimal.encode(value))
            add("encoding", "hex")
        }
    }

    fileprivate mutating func add(_ answer: KeyValueModel.Answer) {
        var version: UInt64?
        switch answer {
        case .value(let value, let number):
            add(value: value)
            version = number
        case .missing: add("value", .null)
        case .written(let number): version = number
        case .deleted(let existed, let number):
            add("existed", .bool(existed))
            version = number
        case .appended(let length, let number):
            if let length { add("length", UInt64(length)) }
            version = number
        case .incremented(let value, let number):
            add("value", value)
            version = number
        case .conflict(let number):
            add("error", "conflict")
            version = number
        }
        if let version { add("version", version) }
    }

    // MARK: Reading

    fileprivate func string(_ name: String) throws(Malformed) -> String {
        guard case .string(let text) = self[name] else {
            throw Malformed(message: "\(name): a string is missing")
        }
        return text
    }

    /// Nil if there is none.
    fileprivate func number(_ name: String) throws(Malformed) -> UInt64? {
        switch self[name] {
        case nil, .null: return nil
        case .unsigned(let number): return number
        default: throw Malformed(message: "\(name): not a number from 0")
        }
    }

    fileprivate func unsigned(_ name: String) throws(Malformed) -> UInt64 {
        guard let number = try number(name) else {
            throw Malformed(message: "\(name): a number is missing")
        }
        return number
    }

    fileprivate func signed(_ name: String) throws(Malformed) -> Int64 {
        switch self[name] {
        case .negative(let number): return number
        case .unsigned(let number) where number <= UInt64(Int64.max): return Int64(number)
        default: throw Malformed(message: "\(name): a signed 64-bit number is missing")
        }
    }

    private func bytes() throws(Malformed) -> [UInt8] {
        let text = try string("value")
        guard self["encoding"] != nil else { return Array(text.utf8) }
        guard self["encoding"] == .string("hex"), let bytes = Hexadecimal.decode(text) else {
            throw Malformed(message: "encoding: only hex is known, in pairs of digits")
        }
        return bytes
    }

    fileprivate func operation() throws(Malformed) -> KeyValueModel.Operation {
        switch try string("f") {
        case "get": .get
        case "put": .put(try bytes(), ifVersion: try number("if_version"))
        case "delete": .delete(ifVersion: try number("if_version"))
        case "append": .append(try bytes())
        case "increment": .increment(by: try signed("by"))
        case let name: throw Malformed(message: "f: '\(name)' is not known")
        }
    }

    fileprivate func answer(
        to operation: KeyValueModel.Operation
    ) throws(Malformed) -> KeyValueModel.Answer {
        let version = try number("version")
        switch operation {
        case .get:
            guard self["value"] != .null else { return .missing }
            return .value(try bytes(), version: version)
        case .put: return .written(version: version)
        case .delete:
            guard case .bool(let existed) = self["existed"] else {
                throw Malformed(message: "existed: true or false is missing")
            }
            return .deleted(existed: existed, index: version)
        case .append:
            guard let length = try number("length") else {
                return .appended(length: nil, version: version)
            }
            guard let count = Int(exactly: length) else {
                throw Malformed(message: "length: too large")
            }
            return .appended(length: count, version: version)
        case .increment: return .incremented(value: try signed("value"), version: version)
        }
    }
}
