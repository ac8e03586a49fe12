// What makes the search fast. See `SequentialModel`.

extension KeyValueModel {
    /// The version that the operation made or saw, or where in the log it was applied.
    public func position(_ operation: Operation, _ answer: Answer) -> UInt64? {
        guard versionsRise else { return nil }
        return switch answer {
        case .value(_, let version), .conflict(let version), .written(let version),
            .appended(_, let version), .incremented(_, let version):
            version == 0 ? nil : version
        case .deleted(_, let index): index
        case .missing: nil
        }
    }

    /// What unheard operations could do to a value.
    public struct Summary: Sendable {
        var isAppended = false
        /// Whether digits are appended, so that a number may become any other.
        var isDigitAppended = false
        var isAdded = false
        /// The least and the most that increments add up to.
        var sums: ClosedRange<Int64> = 0...0
        /// Those with a condition. They may put anything in the place of a value.
        var conditional: [Operation] = []
    }

    public func summary(unheard operations: [(operation: Operation, count: Int)]) -> Summary {
        var summary = Summary()
        for (operation, count) in operations {
            switch operation {
            case .append(let piece):
                summary.isAppended = true
                if piece.allSatisfy(KeyValueModel.isNumeric) { summary.isDigitAppended = true }
            case .increment(let by):
                summary.isAdded = true
                summary.add(by, count)
            case .put(_, .some), .delete(.some): summary.conditional.append(operation)
            default: break
            }
        }
        return summary
    }

    public func canBuild(
        on state: State, towards operation: Operation, _ answer: Answer, unheard: Summary
    ) -> Bool {
        var (operation, answer) = (operation, answer)
        if versionsRise, let version = version(neededBy: operation, answer) {
            guard !heardVersions.contains(version) else { return false }
            // It comes after the write that left this value.
            if let value = values[version] {
                (operation, answer) = (.get, .value(value, version: version))
            }
        }
        return unheard.conditional.contains { step(state, $0, nil) != nil }
            || (unheard.isAppended || unheard.isAdded)
                && canGrow(state, operation, answer, unheard)
    }

    /// The version that the key must have for the operation to be given this answer.
    private func version(neededBy operation: Operation, _ answer: Answer) -> UInt64? {
        let version: UInt64? =
            switch (operation, answer) {
            case (_, .value(_, let version)), (_, .conflict(let version)): version
            case (.put(_, let condition), _), (.delete(let condition), _): condition
            default: nil
            }
        return version == 0 ? nil : version
    }

    /// As `canBuild`, when only appends and increments can come in between.
    private func canGrow(
        _ state: State, _ operation: Operation, _ answer: Answer, _ unheard: Summary
    ) -> Bool {
        let old = state.value ?? []
        let mayBeNumber = old.allSatisfy(KeyValueModel.isNumeric)
        switch (operation, answer) {
        case (.get, .value(let value, _)):
            if unheard.isAppended, value.count > old.count || state.value == nil,
                value.starts(with: old)
            {
                return true
            }
            return canCount(from: state, to: value, unheard)
        case (.get, _), (_, .conflict(0?)), (.put(_, nil), _), (.put(_, 0?), .written),
            (.delete(0?), .deleted):
            return false
        case (.increment(let by), .incremented(let sum, _)):
            return canCount(from: state, to: Array("\(sum &- by)".utf8), unheard)
        case (.increment, _): return mayBeNumber
        case (.delete(nil), _), (_, .conflict(nil)):
            // That there is a value is all that counts, and any but this version.
            return state.value == nil || state.isExact
        case (.append(let piece), .appended(let length?, let version)):
            if let value = version.flatMap({ values[$0] }) {
                guard value.suffix(piece.count) == piece[...] else { return false }
                let before = Array(value.dropLast(piece.count))
                return canGrow(state, .get, .value(before, version: nil), unheard)
            }
            return length > old.count + piece.count || mayBeNumber && unheard.isAdded
        default: return true
        }
    }

