import Foundation
import Testing

/// Replays the scripts in `Dialogues`. `make dialogues` writes their traces anew; then look at what
/// has changed.
@Suite("Dialogues")
struct DialogueTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Dialogues")

    static let names: [String] = {
        let files = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
        return (files ?? []).filter { $0.hasSuffix(".txt") }.sorted()
    }()

    @Test("the replicas say what the script expects", arguments: names)
    func replay(_ name: String) throws {
        let file = DialogueTests.folder.appendingPathComponent(name)
        let script = try String(contentsOf: file, encoding: .utf8)
        let replayed = try Dialogue.replay(script)
        if ProcessInfo.processInfo.environment["KRAFT_REWRITE_DIALOGUES"] != nil {
            if replayed != script {
                try replayed.write(to: file, atomically: true, encoding: .utf8)
            }
            return
        }
        let expected = script.split(separator: "\n", omittingEmptySubsequences: false)
        let actual = replayed.split(separator: "\n", omittingEmptySubsequences: false)
        for number in 0..<max(expected.count, actual.count) {
            let want = number < expected.count ? expected[number] : "nothing more"
            let have = number < actual.count ? actual[number] : "nothing more"
            guard want != have else { continue }
            Issue.record(
                """
                \(name):\(number + 1)
                expected: \(want)
                but:      \(have)
                If that is right: make dialogues
                """)
            return
        }
    }

    @Test("there are scripts, and a wrong trace or command is found")
    func canFail() throws {
        #expect(DialogueTests.names.count >= 12)
        #expect(
            try Dialogue.replay("> cluster 1\n  wrong\n> status")
                != "> cluster 1\n  wrong\n> status")
        for broken in ["> status", "> cluster 1\n> dance 1", "> cluster 1\n> persist 2"] {
            #expect(throws: Dialogue.Failure.self) { try Dialogue.replay(broken) }
        }
    }
}
