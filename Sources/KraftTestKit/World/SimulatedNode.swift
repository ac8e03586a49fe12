import KraftEngine
import RaftCore

/// Holds an engine, which can't be copied, where several may refer to it.
final class EngineBox {
    /// Unchecked: its driver is one thread, and calls it from the outside in only.
    @exclusivity(unchecked) var engine: Engine
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
    case stranger(StrangerStep, ConnectionID)
    case logWritten(LogWrite.ID)
    case logWriteFailed(LogWrite.ID, isOutOfSpace: Bool = false)
    case segmentPrepared(UInt64)
    case segmentFailed(UInt64, isOutOfSpace: Bool = false)
    case logRead(LogRead)
    case logReadFailed(LogRead)
    case snapshotCaptured(SnapshotName, byteCount: Int)
    case snapshotCaptureFailed(SnapshotName)
    case snapshotRead(SnapshotRead)
    case snapshotReadFailed(SnapshotRead)
    case snapshotWritten(SnapshotWrite.ID)
    case snapshotWriteFailed(SnapshotWrite.ID)
    case restored(SnapshotRestore, replica: AnyObject)
    case endTurn
}

/// One replica of one group: the user's machine, and what the driver knows of it.
///
/// Unchecked fields: see `Simulation`.
final class Replica<Machine: StateMachine> {
    let group: Int
    /// The oracles' number of this life of the group.
    let track: Int
    var slot: GroupSlot
    var machine: Machine
    /// Its creation is durable, so it may be used.
    @exclusivity(unchecked) var isOpen = false
    @exclusivity(unchecked) var isStopped = false
    @exclusivity(unchecked) var isRemoved = false
    /// As the oracles saw it last in this life.
    @exclusivity(unchecked) var lastLook: GroupLook?
    /// The last command that this life applied.
    @exclusivity(unchecked) var appliedIndex = LogIndex.zero

    init(group: Int, track: Int, slot: GroupSlot, machine: Machine) {
        self.group = group
        self.track = track
        self.slot = slot
        self.machine = machine
    }
}

/// One node: its machine room, and while it runs its engine with the state of its driver.
///
/// Unchecked fields: see `Simulation`.
final class SimulatedNode<Machine: StateMachine> {
    let position: Int
    let id: NodeID
    let disk: SimulatedDisk
    /// Rises with each start; what was meant for an earlier life is dropped.
    @exclusivity(unchecked) var life = 0
    /// The computer has power. It may run no process, though: then it refuses connections.
    var hasPower = false
    /// Nil while no process runs.
    @exclusivity(unchecked) var box: EngineBox?
    @exclusivity(unchecked) var clock = SimulatedClock(offset: 0, skewPercent: 0)
    @exclusivity(unchecked) var replicas: [Replica<Machine>] = []
    /// Places of `replicas` by slot; -1 for none.
    @exclusivity(unchecked) private var replicaBySlot: [Int] = []
    /// Places of `replicas` by group; -1 for none.
    @exclusivity(unchecked) private var replicaByGroup: [Int] = []
    /// Groups that were removed from this node for good.
    var removedGroups: [Int] = []
    @exclusivity(unchecked) var turnIsOpen = false
    @exclusivity(unchecked) var turnEvents = 0
    @exclusivity(unchecked) var pausedUntil: UInt64?
    var inbox: [NodeEvent] = []
    /// Stale ticks are told by their number.
    @exclusivity(unchecked) var tickNumber: UInt64 = 0
    @exclusivity(unchecked) var tickTime: UInt64?
    var nextInboundID: UInt64 = 1
    /// The engine's outbound and the driver's inbound connections: places in the network.
    var connections: [(id: ConnectionID, connection: Int, side: Int)] = []
    /// Inbound connections of somebody who isn't a node.
    var strangers: [ConnectionID] = []
    /// Closed in this turn: the engine may have ordered something for them before it knew.
    var closedInTurn: [ConnectionID] = []
    var pendingWrite: PendingWrite?
    var preparations: [SegmentPreparation] = []
    /// Whole files of snapshots that are being written.
    var captures: [(name: SnapshotName, bytes: [UInt8])] = []
    var snapshotWrites: [SnapshotWrite] = []
    var spareEffects = Effects()
    /// Places of requests that may not have ended.
    var openRequests: [Int] = []
    var isFenced = false
    var isHandingOver = false
    /// How the node is to end in the middle of its next log write.
    var endInWrite: CrashKind?
    /// The node loses power before so many more steps of its disk.
    var diskStepsUntilCrash: Int?
    /// What the next order of each kind ends with.
    var nextWriteFailure: WriteFailure?
    var nextPreparationFails = false
    /// There is no space until then.
    var fullUntil: UInt64 = 0
    /// Nor for writes into segments that are there, as on disks that copy on write.
    var isFullForWrites = false
    var nextReadFails = false
    var nextCaptureFails = false
    var nextSnapshotReadFails = false
    var nextSnapshotWriteFails = false
    /// Syncs take long until then.
    var slowUntil: UInt64 = 0
    /// Nothing that is ordered of the disk ends before then.
    var hangsUntil: UInt64 = 0

    struct PendingWrite {
        var write: LogWrite
        var bytes: [UInt8]
        var isCached = false
        /// What the write is to end with.
        var failure: WriteFailure?
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
        guard replicaByGroup.indices.contains(group) else { return nil }
        let place = replicaByGroup[group]
        return place < 0 ? nil : replicas[place]
    }

    func add(_ replica: Replica<Machine>) {
        while replicaBySlot.count <= replica.slot.rawValue { replicaBySlot.append(-1) }
        while replicaByGroup.count <= replica.group { replicaByGroup.append(-1) }
        replicaBySlot[replica.slot.rawValue] = replicas.count
        replicaByGroup[replica.group] = replicas.count
        replicas.append(replica)
    }

    /// The engine has given the slot back.
    func forget(_ replica: Replica<Machine>) {
        replica.isRemoved = true
        replicaBySlot[replica.slot.rawValue] = -1
        replicaByGroup[replica.group] = -1
    }

    /// The process is gone; the computer and its disk stay.
    func dropProcess() {
        box = nil
        replicas.removeAll()
        replicaBySlot.removeAll()
        replicaByGroup.removeAll()
        turnIsOpen = false
        turnEvents = 0
        pausedUntil = nil
        inbox.removeAll()
        tickTime = nil
        connections.removeAll()
        strangers.removeAll()
        closedInTurn.removeAll()
        pendingWrite = nil
        preparations.removeAll()
        captures.removeAll()
        snapshotWrites.removeAll()
        openRequests.removeAll()
        isFenced = false
        isHandingOver = false
        endInWrite = nil
    }
}
