import ArgumentParser

/// The exit codes of the contract.
enum NodeExit {
    static let usage = ExitCode(64)
    static let unreachable = ExitCode(69)
    static let internalError = ExitCode(70)
    static let storage = ExitCode(74)
    /// Stopped by Ctrl-C before the work was done, as shells expect it.
    static let interrupted = ExitCode(130)
}
