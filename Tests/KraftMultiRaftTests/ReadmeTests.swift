import Foundation
import KraftMultiRaft
import Testing

@Suite("The README's first program")
struct ReadmeTests {
    @Test("is, to the letter, the file that these tests compile")
    func sameText() throws {
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let program = try String(
            contentsOf: here.appending(path: "FirstProgram.swift"), encoding: .utf8)
        let readme = try String(
            contentsOf: here.appending(path: "../../README.md"), encoding: .utf8)
        #expect(readme.contains("```swift\n" + program + "```\n"))
    }

    @Test("does what it says, and finds its log when it is run again")
    func runs() async throws {
        let cluster = try await TestCluster(nodes: 1)
        let folder = "\(cluster.folder)/first"
        #expect(try await runNode(1, folder: folder, peers: cluster.addresses) == 1)
        #expect(try await runNode(1, folder: folder, peers: cluster.addresses) == 2)
    }
}
