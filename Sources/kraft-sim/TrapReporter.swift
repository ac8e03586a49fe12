import Foundation

/// A broken invariant of the engine traps: says which seed was running.
enum TrapReporter {
    nonisolated(unsafe) private static var seed: UInt64 = 0

    static func begin(_ seed: UInt64) { self.seed = seed }

    static func install() {
        for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV] {
            signal(number) { number in
                TrapReporter.tell()
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    /// Only what a signal handler may do: no allocation.
    private static func tell() {
        guard seed > 0 else { return }
        for byte in "TRAPPED, reproduce: make sim SEED=".utf8 { put(byte) }
        var divisor: UInt64 = 10_000_000_000_000_000_000
        while divisor > seed { divisor /= 10 }
        while divisor > 0 {
            put(UInt8(48 + seed / divisor % 10))
            divisor /= 10
        }
        put(10)
    }

    private static func put(_ byte: UInt8) {
        _ = withUnsafeBytes(of: byte) { write(2, $0.baseAddress, 1) }
    }
}

/// Prints a line at once: whoever reads a pipe wants it now.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
