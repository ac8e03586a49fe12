/// The events of a node from now on.
///
/// Each iteration is a subscription of its own: it starts with `snapshot`, holds at most
/// `bufferLimit` events that have not been read, and reports with `dropped` how many older ones it
/// let go beyond that. Ends when the node has shut down, or when the reading task is cancelled.
public struct KraftEvents: AsyncSequence, Sendable {
    public typealias Element = KraftEvent
    public typealias Failure = Never

    public static let bufferLimit = 1_024

    let subscribe: @Sendable () async -> EventSubscription

    public struct AsyncIterator: AsyncIteratorProtocol {
        let subscribe: @Sendable () async -> EventSubscription
        private var subscription: EventSubscription?

        init(_ subscribe: @escaping @Sendable () async -> EventSubscription) {
            self.subscribe = subscribe
        }

        public mutating func next() async -> KraftEvent? {
            await next(isolation: #isolation)
        }

        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async -> KraftEvent? {
            let subscription: EventSubscription
            if let known = self.subscription {
                subscription = known
            } else {
                subscription = await subscribe()
                self.subscription = subscription
            }
            return await subscription.buffer.next()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(subscribe) }
}
