import Testing

@testable import KraftMultiRaft

struct DrivenGroupTests {
    @Test func `contradictions are told ever more seldom, and in the end no more`() throws {
        var group = DrivenGroup(
            id: GroupID(1), name: try #require(GroupName("g")), box: MachineBox())
        #expect(
            (1...100).compactMap { _ in group.countContradiction() } == [1, 2, 4, 8, 16, 32, 64])
        group.contradictions = 1 << 31 - 1
        #expect((1...3).compactMap { _ in group.countContradiction() } == [1 << 31])
        group.contradictions = .max - 1
        #expect((1...5).compactMap { _ in group.countContradiction() } == [])
    }
}
