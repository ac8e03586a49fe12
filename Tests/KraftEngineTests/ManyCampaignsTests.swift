import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

/// A node whose groups all campaign at once: the turn must end before its peers take it for dead.
@Suite("Very many campaigns")
struct ManyCampaignsTests {
    @Test("a turn begins a bounded number of campaigns, and the next one goes on at once")
    func bounded() throws {
        let groupCount = 2_500
        let configuration = EngineConfiguration(
            node: 1, clusterID: "many",
            peers: [.init(node: 2, address: "2"), .init(node: 3, address: "3")])
        var memory = LogMemory()
        var engine = try Engine(configuration, directory: &memory, boot: 1, seed: 1, now: .zero)
        for number in 0..<groupCount {
            let name = try #require(GroupName("g\(number)"))
            _ = try engine.openGroup(
                name, voters: [1, 2, 3], token: RequestToken(number + 1), now: .zero)
        }
        while true {
            engine.endTurn(now: .zero)
            let effects = engine.effects
            engine.effects.removeAll()
            for segment in effects.segmentPreparations {
                try memory.prepare(segment)
                engine.step(.segmentPrepared(number: segment.number), now: .zero)
            }
            for write in effects.logWrites { engine.step(.logWritten(write.id), now: .zero) }
            if effects.logWrites.isEmpty, effects.segmentPreparations.isEmpty { break }
        }
        // All time-outs have come, and the disk is idle.
        let late = Instant.zero + .seconds(10)
        var campaigning = 0
        var turns = 0
        while campaigning < groupCount {
            engine.effects.removeAll()
            engine.step(.tick, now: late)
            engine.endTurn(now: late)
            var now = 0
            for slot in engine.groups.indices where engine.groups[slot].raft.role != .follower {
                now += 1
            }
            #expect(now > campaigning, "a turn begins none")
            #expect(now - campaigning <= 1_024, "a turn begins \(now - campaigning)")
            campaigning = now
            turns += 1
            let wakeUp = engine.nextWakeUp
            if campaigning < groupCount { #expect(wakeUp <= late, "it doesn't go on at once") }
            guard turns < 10 else { break }
        }
        #expect(turns == 3)
    }
}
