import KraftEngine
import RaftCore

/// Holds an engine, which can't be copied, where several may refer to it.
final class EngineBox {
    var engine: Engine
    init(_ engine: consuming Engine) { self.engine = engine }
}

/// What reaches a node's engine through its driver. Waits in `SimulatedNode.inbox` while the node
/// is paused.
enum NodeEvent {
    case tick
    case accepted(connection: Int)
    case connected(connection: Int)
    case sent(connection: Int, side: Int, byteCount: Int)
    case closed(connection: Int, side: Int)
    case logWritten(LogWrite.ID)
    case logWriteFailed(LogWrite.ID)
    case segmentPrepared(UInt64)
    case logRead(LogRead)
    case endTurn
}

/// One replica of one group: the user's machine, and what the driver knows of it.
final class Replica<Machine: StateMachine> {
    let group: Int
    var slot: GroupSlot
    var machine: Machine
    /// Its creation is durable, so it may be used.
    var isOpen = false
    var isStopped = false
    var isRemoved = false
    /// As the oracles saw it last in this life.
    var lastLook: GroupLook?
    /// The last command that this life applied.
    var appliedIndex = LogIndex.zero

    init(group: Int, slot: GroupSlot, machine: Machine) {
        self.group = group
        self.slot = slot
        self.machine = machine
    }
}

/// One node: its machine room, and while it runs its engine with the state of its driver.
final class SimulatedNode<Machine: StateMachine> {
    let position: Int
    let id: NodeID
    let disk: SimulatedDisk
    /// Rises with each start; what was meant for an earlier life is dropped.
    var life = 0
    /// The computer has power. It may run no process, though: then it refuses connections.
    var hasPower = false
    /// Nil while no process runs.
    var box: EngineBox?
    var clock = SimulatedClock(offset: 0, skewPercent: 0)
    var replicas: [Replica<Machine>] = []
    /// Places of `replicas` by slot; -1 for none.
    var replicaBySlot: [Int] = []
    /// Groups that were removed from this node for good.
    var removedGroups: [Int] = []
    /// Groups that an operator stopped; a start of the node starts them again.
    var turnIsOpen = false
    var turnEvents = 0
    var pausedUntil: UInt64?
    var inbox: [NodeEvent] = []
    /// Stale ticks are told by their number.
    var tickNumber: UInt64 = 0
    var tickTime: UInt64?
    var nextInboundID: UInt64 = 1
    /// The engine's outbound and the driver's inbound connections: places in the network.
    var connections: [(id: ConnectionID, connection: Int, side: Int)] = []
    /// Closed in this turn: the engine may have ordered something for them before it knew.
    var closedInTurn: [ConnectionID] = []
    var pendingWrite: PendingWrite?
    var preparations: [SegmentPreparation] = []
    var spareEffects = Effects()
    var isFenced = false
    var isHandingOver = false
    /// How the node is to end in the middle of its next log write.
    var endInWrite: CrashKind?
    /// Syncs take long until then.
    var slowUntil: UInt64 = 0

    struct PendingWrite {
        var write: LogWrite
        var bytes: [UInt8]
        var isCached = false
    }

    enum CrashKind { case powerCut, kill }

    init(position: Int, disk: SimulatedDisk) {
        self.position = position
        id = NodeID(UInt32(position + 1))
        self.disk = disk
    }

    var isUp: Bool { box != nil }
    var isPaused: Bool { pausedUntil != nil }

    func replica(at slot: GroupSlot) -> Replica<Machine>? {
        guard replicaBySlot.indices.contains(slot.rawValue) else { return nil }
        let place = replicaBySlot[slot.rawValue]
        return place < 0 ? nil : replicas[place]
    }

    func replica(of group: Int) -> Replica<Machine>? {
        replicas.last { $0.group == group && !$0.isRemoved }
    }

    func add(_ replica: Replica<Machine>) {
        replicas.append(replica)
        while replicaBySlot.count <= replica.slot.rawValue { replicaBySlot.append(-1) }
        replicaBySlot[replica.slot.rawValue] = replicas.count - 1
    }

    /// The slot is void, and may be another replica's at once.
    func removeReplica(at slot: GroupSlot) {
        guard let replica = replica(at: slot) else { return }
        replica.isRemoved = true
        replicaBySlot[slot.rawValue] = -1
    }

    /// The process is gone; the computer and its disk stay.
    func dropProcess() {
        box = nil
        replicas.removeAll()
        replicaBySlot.removeAll()
        turnIsOpen = false
        pausedUntil = nil
        inbox.removeAll()
        tickTime = nil
        connections.removeAll()
        closedInTurn.removeAll()
        pendingWrite = nil
        preparations.removeAll()
        isFenced = false
        isHandingOver = false
        endInWrite = nil
    }
}
