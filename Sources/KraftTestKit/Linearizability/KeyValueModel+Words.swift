extension KeyValueModel.Operation: CustomStringConvertible {
    public var description: String {
        switch self {
        case .get: "get"
        case .put(let value, let condition):
            "put \(words(value))" + (condition.map { " if version \($0)" } ?? "")
        case .delete(let condition): "delete" + (condition.map { " if version \($0)" } ?? "")
        case .append(let piece): "append \(words(piece))"
        case .increment(let by): "increment by \(by)"
        }
    }
}

extension KeyValueModel.Answer: CustomStringConvertible {
    public var description: String {
        switch self {
        case .value(let value, let version): words(value) + suffix(version)
        case .missing: "no value"
        case .written(let version): "done" + suffix(version)
        case .deleted(let existed, let index):
            (existed ? "deleted" : "there was nothing") + suffix(index)
        case .appended(let length, let version):
            (length.map { "\($0) bytes" } ?? "done") + suffix(version)
        case .incremented(let value, let version): "\(value)" + suffix(version)
        case .conflict(let version): "conflict" + suffix(version)
        }
    }

    private func suffix(_ version: UInt64?) -> String { version.map { " @\($0)" } ?? "" }
}

/// A value for a human: its text, or its bytes in hexadecimal, the middle left out if long.
private func words(_ value: [UInt8]) -> String {
    let isPlain = value.allSatisfy { (0x20..<0x7F).contains($0) }
    func spell(_ bytes: some Sequence<UInt8>) -> String {
        isPlain ? String(decoding: Array(bytes), as: UTF8.self) : Hexadecimal.encode(bytes)
    }
    let limit = 96
    guard value.count > limit else { return isPlain ? "'\(spell(value))'" : "x\(spell(value))" }
    return "'\(spell(value.prefix(limit / 2)))…\(spell(value.suffix(limit / 2)))'"
        + " (\(value.count) bytes)"
}
