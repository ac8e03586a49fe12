import KraftMultiRaft

/// A replicated counter: adds numbers, and answers the sum.
struct Tally: StateMachine, Sendable {
    private var sum: Int64 = 0

    mutating func apply(_ command: Int64, at index: LogIndex) -> Int64 {
        sum &+= command
        return sum
    }
    enum Query: Sendable { case sum }
    func answer(_ query: Query) -> Int64 { sum }
    func digest() -> UInt64 { UInt64(bitPattern: sum) }
    func snapshot() -> EncodedSnapshot<Int64> { EncodedSnapshot(sum) }
    mutating func restore(from pieces: inout SnapshotPieces) throws { sum = try pieces.decode() }
}

/// One node of a cluster: two groups on one loop, one connection per peer and one log.
func runNode(_ id: NodeID, folder: String, peers: [NodeID: String]) async throws -> Int64 {
    let kraft = try KraftMultiRaft(
        .init(node: id, dataDirectory: folder, listen: peers[id] ?? "127.0.0.1:0", peers: peers))
    try await kraft.start()
    let visits = try await kraft.createGroup("visits") { Tally() }
    let orders = try await kraft.createGroup("orders") { Tally() }

    let sum = try await visits.propose(1)  // durable on a majority, and applied
    _ = await orders.propose([2, 3, 4])  // many at once: one hop, one result each
    let now = try await visits.read(.sum, .linearizable)
    print("node \(id): \(sum) after ours, \(now) now")

    await kraft.shutdown()  // hands leaders over, flushes, closes
    return now
}
