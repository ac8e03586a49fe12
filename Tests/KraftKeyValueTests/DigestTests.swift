import KraftKeyValue
import RaftCore
import Testing

@Suite("The store's digest")
struct DigestTests {
    @Test("is equal for equal content, whatever the history and the table's seed")
    func independentOfHistory() {
        var straight = Store(tableSeed: 1)
        straight.apply(.put("a", value: .init(text: "1")), 10)
        straight.apply(.put("b", value: .init(text: "2")), 11)

        var winding = Store(tableSeed: 2)
        for index in 1...9 as ClosedRange<UInt64> {
            winding.apply(.put(Store.Key("gone-\(index)")!, value: [1]), index)
        }
        for index in 1...9 as ClosedRange<UInt64> {
            winding.apply(.delete(Store.Key("gone-\(index)")!), index)
        }
        winding.apply(.append("b", value: .init(text: "x")), 5)
        // Replicas agree on versions; the order in which they came need not show.
        winding.apply(.put("b", value: .init(text: "2")), 11)
        winding.apply(.put("a", value: .init(text: "1")), 10)

        #expect(straight.digest() == winding.digest())
    }

    @Test("differs when a key, a value, a version or their border differs")
    func differs() {
        func digest(_ commands: [(Store.Command, UInt64)]) -> UInt64 {
            var store = Store()
            for (command, index) in commands { store.apply(command, index) }
            return store.digest()
        }
        let digests = [
            digest([]),
            digest([(.put("a", value: []), 1)]),
            digest([(.put("ab", value: .init(text: "c")), 1)]),
            digest([(.put("a", value: .init(text: "bc")), 1)]),
            digest([(.put("a", value: .init(text: "bc")), 2)]),
            digest([(.put("a", value: .init(text: "bd")), 2)]),
            digest([(.put("a", value: .init(text: "bc")), 1), (.put("x", value: []), 2)]),
        ]
        #expect(Set(digests).count == digests.count)
    }

    @Test("returns to that of the empty store when all is deleted")
    func emptyAgain() {
        var store = Store()
        for index in 1...100 as ClosedRange<UInt64> {
            store.apply(.put(Store.Key("k\(index)")!, value: [UInt8(index)]), index)
        }
        for index in 1...100 as ClosedRange<UInt64> {
            store.apply(.delete(Store.Key("k\(index)")!), 100 + index)
        }
        #expect(store.digest() == Store().digest())
        #expect(store.contentSizeBytes == 0)
    }
}
