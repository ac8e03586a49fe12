/// One flat JSON object on a line: names with strings, integers, true, false or null.
///
/// Enough for histories, and without Foundation, which values don't import.
struct JSONLine: Equatable {
    enum Value: Equatable {
        case string(String)
        case unsigned(UInt64)
        case negative(Int64)
        case bool(Bool)
        case null
    }

    struct Malformed: Error, Equatable {
        var message: String
    }

    /// In the order of the line.
    private(set) var members: [(name: String, value: Value)] = []

    init() {}

    static func == (left: JSONLine, right: JSONLine) -> Bool {
        left.members.elementsEqual(right.members) { $0 == $1 }
    }

    subscript(name: String) -> Value? { members.first { $0.name == name }?.value }

    mutating func add(_ name: String, _ value: Value) { members.append((name, value)) }
    mutating func add(_ name: String, _ text: String) { add(name, .string(text)) }
    mutating func add(_ name: String, _ number: UInt64) { add(name, .unsigned(number)) }

    mutating func add(_ name: String, _ number: Int64) {
        add(name, number < 0 ? .negative(number) : .unsigned(UInt64(number)))
    }

    // MARK: Writing

    var text: String {
        var text = "{"
        for (place, member) in members.enumerated() {
            if place > 0 { text += "," }
            JSONLine.quote(member.name, into: &text)
            text += ":"
            switch member.value {
            case .string(let string): JSONLine.quote(string, into: &text)
            case .unsigned(let number): text += "\(number)"
            case .negative(let number): text += "\(number)"
            case .bool(let bool): text += bool ? "true" : "false"
            case .null: text += "null"
            }
        }
        return text + "}"
    }

    private static func quote(_ string: String, into text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                text += "\\u00" + Hexadecimal.encode([UInt8(scalar.value)])
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }

    // MARK: Reading

    /// - `bytes`: one object, with white space around it at most.
    init(parsing bytes: some Collection<UInt8>) throws(Malformed) {
        var parser = JSONLineParser(bytes: Array(bytes))
        members = try parser.parse()
    }
}

private struct JSONLineParser {
    let bytes: [UInt8]
    var place = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

    private func fail(_ expected: String) -> JSONLine.Malformed {
        JSONLine.Malformed(message: "column \(place + 1): expected \(expected)")
    }

    mutating func parse() throws(JSONLine.Malformed) -> [(name: String, value: JSONLine.Value)] {
        var members: [(name: String, value: JSONLine.Value)] = []
        try expect("{")
        if !take("}") {
            repeat {
                let name = try string()
                try expect(":")
                members.append((name, try value()))
            } while take(",")
            try expect("}")
        }
        skipSpace()
        guard next == nil else { throw fail("the end of the line") }
        return members
    }

    private mutating func skipSpace() {
        while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { place += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(JSONLine.Malformed) {
        guard take(character) else { throw fail("'\(character)'") }
    }

    private mutating func value() throws(JSONLine.Malformed) -> JSONLine.Value {
        skipSpace()
        switch next {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(
        _ word: String, _ value: JSONLine.Value
    ) throws(JSONLine.Malformed) -> JSONLine.Value {
        guard bytes[place...].starts(with: word.utf8) else { throw fail(word) }
        place += word.utf8.count
        return value
    }

    private mutating func number() throws(JSONLine.Malformed) -> JSONLine.Value {
        let start = place
        if next == UInt8(ascii: "-") { place += 1 }
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { place += 1 }
        let text = String(decoding: bytes[start..<place], as: UTF8.self)
        if let number = UInt64(text) { return .unsigned(number) }
        if let number = Int64(text) { return .negative(number) }
        place = start
        throw fail("a string, a 64-bit integer, true, false or null")
    }

    private mutating func string() throws(JSONLine.Malformed) -> String {
        try expect("\"")
        var text: [UInt8] = []
        while let byte = next {
            place += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw fail("UTF-8")
                }
                return string
            case UInt8(ascii: "\\"): try escape(into: &text)
            case ..<0x20: throw fail("no control character")
            default: text.append(byte)
            }
        }
        throw fail("'\"'")
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONLine.Malformed) {
        guard let byte = next else { throw fail("an escape") }
        place += 1
        switch byte {
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "u"):
            var code = UInt32(try codeUnit())
            if (0xD800..<0xDC00).contains(code) {
                guard next == UInt8(ascii: "\\") else { throw fail("a low surrogate") }
                place += 1
                guard next == UInt8(ascii: "u") else { throw fail("a low surrogate") }
                place += 1
                let low = UInt32(try codeUnit())
                guard (0xDC00..<0xE000).contains(low) else { throw fail("a low surrogate") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw fail("a character") }
            text += Array(String(Character(scalar)).utf8)
        default: throw fail("an escape")
        }
    }

    private mutating func codeUnit() throws(JSONLine.Malformed) -> UInt16 {
        guard place + 4 <= bytes.count,
            let unit = Hexadecimal.decode(
                String(decoding: bytes[place..<(place + 4)], as: UTF8.self))
        else { throw fail("four hexadecimal digits") }
        place += 4
        return UInt16(unit[0]) << 8 | UInt16(unit[1])
    }
}

/// Bytes as pairs of hexadecimal digits.
enum Hexadecimal {
    static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Nil for anything but pairs of digits.
    static func decode(_ text: String) -> [UInt8]? {
        let text = Array(text.utf8)
        guard text.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: text.count, by: 2) {
            guard let high = digit(text[start]), let low = digit(text[start + 1]) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
