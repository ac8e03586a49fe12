import KraftEngine
import KraftRouting
import RaftCore

/// One node in memory: its sockets, its disk and its state machines, as cheap as they get, so that
/// the engine is what is counted.
final class GuardNode {
    // Unchecked: one thread uses it, and the checks aren't what is counted.
    @exclusivity(unchecked) var engine: Engine
    @exclusivity(unchecked) var effects = Effects()
    @exclusivity(unchecked) private var machines: [SumMachine]
    @exclusivity(unchecked) private var replies = ReplyBuffer()

    /// What comes to pass in this node's next turn.
    @exclusivity(unchecked) var happenings: [Happening] = []
    @exclusivity(unchecked) private var current: [Happening] = []
    /// The connections that stand, and their other ends.
    @exclusivity(unchecked) private var ends: [(own: ConnectionID, other: End)] = []
    private var nextInbound: UInt64 = 1

    /// One side of a connection; the block that it sent is free again when it was received.
    struct End {
        unowned(unsafe) var node: GuardNode
        var connection: ConnectionID
    }

    enum Happening {
        case accepted(ConnectionID)
        case connected(ConnectionID)
        case received(ConnectionID, Block, from: End)
        case sent(ConnectionID, byteCount: Int)
        case logWritten(LogWrite.ID)
        case segmentPrepared(UInt64)
    }

    init(
        _ configuration: EngineConfiguration, groups: Int
    ) throws(KraftError) {
        var directory = NoDirectory()
        engine = try Engine(
            configuration, directory: &directory, boot: UInt64(configuration.node.rawValue),
            seed: UInt64(configuration.node.rawValue), now: .zero)
        machines = Array(repeating: SumMachine(), count: groups)
    }

    // MARK: A turn

    func takeEvents(now: Instant) {
        if engine.nextWakeUp <= now { engine.step(.tick, now: now) }
        swap(&happenings, &current)
        for happening in current { take(happening, now: now) }
        current.removeAll(keepingCapacity: true)
    }

    private func take(_ happening: Happening, now: Instant) {
        switch happening {
        case .accepted(let connection): engine.step(.accepted(connection), now: now)
        case .connected(let connection): engine.step(.connected(connection), now: now)
        case .received(let connection, let block, let sender):
            engine.step(.received(connection, block.bytes), now: now)
            sender.node.happenings.append(.sent(sender.connection, byteCount: block.count))
        case .sent(let connection, let count):
            engine.step(.sent(connection, byteCount: count), now: now)
        case .logWritten(let id): engine.step(.logWritten(id), now: now)
        case .segmentPrepared(let number): engine.step(.segmentPrepared(number: number), now: now)
        }
    }

    /// Ends the turn, applies, and leaves the answers in `effects`.
    func endTurn(now: Instant, nodes: [GuardNode]) {
        engine.endTurn(now: now)
        while let work = engine.nextApply() {
            replies.removeAll()
            machines[work.slot.rawValue].apply(work.batch, &replies)
            engine.applied(work, replies: replies, now: now)
        }
        effects.removeAll()
        swap(&engine.effects, &effects)
        for write in effects.logWrites { happenings.append(.logWritten(write.id)) }
        for preparation in effects.segmentPreparations {
            happenings.append(.segmentPrepared(preparation.number))
        }
        for (connection, block) in effects.sends {
            guard let end = ends.first(where: { $0.own == connection }) else { continue }
            end.other.node.happenings.append(
                .received(
                    end.other.connection, block, from: End(node: self, connection: connection)))
        }
        for (connection, address) in effects.connects {
            connect(connection, to: nodes[Int(address).map { $0 - 1 } ?? 0])
        }
    }

    private func connect(_ connection: ConnectionID, to node: GuardNode) {
        let inbound = ConnectionID(rawValue: node.nextInbound)
        node.nextInbound += 2
        ends.append((connection, End(node: node, connection: inbound)))
        node.ends.append((inbound, End(node: self, connection: connection)))
        node.happenings.append(.accepted(inbound))
        happenings.append(.connected(connection))
    }

    func machine(_ group: Int) -> SumMachine { machines[group] }
}

/// Counts and adds the first number of each command.
struct SumMachine: Equatable {
    private(set) var count = 0
    private(set) var sum: UInt64 = 0

    mutating func apply(_ batch: CommittedBatch, _ replies: inout ReplyBuffer) {
        for (_, command) in batch {
            count += 1
            sum &+= command.loadUnaligned(as: UInt64.self)
            replies.appendEmpty()
        }
    }
}
