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
}
