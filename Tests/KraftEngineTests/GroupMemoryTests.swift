import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The memory of groups")
struct GroupMemoryTests {
    @Test("An idle group holds nothing that is seldom, and shares its members with the others")
    func idle() throws {
        let node = try LoneNode(groups: 3, limits: .init())
        var members: Set<UnsafeRawPointer?> = []
        var configurations: Set<UnsafeRawPointer?> = []
        for slot in node.slots.map(\.rawValue) {
            #expect(node.engine.groups[slot].raft.isLeader)
            #expect(node.engine.groups[slot].appliedIndex > .zero)
            #expect(node.engine.groups[slot].seldom.state == nil)
            #expect(node.engine.groups[slot].seldom.knownLatency == nil)
            let raft = node.engine.groups[slot].raft
            raft.membership.members.withUnsafeBytes { _ = members.insert($0.baseAddress) }
            node.engine.groups[slot].base.members.withUnsafeBytes {
                _ = members.insert($0.baseAddress)
            }
            raft.configurations.withUnsafeBytes { _ = configurations.insert($0.baseAddress) }
        }
        #expect(members.count == 1)
        #expect(configurations.count == 1)
        // At 100,000 groups each byte here is 100 KB on every node.
        #expect(MemoryLayout<Group>.stride <= 656)
    }

    @Test("What is seldom reads as its default until it is set, and as that again afterwards")
    func seldom() throws {
        var node = SeldomBox()
        #expect(node.state == nil)
        node.made().pointee.nextRepair = .zero + .seconds(1)
        #expect(node.state?.pointee.nextRepair == .zero + .seconds(1))
        #expect(node.state?.pointee.snapshot == nil)
        #expect(node.knownLatency == nil)
        node.record(latency: .microseconds(3))
        #expect(node.knownLatency?.count == 1)
    }

    @Test("Each of what is seldom reads as its default until it is set, alone, and as that again")
    func fields() throws {
        let fields = SeldomField.all
        let all = Mirror(reflecting: SeldomState()).children.map(\.label)
        #expect(all == fields.map(\.name), "a test for each")
        let node = try LoneNode(groups: fields.count, limits: .init())
        let slots = node.slots.map(\.rawValue)
        try node.withEngine { engine in
            for (number, field) in fields.enumerated() {
                let slot = slots[number]
                let defaults = SeldomField.readings(engine.groups[slot])
                field.reset(&engine.groups[slot])
                #expect(engine.groups[slot].seldom.state == nil, "a box for a default")
                field.set(&engine.groups[slot])
                let readings = SeldomField.readings(engine.groups[slot])
                #expect(fields.indices.filter { readings[$0] != defaults[$0] } == [number])
                #expect(readings[number] == field.value)
                #expect(engine.groups[slot].hasOrphaned == (field.name == "orphaned"))
                #expect(engine.groups[slot].hasDamagedMembers == (field.name == "damagedMembers"))
                #expect(
                    engine.groups[slot].hasSnapshotWaiters == (field.name == "snapshotWaiters"))
                field.reset(&engine.groups[slot])
                #expect(SeldomField.readings(engine.groups[slot]) == defaults)
            }
        }
    }

    @Test("On a node without peers no group keeps its queues' memory when its requests are over")
    func room() throws {
        let count = 100
        let node = try LoneNode(groups: count, limits: .init())
        func memory(_ number: Int) -> UnsafeRawPointer {
            let slot = node.slots[number].rawValue
            return unsafeBitCast(node.engine.groups[slot].pending, to: UnsafeRawPointer.self)
        }
        let none = memory(0)
        func holders() -> Int { (0..<count).count { memory($0) != none } }
        for number in 0..<count { try node.propose(1, to: number) }
        #expect(holders() == count)
        try node.settle()
        #expect((0..<count).allSatisfy { node.ids($0) == [1] })
        #expect(holders() == count, "given back at once, it would be taken again at once")
        try node.run(.seconds(101))
        #expect(holders() == 0)
        try node.propose(2, to: 0)
        try node.settle()
        #expect(node.ids(0) == [1, 2])
    }

    @Test("Where a name stands in the table is this life's affair; it is found all the same")
    func names() throws {
        let first = try LoneNode(groups: 40, limits: .init())
        let second = try LoneNode(groups: 40, memory: first.memory, limits: .init(), life: 2)
        let names = (0..<40).compactMap { GroupName("g\($0)") }
        #expect(
            names.map { first.engine.hash($0) % 64 } != names.map { second.engine.hash($0) % 64 })
        for (number, name) in names.enumerated() {
            #expect(first.engine.slot(of: name) == first.slots[number])
            #expect(second.engine.slot(of: name) == second.slots[number])
        }
    }
}