    /// Whether increments, and appends after them, can make this value of a number.
    private func canCount(from state: State, to value: [UInt8], _ unheard: Summary) -> Bool {
        guard unheard.isAdded, (state.value ?? []).allSatisfy(KeyValueModel.isNumeric) else {
            return false
        }
        if unheard.isDigitAppended { return true }
        let digits = value.prefix { KeyValueModel.isNumeric($0) }
        guard let number = state.value.map({ KeyValueModel.number($0) }) ?? 0,
            let wanted = KeyValueModel.number(Array(digits))
        else { return false }
        let (difference, overflow) = wanted.subtractingReportingOverflow(number)
        return overflow || unheard.sums.contains(difference)
    }

    // MARK: Writes that nobody saw

    public func prepared(
        unheard: [Operation], answers: [Answer]
    ) -> (model: KeyValueModel, unheard: [Operation]) {
        var model = self
        for answer in answers where versionsRise {
            switch answer {
            case .value(let value, let version?): model.values[version] = value
            case .written(let version?), .appended(_, let version?), .incremented(_, let version?),
                .deleted(_, let version?):
                model.heardVersions.insert(version)
            default: break
            }
        }
        return (model, KeyValueModel.simplified(unheard, answers))
    }

    /// Makes writes equal whose bytes nobody has read.
    private static func simplified(
        _ operations: [Operation], _ answers: [Answer]
    ) -> [Operation] {
        let seen = longestValues(answers)
        // Stands for bytes that nobody read, so it must be in no value that somebody did read.
        var isTaken = Array(repeating: false, count: 256)
        for value in seen { for byte in value { isTaken[Int(byte)] = true } }
        guard
            let filler = (UInt8.min...UInt8.max).first(where: {
                !isTaken[Int($0)] && !isNumeric($0)
            })
        else { return operations }
        func simple(_ bytes: [UInt8]) -> [UInt8] {
            // A number has to stay one, and what isn't one must not become one.
            guard !bytes.allSatisfy(isNumeric), !seen.contains(where: { contains($0, bytes) })
            else { return bytes }
            return Array(repeating: filler, count: bytes.count)
        }
        return operations.map { operation in
            switch operation {
            case .put(let value, let condition): .put(simple(value), ifVersion: condition)
            case .append(let piece): .append(simple(piece))
            default: operation
            }
        }
    }

    /// The values that were read, without those that another one begins with.
    private static func longestValues(_ answers: [Answer]) -> [[UInt8]] {
        var values = answers.compactMap { answer in
            if case .value(let value, _) = answer { value } else { nil }
        }
        values.sort { $0.lexicographicallyPrecedes($1) }
        return values.indices.compactMap { place in
            place + 1 < values.count && values[place + 1].starts(with: values[place])
                ? nil : values[place]
        }
    }

    private static func contains(_ value: [UInt8], _ part: [UInt8]) -> Bool {
        guard let first = part.first else { return true }
        guard value.count >= part.count else { return false }
        return value.withUnsafeBufferPointer { value in
            part.withUnsafeBufferPointer { part in
                (0...(value.count - part.count)).contains { start in
                    value[start] == first
                        && value[start..<(start + part.count)].elementsEqual(part)
                }
            }
        }
    }
}

extension KeyValueModel.Summary {
    fileprivate mutating func add(_ by: Int64, _ count: Int) {
        let (product, overflow) = by.multipliedReportingOverflow(by: Int64(count))
        let most = overflow ? (by < 0 ? Int64.min : .max) : product
        func sum(_ left: Int64, _ right: Int64) -> Int64 {
            let (sum, overflow) = left.addingReportingOverflow(right)
            return overflow ? (right < 0 ? .min : .max) : sum
        }
        sums =
            by < 0
            ? sum(sums.lowerBound, most)...sums.upperBound
            : sums.lowerBound...sum(sums.upperBound, most)
    }
}
