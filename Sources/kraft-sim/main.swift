import KraftTestKit

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

// Runs seeds of the simulator outside of the tests: one with everything it says, or many.
//
//   kraft-sim SEED            one seed, with a log
//   kraft-sim --hash SEED     one seed, prints only its trace hash
//   kraft-sim FROM COUNT      many seeds; ends at the first that fails

/// What a trap was doing: read by a signal handler.
nonisolated(unsafe) var currentSeed: UInt64 = 0

/// A broken invariant of the engine traps: say with which seed.
func announceTraps() {
    for number in [SIGILL, SIGTRAP, SIGSEGV, SIGABRT] {
        signal(number) { number in
            // Only what a signal handler may call: no allocation.
            for byte in "TRAPPED, reproduce: make sim SEED=".utf8 { put(byte) }
            var divisor: UInt64 = 10_000_000_000_000_000_000
            while divisor > max(currentSeed, 1) { divisor /= 10 }
            while divisor > 0 {
                put(UInt8(48 + currentSeed / divisor % 10))
                divisor /= 10
            }
            put(10)
            signal(number, SIG_DFL)
            raise(number)
        }
    }
}

func put(_ byte: UInt8) {
    _ = withUnsafeBytes(of: byte) { write(2, $0.baseAddress, 1) }
}

func show(_ report: SwarmRun.Report) {
    print("seed \(report.plan.seed): \(report.plan)")
    for violation in report.violations { print("VIOLATION \(violation)") }
    print("trace hash \(report.traceHash), \(report.simulated.rawValue / 1_000_000) ms simulated")
    if !report.isClean { print("reproduce: \(report.reproduction)") }
}

announceTraps()
let arguments = CommandLine.arguments.dropFirst()
let numbers = arguments.compactMap { UInt64($0) }
if arguments.first == "--hash", let seed = numbers.first {
    currentSeed = seed
    print(SwarmRun.run(seed: seed).traceHash)
} else if numbers.count == 1 {
    currentSeed = numbers[0]
    let report = SwarmRun.run(seed: numbers[0]) {
        print($0)
        fflush(nil)
    }
    for line in report.coverage.lines { print(line) }
    show(report)
    exit(report.isClean ? 0 : 1)
} else if numbers.count == 2 {
    var coverage = Coverage()
    var simulated: UInt64 = 0
    for seed in numbers[0]..<(numbers[0] + numbers[1]) {
        currentSeed = seed
        let report = SwarmRun.run(seed: seed)
        coverage += report.coverage
        simulated += report.simulated.rawValue
        guard report.isClean else {
            show(report)
            exit(1)
        }
    }
    for line in coverage.lines { print(line) }
    print("\(numbers[1]) seeds, \(simulated / 1_000_000_000) simulated seconds, all clean")
} else {
    print("usage: kraft-sim SEED | kraft-sim --hash SEED | kraft-sim FROM COUNT")
    exit(64)
}
