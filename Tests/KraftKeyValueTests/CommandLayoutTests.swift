import Foundation
import KraftEngine
import KraftKeyValue
import KraftTestKit
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

    static let replies: [Store.Reply] = [
        .written(version: LogIndex(1)), .deleted(existed: true), .deleted(existed: false),
        .appended(version: LogIndex(2), length: 3),
        .incremented(version: LogIndex(4), value: -5),
        .conflict(.version(actual: LogIndex(6))), .conflict(.notANumber), .conflict(.overflow),
        .tooLarge,
    ]

    @Test("every reply is read back as it was written")
    func repliesReadBack() throws {
        for reply in CommandLayoutTests.replies {
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
    func hostileBytes() throws {
        let samples = CommandLayoutTests.commands.map { encoded($0) }
        var store = Store()
        var index: UInt64 = 0
        try fuzzRounds(150_000).run { mutator in
            var bytes = mutator.random.pick(samples)
            mutator.mutate(&bytes, others: samples)
            index += 1
            let accepted = store.applyBatch([bytes], from: index)[0] != nil
            let decoded = bytes.withUnsafeBytes {
                var reader = ByteReader($0)
                let command = try? Store.Command(from: &reader)
                return reader.remaining == 0 ? command : nil
            }
            let isSame = decoded.map { encoded($0) == bytes } ?? true
            if accepted != (decoded != nil) || !isSame { throw Found(seed: mutator.seed) }
        }
    }

    @Test("spoilt replies are refused, or say what their bytes say")
    func hostileReplies() throws {
        let samples = CommandLayoutTests.replies.map { reply in
            var writer = ByteWriter()
            reply.encode(into: &writer)
            return writer.bytes
        }
        try fuzzRounds(150_000).run { mutator in
            var bytes = mutator.random.pick(samples)
            mutator.mutate(&bytes, others: samples)
            let decoded = bytes.withUnsafeBytes {
                var reader = ByteReader($0)
                return try? Store.Reply(from: &reader)
            }
            guard let decoded else { return }
            var writer = ByteWriter()
            decoded.encode(into: &writer)
            if !bytes.starts(with: writer.bytes) { throw Found(seed: mutator.seed) }
        }
    }

    private func fuzzRounds(_ count: Int) -> FuzzRounds {
        FuzzRounds(count, environment: ProcessInfo.processInfo.environment)
    }

    private struct Found: Error, CustomStringConvertible {
        var seed: UInt64
        var description: String { "reproduce: \(FuzzRounds.reproduction(seed))" }
    }
}
