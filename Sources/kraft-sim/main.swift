import Foundation
import KraftTestKit

// Runs seeds of the simulator outside of the tests: one with what happens in it, or many.

let usage = """
    usage:
      kraft-sim SEED [cut…]        one seed (or a plan cut from it): what happens, then the verdict
      kraft-sim FROM COUNT         so many seeds on all cores; a failing one is minimised
      kraft-sim --quick FROM COUNT the same in this process, up to the first that fails
      kraft-sim --minutes M [FROM] new seeds for so long
      kraft-sim --verbose SEED …   as the first, with every request and message
      kraft-sim --minimize SEED …  cuts from a failing plan what isn't needed
      kraft-sim --hash SEED        only the hash of all that happens
      kraft-sim check FILE.jsonl   is this history of clients linearizable?
    """

func fail() -> Never {
    FileHandle.standardError.write(Data((usage + "\n").utf8))
    exit(64)
}

var arguments = Array(CommandLine.arguments.dropFirst())
let command = arguments.first.flatMap { $0.hasPrefix("--") ? $0 : nil }
if command != nil { arguments.removeFirst() }
let numbers = arguments.compactMap { UInt64($0) }
// What a shell gave in one word may be several.
let text = arguments.joined(separator: " ")

if arguments.first == "check", arguments.count == 2 {
    exit(HistoryCheck.run(file: arguments[1]))
}

TrapReporter.install()
switch command {
case nil where numbers.count == 2 && arguments.count == 2:
    exit(Fleet(from: numbers[0], count: numbers[1]).run())
case "--minutes":
    guard let minutes = numbers.first else { fail() }
    let first = numbers.dropFirst().first ?? UInt64(Date().timeIntervalSince1970) * 1_000
    exit(Fleet(from: first, minutes: minutes).run())
case "--quick":
    guard numbers.count == 2 else { fail() }
    exit(Worker.runQuickly(from: numbers[0], end: numbers[0] + numbers[1]))
case "--worker":
    guard numbers.count == 3 else { fail() }
    Worker.run(from: numbers[0], step: numbers[1], end: numbers[2])
case "--judge":
    guard let plan = Plan(text: text) else { fail() }
    Worker.judge(plan)
case "--hash":
    guard let seed = numbers.first else { fail() }
    say(String(SwarmRun.run(seed: seed).traceHash))
case "--minimize":
    guard let plan = Plan(text: text) else { fail() }
    exit(Replay.minimize(plan))
case nil, "--verbose":
    guard let plan = Plan(text: text) else { fail() }
    exit(Replay.show(plan, isVerbose: command != nil))
default: fail()
}
