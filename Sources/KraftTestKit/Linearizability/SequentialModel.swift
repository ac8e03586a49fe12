/// What an object answers when it is asked one thing at a time: the specification that a concurrent
/// history is held against.
///
/// `initialState` and `step` say everything. The other members only make the search faster; their
/// defaults are right for every model.
///
/// ```swift
/// struct Sum: SequentialModel {
///     var initialState = 0
///     func step(_ sum: Int, _ added: Int, _ answer: Int?) -> Int? {
///         answer == nil || answer == sum + added ? sum + added : nil
///     }
/// }
/// ```
public protocol SequentialModel: Sendable {
    associatedtype State: Hashable & Sendable
    /// What is asked.
    associatedtype Operation: Hashable & Sendable
    /// What is answered.
    associatedtype Answer: Hashable & Sendable
    /// What `canBuild` needs to know of the unheard operations.
    associatedtype Summary: Sendable = Void

    var initialState: State { get }

    /// The state after an operation that was given this answer; nil if it can't have been given it
    /// in `state`.
    ///
    /// Without an answer: the state after an operation that took effect unheard; nil if it has no
    /// effect in `state`.
    func step(_ state: State, _ operation: Operation, _ answer: Answer?) -> State?

    /// Whether an operation that was given this answer changes nothing, in whatever state. Without
    /// an answer: whether it never does, whatever the answer.
    func isRead(_ operation: Operation, _ answer: Answer?) -> Bool

    /// Where in the order an operation belongs, if its answer tells: none may come after one of a
    /// higher position.
    func position(_ operation: Operation, _ answer: Answer) -> UInt64?

    /// Whether unheard operations, at least one of them, could make something of `state` that
    /// matters to an answer: false only if the answer can't be given then, or no otherwise than
    /// without them. Those whose result is the same whatever was before need not be thought of.
    ///
    /// - `unheard`: the summary of those that may come next.
    func canBuild(
        on state: State, towards operation: Operation, _ answer: Answer, unheard: Summary
    ) -> Bool

    /// - `unheard`: different operations, and how many of each may come next.
    func summary(unheard operations: [(operation: Operation, count: Int)]) -> Summary

    /// What to search one object's history with: a model that knows all answers in it, and the
    /// unheard operations, in the same order, with those made equal that no answer can tell apart.
    /// Whether the history is linearizable must not depend on it.
    func prepared(unheard: [Operation], answers: [Answer]) -> (model: Self, unheard: [Operation])
}

extension SequentialModel {
    public func isRead(_ operation: Operation, _ answer: Answer?) -> Bool { false }
    public func position(_ operation: Operation, _ answer: Answer) -> UInt64? { nil }

    public func canBuild(
        on state: State, towards operation: Operation, _ answer: Answer, unheard: Summary
    ) -> Bool { true }

    public func prepared(
        unheard: [Operation], answers: [Answer]
    ) -> (model: Self, unheard: [Operation]) {
        (self, unheard)
    }
}

extension SequentialModel where Summary == Void {
    public func summary(unheard operations: [(operation: Operation, count: Int)]) {}
}
