import KraftKeyValue
import RaftCore
import Testing

@Suite("The key-value store")
struct KeyValueStoreTests {
    var store = Store()

    @Test("gives back what was put, with the index of the write as version")
    mutating func putAndGet() throws {
        #expect(
            store.apply(.put("a", value: .init(text: "one")), 7) == .written(version: LogIndex(7)))
        let read = try #require(store.value(of: "a"))
        #expect(read == ("one", 7))
        #expect(store.value(of: "b") == nil)
    }

    @Test("keeps keys apart that are prefixes of one another, and keys with zero bytes")
    mutating func similarKeys() {
        let keys: [Store.Key] = [
            "a", "aa", Store.Key([0x61, 0])!, Store.Key([0])!, Store.Key([0, 0])!,
        ]
        for (number, key) in keys.enumerated() {
            store.apply(.put(key, value: .init(text: "\(number)")), UInt64(number + 1))
        }
        for (number, key) in keys.enumerated() {
            #expect(store.value(of: key)?.value == "\(number)")
        }
    }

    @Test("takes keys of 1 to 4,096 bytes and no others")
    func keyBounds() {
        #expect(Store.Key([]) == nil)
        #expect(Store.Key(Array(repeating: 1, count: 1)) != nil)
        #expect(Store.Key(Array(repeating: 1, count: 4_096)) != nil)
        #expect(Store.Key(Array(repeating: 1, count: 4_097)) == nil)
    }

    @Test("writes only on the version expected; 0 means that the key must not exist")
    mutating func conditions() {
        let one = [UInt8](text: "1")
        #expect(
            store.apply(.put("k", value: one, ifVersion: .zero), 1)
                == .written(version: LogIndex(1)))
        #expect(
            store.apply(.put("k", value: one, ifVersion: .zero), 2)
                == .conflict(.version(actual: LogIndex(1))))
        #expect(
            store.apply(.put("k", value: one, ifVersion: LogIndex(1)), 3)
                == .written(version: LogIndex(3)))
        #expect(
            store.apply(.delete("k", ifVersion: LogIndex(1)), 4)
                == .conflict(.version(actual: LogIndex(3))))
        #expect(store.apply(.delete("k", ifVersion: LogIndex(3)), 5) == .deleted(existed: true))
        #expect(
            store.apply(.put("k", value: one, ifVersion: LogIndex(3)), 6)
                == .conflict(.version(actual: .zero)))
        #expect(store.apply(.delete("k", ifVersion: .zero), 7) == .deleted(existed: false))
    }

    @Test("a condition that fails changes neither value, version nor digest")
    mutating func failedConditionChangesNothing() throws {
        store.apply(.put("k", value: .init(text: "v")), 1)
        let digest = store.digest()
        store.apply(.put("k", value: .init(text: "w"), ifVersion: LogIndex(9)), 2)
        store.apply(.increment("k"), 3)
        #expect(store.digest() == digest)
        #expect(try #require(store.value(of: "k")) == ("v", 1))
    }

    @Test("appends at the end and answers the whole length")
    mutating func append() throws {
        #expect(
            store.apply(.append("log", value: .init(text: "ab")), 1)
                == .appended(version: LogIndex(1), length: 2))
        #expect(
            store.apply(.append("log", value: .init(text: "cde")), 2)
                == .appended(version: LogIndex(2), length: 5))
        #expect(try #require(store.value(of: "log")) == ("abcde", 2))
    }

    @Test("refuses values that are, or would become, longer than 1 MiB")
    mutating func valueLimit() {
        let full = [UInt8](repeating: 7, count: Store.valueSizeLimitBytes)
        #expect(store.apply(.put("k", value: full + [1]), 1) == .tooLarge)
        #expect(store.apply(.put("k", value: full), 2) == .written(version: LogIndex(2)))
        #expect(store.apply(.append("k", value: [1]), 3) == .tooLarge)
        #expect(store.apply(.append("new", value: full + [1]), 4) == .tooLarge)
        #expect(
            store.apply(.append("k", value: []), 5)
                == .appended(version: LogIndex(5), length: UInt64(full.count)))
        #expect(store.keyCount == 1)
    }

    @Test("increments decimal numbers, a missing key from 0")
    mutating func increment() throws {
        #expect(
            store.apply(.increment("n"), 1) == .incremented(version: LogIndex(1), value: 1))
        #expect(
            store.apply(.increment("n", by: -12), 2)
                == .incremented(version: LogIndex(2), value: -11))
        #expect(try #require(store.value(of: "n")) == ("-11", 2))
        store.apply(.put("n", value: .init(text: "\(Int64.min + 1)")), 3)
        #expect(
            store.apply(.increment("n", by: -1), 4)
                == .incremented(version: LogIndex(4), value: .min))
        #expect(store.value(of: "n")?.value == "-9223372036854775808")
    }

    @Test("answers a conflict for a sum beyond 64 bits, on either side")
    mutating func incrementOverflow() {
        store.apply(.put("n", value: .init(text: "\(Int64.max)")), 1)
        #expect(store.apply(.increment("n", by: 1), 2) == .conflict(.overflow))
        store.apply(.put("n", value: .init(text: "\(Int64.min)")), 3)
        #expect(store.apply(.increment("n", by: -1), 4) == .conflict(.overflow))
        #expect(store.value(of: "n")?.version == 3)
    }

    @Test(
        "does not take for a number",
        arguments: [
            "", "-", "+1", " 1", "1 ", "1.0", "0x10", "--1", "1-", "nan",
            "9223372036854775808", "-9223372036854775809", "99999999999999999999999", "１",
        ])
    mutating func notANumber(text: String) {
        store.apply(.put("n", value: .init(text: text)), 1)
        #expect(store.apply(.increment("n"), 2) == .conflict(.notANumber))
        #expect(store.value(of: "n")?.value == text)
    }

    @Test("counts its keys and bytes")
    mutating func size() {
        store.apply(.put("ab", value: .init(text: "123")), 1)
        store.apply(.put("c", value: .init(text: "4")), 2)
        store.apply(.append("c", value: .init(text: "56")), 3)
        #expect(store.answer(.size) == .size(keyCount: 2, contentSizeBytes: 9))
        store.apply(.delete("ab"), 4)
        #expect(store.answer(.size) == .size(keyCount: 1, contentSizeBytes: 4))
    }

    @Test("a copy is a value of its own")
    mutating func copies() {
        store.apply(.put("k", value: .init(text: "1")), 1)
        var copy = store
        copy.apply(.put("k", value: .init(text: "2")), 2)
        copy.apply(.delete("k"), 3)
        #expect(store.value(of: "k")?.value == "1")
        #expect(copy.value(of: "k") == nil)
    }
}
