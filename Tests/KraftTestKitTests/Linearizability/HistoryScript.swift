@testable import KraftTestKit

typealias KeyHistory = History<KeyValueModel>
typealias KeyOperation = KeyValueModel.Operation
typealias KeyAnswer = KeyValueModel.Answer

/// One operation of a history, written down for a test.
struct Scripted {
    var operation: KeyOperation
    var invoked: UInt64
    var outcome: KeyHistory.Outcome

    static func ok(
        _ operation: KeyOperation, _ answer: KeyAnswer, _ times: ClosedRange<UInt64>
    ) -> Scripted {
        Scripted(
            operation: operation, invoked: times.lowerBound,
            outcome: .answered(answer, at: times.upperBound))
    }

    /// Nobody knows what became of it.
    static func lost(_ operation: KeyOperation, _ invoked: UInt64) -> Scripted {
        Scripted(operation: operation, invoked: invoked, outcome: .open)
    }

    static func refused(_ operation: KeyOperation, _ times: ClosedRange<UInt64>) -> Scripted {
        Scripted(
            operation: operation, invoked: times.lowerBound,
            outcome: .refused(at: times.upperBound))
    }
}

/// A history of one key, each operation by a process of its own.
func history(_ operations: [Scripted]) -> KeyHistory {
    KeyHistory(
        operations.enumerated().map { place, scripted in
            KeyHistory.Entry(
                process: place, object: "k", operation: scripted.operation,
                invoked: scripted.invoked, outcome: scripted.outcome)
        })
}

func verdict(
    _ history: KeyHistory, versionsRise: Bool = true
) -> LinearizabilityReport.Verdict {
    LinearizabilityChecker(KeyValueModel(versionsRise: versionsRise)).check(history).verdict
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension KeyOperation {
    static func put(_ text: String, if version: UInt64? = nil) -> KeyOperation {
        .put(bytes(text), ifVersion: version)
    }
    static func append(_ text: String) -> KeyOperation { .append(bytes(text)) }
    static let delete = KeyOperation.delete()
}

extension KeyAnswer {
    static func saw(_ text: String, _ version: UInt64? = nil) -> KeyAnswer {
        .value(bytes(text), version: version)
    }
    static func written(_ version: UInt64? = nil) -> KeyAnswer { .written(version: version) }
    static func sum(_ value: Int64, _ version: UInt64? = nil) -> KeyAnswer {
        .incremented(value: value, version: version)
    }
    static func length(_ length: Int, _ version: UInt64? = nil) -> KeyAnswer {
        .appended(length: length, version: version)
    }
    static func deleted(_ existed: Bool, _ index: UInt64? = nil) -> KeyAnswer {
        .deleted(existed: existed, index: index)
    }
}
