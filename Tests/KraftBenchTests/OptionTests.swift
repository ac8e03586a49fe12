import ArgumentParser
import Testing

@testable import kraft_bench

@Suite("The benchmark's command line")
struct OptionTests {
    @Test("lists of counts are taken whole, or not at all")
    func lists() {
        #expect(CountList(argument: "1, 10,100")?.counts == [1, 10, 100])
        #expect(CountList(argument: "1,,2") == nil)
        #expect(CountList(argument: "1,x") == nil)
        #expect(CountList(argument: "") == nil)
    }

    @Test(
        "what makes no sense is refused",
        arguments: [
            ["writes", "--rate", "0"], ["writes", "--rate", "100", "--clients", "async"],
            ["writes", "--rate", "100", "--in-flight", "3"], ["writes", "--skew", "-1"],
            ["writes", "--batch", "4"], ["writes", "--runs", "0"], ["writes", "--seconds", "0"],
            ["idle", "--groups", "0"], ["growth", "--groups", "1,0"],
            ["writes", "--loops", "2", "--clients", "async-on-loop"], ["loops", "--loops", "0"],
            ["neighbour", "--nodes", "0"], ["fail-over", "--groups", "2"],
            ["targets", "--only", "nothing like it"],
        ])
    func refused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try KraftBench.parseAsRoot(arguments) }
    }

    @Test(
        "every subcommand has defaults",
        arguments: [
            "writes", "reads", "idle", "start-up", "fail-over", "growth", "sweep", "away",
            "loops", "neighbour", "targets",
        ])
    func defaults(_ command: String) throws {
        _ = try KraftBench.parseAsRoot([command])
    }
}
