import KraftKeyValue
import RaftCore
import Testing

/// The plainest thing that could be right.
private struct NaiveStore {
    var content: [[UInt8]: (value: [UInt8], version: UInt64)] = [:]

    mutating func apply(_ command: Store.Command, _ index: UInt64) -> Store.Reply {
        let key = command.key.bytes
        let actual = content[key]?.version ?? 0
        switch command {
        case .put(_, let value, let expected):
            if let expected, expected.rawValue != actual {
                return .conflict(.version(actual: LogIndex(actual)))
            }
            content[key] = (value, index)
            return .written(version: LogIndex(index))
        case .delete(_, let expected):
            if let expected, expected.rawValue != actual {
                return .conflict(.version(actual: LogIndex(actual)))
            }
            return .deleted(existed: content.removeValue(forKey: key) != nil)
        case .append(_, let value):
            let whole = (content[key]?.value ?? []) + value
            content[key] = (whole, index)
            return .appended(version: LogIndex(index), length: UInt64(whole.count))
        case .increment(_, let by):
            let text = content[key].map { String(decoding: $0.value, as: UTF8.self) } ?? "0"
            guard let old = Int64(text), !text.hasPrefix("+") else { return .conflict(.notANumber) }
            let (sum, overflow) = old.addingReportingOverflow(by)
            if overflow { return .conflict(.overflow) }
            content[key] = (Array("\(sum)".utf8), index)
            return .incremented(version: LogIndex(index), value: sum)
        }
    }
}

private func randomCommand(
    _ random: inout SeededGenerator, keys: Int, at index: UInt64
) -> Store.Command {
    let number = Int.random(in: 0..<keys, using: &random)
    let key = Store.Key(String(repeating: "k", count: number % 19) + "\(number)")!
    let ifVersion: LogIndex? =
        Bool.random(using: &random) ? nil : LogIndex(.random(in: 0...index, using: &random))
    let value: [UInt8]
    if Bool.random(using: &random) {
        value = Array("\(Int64.random(in: .min ... .max, using: &random))".utf8)
    } else {
        value = (0..<Int.random(in: 0...40, using: &random)).map { _ in
            .random(in: 0...255, using: &random)
        }
    }
    return switch Int.random(in: 0..<10, using: &random) {
    case 0...3: .put(key, value: value, ifVersion: ifVersion)
    case 4...6: .delete(key, ifVersion: Bool.random(using: &random) ? nil : ifVersion)
    case 7: .append(key, value: value)
    default: .increment(key, by: .random(in: .min ... .max, using: &random))
    }
}

@Suite("The store beside a naive model")
struct ModelTests {
    @Test(
        "answers and holds the same after every random command",
        arguments: [(seed: 1, keys: 3), (2, 40), (3, 700), (4, 5_000)])
    func sameAsModel(seed: UInt64, keys: Int) {
        var random = SeededGenerator(state: seed)
        var store = Store(tableSeed: seed)
        var model = NaiveStore()
        for index in 1...20_000 as ClosedRange<UInt64> {
            let command = randomCommand(&random, keys: keys, at: index)
            let expected = model.apply(command, index)
            let got = store.apply(command, index)
            guard got == expected else {
                Issue.record("seed \(seed), command \(index): \(got), expected \(expected)")
                return
            }
        }
        #expect(store.keyCount == model.content.count)
        #expect(
            store.contentSizeBytes
                == model.content.reduce(0) { $0 + $1.key.count + $1.value.value.count })
        for (key, entry) in model.content {
            #expect(
                store.answer(.get(Store.Key(key)!))
                    == .value(entry.value, version: LogIndex(entry.version)))
        }
    }

    @Test("has the digest of a store that was given only the final content, in another order")
    func digestOfContent() {
        var random = SeededGenerator(state: 99)
        var store = Store(tableSeed: 5)
        var model = NaiveStore()
        for index in 1...5_000 as ClosedRange<UInt64> {
            let command = randomCommand(&random, keys: 300, at: index)
            store.apply(command, index)
            _ = model.apply(command, index)
        }
        var rebuilt = Store(tableSeed: 6)
        for (key, entry) in model.content.shuffled(using: &random) {
            rebuilt.apply(.put(Store.Key(key)!, value: entry.value), entry.version)
        }
        #expect(rebuilt.digest() == store.digest())
    }

    @Test("a batch answers as the single commands do, and refuses what it can't read")
    func batches() {
        var random = SeededGenerator(state: 7)
        var single = Store()
        var batched = Store()
        var index: UInt64 = 1
        for _ in 0..<200 {
            var commands: [[UInt8]] = []
            var expected: [Store.Reply?] = []
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                let position = index + UInt64(commands.count)
                if Int.random(in: 0..<5, using: &random) == 0 {
                    commands.append([0xFF, 1, 2])
                    expected.append(nil)
                } else {
                    let command = randomCommand(&random, keys: 20, at: position)
                    commands.append(encoded(command))
                    expected.append(single.apply(command, position))
                }
            }
            #expect(batched.applyBatch(commands, from: index) == expected)
            index += UInt64(commands.count)
        }
        #expect(single.digest() == batched.digest())
    }
}