/// One of what most groups don't have, with a value that isn't its default.
private struct SeldomField {
    let name: String
    let value: String
    let read: (borrowing Group) -> String
    let set: (inout Group) -> Void
    let reset: (inout Group) -> Void

    init<Value>(
        _ name: String, _ value: Value, default standard: Value,
        _ read: @escaping (borrowing Group) -> Value,
        _ write: @escaping (inout Group, Value) -> Void
    ) {
        self.name = name
        self.value = String(describing: value)
        self.read = { String(describing: read($0)) }
        set = { write(&$0, value) }
        reset = { write(&$0, standard) }
    }

    static func readings(_ group: borrowing Group) -> [String] {
        var readings: [String] = []
        for field in all { readings.append(field.read(group)) }
        return readings
    }

    /// As in `SeldomState`, in its order.
    static var all: [SeldomField] {
        let time = Instant.zero + .seconds(7)
        let name = SnapshotName(group: GroupID(5), position: .start, nonce: 3)
        let reference = SnapshotReference(name: name, byteCount: 4)
        let pending = PendingProposal(
            index: LogIndex(2), term: Term(1), origin: .local(6), deadline: time,
            proposedAt: time, byteCount: 8)
        let transfer = WaitingTransfer(target: 2, token: 6, deadline: time, nextTry: time)
        let change = WaitingChange(
            change: MembershipChange(remove: [2]), origin: .local(6), deadline: time,
            nextTry: time)
        let finished = Membership.FinishedChange(change: .start, isAbandoned: true)
        let policy = SnapshotPolicy()
        return [
            .init("orphaned", [pending], default: [], { $0.orphaned }, { $0.orphaned = $1 }),
            .init("parkedUntil", time, default: .zero, { $0.parkedUntil }, { $0.parkedUntil = $1 }),
            .init(
                "freshIndex", LogIndex(9), default: .zero, { $0.freshIndex },
                { $0.freshIndex = $1 }),
            .init("freshSince", time, default: nil, { $0.freshSince }, { $0.freshSince = $1 }),
            .init(
                "sessions", GroupSessions(now: time), default: nil, { $0.sessions },
                { $0.sessions = $1 }),
            .init("transfer", transfer, default: nil, { $0.transfer }, { $0.transfer = $1 }),
            .init("changes", [change], default: [], { $0.changes }, { $0.changes = $1 }),
            .init(
                "finishedChanges", [finished], default: [], { $0.finishedChanges },
                { $0.finishedChanges = $1 }),
            .init(
                "damagedMembers", [Replica(2)], default: [], { $0.damagedMembers },
                { $0.damagedMembers = $1 }),
            .init(
                "vouchers", [Voucher(replica: Replica(2), boot: 1)], default: [],
                { $0.vouchers }, { $0.vouchers = $1 }),
            .init("nextRepair", time, default: .zero, { $0.nextRepair }, { $0.nextRepair = $1 }),
            .init(
                "snapshotPolicy", policy, default: nil, { $0.snapshotPolicy },
                { $0.snapshotPolicy = $1 }),
            .init("capture", name, default: nil, { $0.capture }, { $0.capture = $1 }),
            .init("nextCapture", time, default: .zero, { $0.nextCapture }, { $0.nextCapture = $1 }),
            .init(
                "snapshotWaiters", [SnapshotWaiter(token: 6, deadline: time)], default: [],
                { $0.snapshotWaiters }, { $0.snapshotWaiters = $1 }),
            .init("restoring", name, default: nil, { $0.restoring }, { $0.restoring = $1 }),
            .init(
                "offer", SnapshotOffer(reference: reference, source: 2), default: nil,
                { $0.offer }, { $0.offer = $1 }),
            .init("snapshot", reference, default: nil, { $0.snapshot }, { $0.snapshot = $1 }),
        ]
    }
}
