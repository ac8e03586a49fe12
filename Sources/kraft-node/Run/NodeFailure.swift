import ArgumentParser
import KraftMultiRaft

/// Why a node process ends with something else than 0.
struct NodeFailure: Error, Equatable {
    var exit: ExitCode
    var message: String

    init(_ exit: ExitCode, _ message: String) {
        self.exit = exit
        self.message = message
    }

    init(_ error: KraftError) {
        message = error.description
        exit =
            switch error.code {
            // A data folder in use or of another node is told to the node wrongly.
            case .configuration, .badRequest, .conflict: NodeExit.usage
            case .storage: NodeExit.storage
            default: NodeExit.internalError
            }
    }
}
