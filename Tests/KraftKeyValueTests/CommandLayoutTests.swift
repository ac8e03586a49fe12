import KraftEngine
import KraftKeyValue
import RaftCore
import Testing

@Suite("The layout of commands and replies")
struct CommandLayoutTests {
    static let commands: [Store.Command] = [
        .put("key", value: .init(text: "value")),
        .put("key", value: [], ifVersion: .zero),
        .put("key", value: .init(text: "value"), ifVersion: LogIndex(.max)),
        .delete("key"),
        .delete("key", ifVersion: LogIndex(3)),
        .append("key", value: .init(text: "value")),
        .increment("key", by: .min),
    ]

    @Test("a put is these bytes")
    func pinned() {
        #expect(
            encoded(.put("ab", value: [9, 8, 7], ifVersion: LogIndex(258))) == [
                1, 1, 2, 0, 3, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0x61, 0x62, 9, 8, 7,
            ])
        #expect(encoded(.delete("a")) == [2, 0, 1, 0, 0, 0, 0, 0, 0x61])
    }

    @Test("every command is read back as it was written", arguments: commands)
    func roundTrip(command: Store.Command) throws {
        let bytes = encoded(command) + [0xAA]
        try bytes.withUnsafeBytes { bytes throws in
            var reader = ByteReader(bytes)
            #expect(try Store.Command(from: &reader) == command)
            #expect(reader.remaining == 1)
        }
    }

    @Test("every reply is read back as it was written")
    func replies() throws {
        let replies: [Store.Reply] = [
            .written(version: LogIndex(1)), .deleted(existed: true), .deleted(existed: false),
            .appended(version: LogIndex(2), length: 3),
            .incremented(version: LogIndex(4), value: -5),
            .conflict(.version(actual: LogIndex(6))), .conflict(.notANumber), .conflict(.overflow),
            .tooLarge,
        ]
        for reply in replies {
            var writer = ByteWriter()
            reply.encode(into: &writer)
            try writer.bytes.withUnsafeBytes { bytes throws in
                var reader = ByteReader(bytes)
                #expect(try Store.Reply(from: &reader) == reply)
                #expect(reader.remaining == 0)
            }
        }
    }

    @Test("bytes too few or too many are refused", arguments: commands)
    func wrongLength(command: Store.Command) {
        let bytes = encoded(command)
        var store = Store()
        for count in bytes.indices {
            #expect(store.applyBatch([Array(bytes[..<count])], from: 1) == [nil])
        }
        #expect(store.applyBatch([bytes + [0]], from: 1) == [nil])
        #expect(store.keyCount == 0)
    }

    @Test("an empty or overlong key, an unknown operation or flag, a misplaced field are refused")
    func brokenRules() {
        func header(
            _ operation: UInt8, _ flags: UInt8, key: UInt16, value: UInt32, rest: Int
        ) -> [UInt8] {
            var writer = ByteWriter()
            writer.write(operation)
            writer.write(flags)
            writer.write(key)
            writer.write(value)
            writer.write(raw: Array(repeating: UInt8(1), count: rest))
            return writer.bytes
        }
        let broken = [
            header(1, 0, key: 0, value: 1, rest: 1),
            header(1, 0, key: 4_097, value: 0, rest: 4_097),
            header(0, 0, key: 1, value: 0, rest: 1),
            header(5, 0, key: 1, value: 0, rest: 1),
            header(1, 2, key: 1, value: 0, rest: 1),
            header(2, 0, key: 1, value: 1, rest: 2),
            header(3, 1, key: 1, value: 0, rest: 9),
            header(4, 0, key: 1, value: 1, rest: 10),
            header(4, 1, key: 1, value: 0, rest: 9),
            header(1, 0, key: 1, value: .max, rest: 1),
        ]
        var store = Store()
        #expect(store.applyBatch(broken, from: 1) == broken.map { _ in nil })
    }

    @Test("no byte string makes it trap, and what is accepted is accepted whole")
    func hostileBytes() {
        var random = SeededGenerator(state: 4)
        var store = Store()
        for round in 0..<20_000 {
            var bytes = encoded(CommandLayoutTests.commands[round % 7])
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] =
                    .random(in: 0...255, using: &random)
            }
            let accepted = store.applyBatch([bytes], from: UInt64(round + 1))[0] != nil
            let decoded = bytes.withUnsafeBytes {
                var reader = ByteReader($0)
                let command = try? Store.Command(from: &reader)
                return reader.remaining == 0 ? command : nil
            }
            #expect(accepted == (decoded != nil))
            if let decoded { #expect(encoded(decoded) == bytes) }
        }
    }
}
