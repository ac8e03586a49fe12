/// One key of the key-value store: put, get, delete, append, increment, and conditions on versions.
///
/// Versions are optional in every answer; what is known of them is checked.
public struct KeyValueModel: SequentialModel {
    public enum Operation: Hashable, Sendable {
        case get
        /// `ifVersion`: the version that the key must have; 0 for "has no value".
        case put([UInt8], ifVersion: UInt64? = nil)
        case delete(ifVersion: UInt64? = nil)
        case append([UInt8])
        case increment(by: Int64)
    }

    public enum Answer: Hashable, Sendable {
        /// To a get.
        case value([UInt8], version: UInt64?)
        case missing
        /// To a put.
        case written(version: UInt64?)
        /// `index`: where in the log, in the way of a version.
        case deleted(existed: Bool, index: UInt64?)
        /// `length`: of the whole value, in bytes.
        case appended(length: Int?, version: UInt64?)
        /// `value`: the sum.
        case incremented(value: Int64, version: UInt64?)
        /// The condition failed, and nothing changed: the version is another one, namely `version`
        /// if known; or, for an increment, the value is no number or the sum doesn't fit.
        case conflict(version: UInt64?)
    }

    /// A value and what is known of its version.
    public struct State: Hashable, Sendable {
        /// Nil when the key has none.
        var value: [UInt8]?
        /// The version of the last write, if exact; otherwise a version that was before it.
        var version: UInt64
        var isExact: Bool
    }

    /// Whether every later write of a key has a higher version, as within one group's log.
    public var versionsRise: Bool

    /// What the answers of the history say, if known: versions of writes that were answered, and
    /// values that versions were read with.
    var heardVersions: Set<UInt64> = []
    var values: [UInt64: [UInt8]] = [:]

    public init(versionsRise: Bool = true) { self.versionsRise = versionsRise }

    public var initialState: State { State(value: nil, version: 0, isExact: false) }

    public func isRead(_ operation: Operation, _ answer: Answer?) -> Bool {
        switch answer {
        case .conflict, .deleted(existed: false, _): true
        default: operation == .get
        }
    }

    // MARK: What may be answered

    public func step(_ state: State, _ operation: Operation, _ answer: Answer?) -> State? {
        switch (operation, answer) {
        case (.get, .value(let value, let version)):
            guard state.value == value else { return nil }
            return version.map { known($0, in: state) } ?? state
        case (.get, .missing): return state.value == nil ? state : nil
        case (.get, nil): return state
        case (.put(let value, let condition), .written(let version)):
            return written(value, version, to: state, if: condition)
        case (.put(let value, let condition), nil):
            return written(value, nil, to: state, if: condition)
        case (.delete(let condition), .deleted(let existed, let index)):
            guard existed == (state.value != nil) else { return nil }
            return deleted(index, from: state, if: condition)
        case (.delete(let condition), nil): return deleted(nil, from: state, if: condition)
        case (.append(let piece), .appended(let length, let version)):
            let value = (state.value ?? []) + piece
            guard length == nil || length == value.count else { return nil }
            return written(value, version, to: state, if: nil)
        case (.append(let piece), nil):
            return written((state.value ?? []) + piece, nil, to: state, if: nil)
        case (.increment(let by), .incremented(let value, let version)):
            guard let sum = sum(state, by), sum == value else { return nil }
            return written(Array("\(sum)".utf8), version, to: state, if: nil)
        case (.increment(let by), nil):
            guard let sum = sum(state, by) else { return nil }
            return written(Array("\(sum)".utf8), nil, to: state, if: nil)
        case (.put(_, let condition?), .conflict(let actual)),
            (.delete(let condition?), .conflict(let actual)):
            return conflicting(state, with: condition, actual)
        case (.increment(let by), .conflict): return sum(state, by) == nil ? state : nil
        default: return nil
        }
    }

    /// The state, known to have this version; nil if it can't.
    private func known(_ version: UInt64, in state: State) -> State? {
        if state.isExact { return state.version == version ? state : nil }
        // Its last write is unheard, so its version is no other's.
        guard isLater(version, than: state.version), !heardVersions.contains(version),
            isRead(state.value, as: version)
        else { return nil }
        return State(value: state.value, version: version, isExact: true)
    }

    /// Whether everybody who read this version read this value.
    private func isRead(_ value: [UInt8]?, as version: UInt64) -> Bool {
        guard let read = values[version] else { return true }
        return read == value
    }

    /// The state in which a condition holds; nil if it can't.
    private func meeting(_ condition: UInt64?, _ state: State) -> State? {
        switch condition {
        case nil: state
        case 0: state.value == nil ? state : nil
        case let version?: state.value == nil ? nil : known(version, in: state)
        }
    }

    private func written(
        _ value: [UInt8], _ version: UInt64?, to state: State, if condition: UInt64?
    ) -> State? {
        guard let state = meeting(condition, state) else { return nil }
        guard let version else {
            return State(value: value, version: state.version, isExact: false)
        }
        guard isLater(version, than: state.version), isRead(value, as: version) else { return nil }
        return State(value: value, version: version, isExact: true)
    }

    private func deleted(
        _ index: UInt64?, from state: State, if condition: UInt64?
    ) -> State? {
        guard var state = meeting(condition, state) else { return nil }
        if versionsRise, let index {
            guard isLater(index, than: state.version) else { return nil }
            state.version = index
        }
        return State(value: nil, version: state.version, isExact: false)
    }

    private func conflicting(
        _ state: State, with condition: UInt64, _ actual: UInt64?
    ) -> State? {
        if let actual {
            guard actual != condition else { return nil }
            return meeting(actual, state)
        }
        guard state.value != nil else { return condition == 0 ? nil : state }
        return state.isExact && state.version == condition ? nil : state
    }

    private func isLater(_ version: UInt64, than other: UInt64) -> Bool {
        versionsRise ? version > other : true
    }

    /// Nil when the value is no number, or the sum doesn't fit into 64 bits.
    func sum(_ state: State, _ by: Int64) -> Int64? {
        guard let value = state.value else { return by }
        guard let number = KeyValueModel.number(value) else { return nil }
        let (sum, overflow) = number.addingReportingOverflow(by)
        return overflow ? nil : sum
    }

    /// The number that a whole value spells: an optional `-`, then digits, within 64 bits.
    static func number(_ value: [UInt8]) -> Int64? {
        guard value.allSatisfy(isNumeric), let last = value.last,
            last != UInt8(ascii: "-")
        else { return nil }
        return Int64(String(decoding: value, as: UTF8.self))
    }

    /// Whether a value that has this byte may be a number.
    static func isNumeric(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
    }
}
