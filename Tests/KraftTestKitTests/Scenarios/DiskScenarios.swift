import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Scenarios: disks and crashes")
struct DiskScenarios {
    @Test("All nodes lose power at once, and no acknowledged write is gone")
    func powerCutOfAll() {
        let stage = Stage(nodes: 5)
        let leader = stage.elect()
        stage.load(stage.nodes, millis: 500, everyMillis: 5)
        #expect(stage.acknowledgedCount() > 100)
        for node in stage.nodes { stage.simulation.crash(node) }
        stage.wait(milliseconds: 100)
        for node in stage.nodes { stage.simulation.restart(node) }
        stage.elect()
        _ = leader
        stage.reached(.powerCuts, atLeast: 5)
        stage.reached(.recoveries, atLeast: 5)
        stage.curtain()
    }

    @Test("Power fails at every boundary between steps of the leader's disk", arguments: 0..<16)
    func everyBoundary(step: Int) {
        let stage = Stage(seed: UInt64(100 + step)) { $0.log.segmentSizeBytes = 64 << 10 }
        let leader = stage.elect()
        stage.load([leader], millis: 100, everyMillis: 2, padding: 3_000)
        stage.simulation.crash(leader, atDiskStep: step)
        stage.load(stage.nodes, millis: 300, everyMillis: 5, padding: 3_000)
        #expect(!stage.simulation.isRunning(leader))
        stage.reached(.crashesBetweenDiskSteps)
        stage.simulation.restart(leader)
        stage.curtain()
    }

    @Test("Power fails at every boundary of a follower's disk", arguments: 0..<16)
    func everyBoundaryOfFollower(step: Int) {
        let stage = Stage(seed: UInt64(200 + step)) { $0.log.segmentSizeBytes = 64 << 10 }
        let leader = stage.elect()
        let follower = stage.others(than: leader)[0]
        stage.load([leader], millis: 100, everyMillis: 2, padding: 3_000)
        stage.simulation.crash(follower, atDiskStep: step)
        stage.load([leader], millis: 300, everyMillis: 5, padding: 3_000)
        #expect(!stage.simulation.isRunning(follower))
        stage.reached(.crashesBetweenDiskSteps)
        stage.simulation.restart(follower)
        stage.curtain()
    }

    @Test("Power fails again and again while a node recovers")
    func bootCrashes() {
        let stage = Stage(seed: 9)
        let leader = stage.elect()
        stage.load([leader], millis: 200, everyMillis: 2, padding: 1_000)
        stage.simulation.bootCrashPermille = 700
        for _ in 0..<6 {
            let node = stage.others(than: stage.elect())[0]
            stage.simulation.crashInNextWrite(node)
            stage.load(stage.nodes, millis: 100, everyMillis: 5)
            stage.simulation.crash(node)
            stage.simulation.restart(node)
        }
        stage.reached(.bootCrashes, atLeast: 3)
        stage.curtain()
    }

    @Test("A torn tail is dropped, and what was acknowledged stays")
    func tornTail() {
        var tails: UInt64 = 0
        for seed in 1...12 {
            let stage = Stage(seed: UInt64(seed)) { $0.disk.syncDelay = 5_000_000...20_000_000 }
            let leader = stage.elect()
            let follower = stage.others(than: leader)[0]
            stage.load([leader], millis: 60, everyMillis: 1, padding: 2_000)
            stage.simulation.crashInNextWrite(follower)
            stage.load([leader], millis: 100, everyMillis: 1, padding: 2_000)
            stage.simulation.crash(follower)
            stage.simulation.restart(follower)
            stage.curtain()
            tails += stage.simulation.coverage[.tornTails]
        }
        #expect(tails > 0, "no tail was torn")
    }

    @Test("What a torn write left behind isn't believed after a second power cut")
    func tornTwice() {
        var tails: UInt64 = 0
        var seconds: UInt64 = 0
        for seed in 1...24 {
            let stage = Stage(seed: UInt64(seed), groups: ["g", "h"]) {
                $0.log.segmentSizeBytes = 64 << 10
            }
            let leader = stage.elect()
            let follower = stage.others(than: leader)[0]
            stage.simulation.hangDisk(follower, for: .milliseconds(60))
            stage.load([leader], "g", millis: 30, everyMillis: 1, padding: 1_500)
            stage.load([leader], "h", millis: 10, everyMillis: 1, padding: 500)
            stage.simulation.crashInNextWrite(follower)
            stage.wait(milliseconds: 100)
            stage.simulation.crash(follower)
            stage.simulation.crash(follower, atDiskStep: 3 + seed % 3)
            stage.simulation.restart(follower)
            stage.wait(milliseconds: 300)
            seconds += stage.simulation.coverage[.crashesBetweenDiskSteps]
            stage.simulation.restart(follower)
            stage.curtain()
            tails += stage.simulation.coverage[.tornTails]
        }
        #expect(tails > 2, "no tail was torn")
        #expect(seconds > 12, "no second power cut")
    }

    @Test("A killed process finds again what the system had taken")
    func killInWrite() {
        let stage = Stage { $0.disk.syncDelay = 10_000_000...20_000_000 }
        let leader = stage.elect()
        for _ in 0..<5 {
            let node = stage.others(than: leader)[0]
            stage.simulation.killInNextWrite(node)
            stage.load([leader], millis: 60, everyMillis: 2)
            stage.simulation.restart(node)
            stage.wait(milliseconds: 200)
        }
        stage.reached(.kills, atLeast: 4)
        stage.reached(.endsInWrite, atLeast: 4)
        stage.curtain()
    }

    @Test("A node whose sync fails fences itself, and the others go on")
    func failedSync() {
        let stage = Stage()
        let leader = stage.elect()
        stage.simulation.failNextWrite(leader, .sync)
        stage.load([leader], millis: 50, everyMillis: 5)
        #expect(!stage.simulation.isRunning(leader))
        stage.reached(.syncFailures)
        stage.reached(.fencings)
        let next = stage.elect(of: stage.others(than: leader))
        #expect(stage.write(on: next).isDone)
        stage.curtain()
    }

    @Test("Bytes that a failed sync left readable are durable before they count")
    func failedSyncKeptReadable() {
        let stage = Stage()
        let leader = stage.elect()
        let follower = stage.others(than: leader)[0]
        let third = stage.others(than: leader, follower)[0]
        stage.simulation.failNextWrite(follower, .syncKeptReadable)
        stage.load([leader], millis: 40, everyMillis: 2)
        stage.reached(.failedSyncsKeptReadable)
        #expect(!stage.simulation.isRunning(follower))
        // It comes back, and is needed for the quorum: then its power fails.
        stage.simulation.crash(third)
        stage.simulation.restart(follower)
        #expect(stage.write(on: leader, timeoutMillis: 10_000).isDone)
        stage.simulation.crash(follower)
        stage.simulation.restart(follower)
        stage.simulation.restart(third)
        stage.curtain()
    }

    @Test("A full disk fences the node at the failed write")
    func fullDisk() {
        let stage = Stage()
        let leader = stage.elect()
        let follower = stage.others(than: leader)[0]
        stage.simulation.failNextWrite(follower, .write)
        stage.load([leader], millis: 100, everyMillis: 5)
        #expect(!stage.simulation.isRunning(follower))
        stage.reached(.logWriteFailures)
        stage.reached(.fencings)
        #expect(stage.acknowledgedCount() > 10)
        stage.curtain()
    }

    @Test("No space for the next segment fences the node")
    func noSegment() {
        let stage = Stage { $0.log.segmentSizeBytes = 64 << 10 }
        let leader = stage.elect()
        let follower = stage.others(than: leader)[0]
        stage.simulation.failNextPreparation(follower)
        stage.load([leader], millis: 400, everyMillis: 2, padding: 8_000)
        #expect(!stage.simulation.isRunning(follower))
        stage.reached(.preparationFailures)
        stage.reached(.fencings)
        stage.curtain()
    }

    @Test("A log that can't be read back fences the node")
    func failedRead() {
        let stage = Stage {
            $0.log.cacheSizeBytes = 4 << 10
            $0.limits.appendWindowEntries = 4
        }
        let leader = stage.elect()
        let follower = stage.others(than: leader)[0]
        stage.simulation.crash(follower)
        stage.load([leader], millis: 600, everyMillis: 2, padding: 2_000)
        stage.simulation.failNextRead(leader)
        stage.simulation.restart(follower)
        let isOver = stage.simulation.run(atMost: .seconds(10)) {
            !stage.simulation.isRunning(leader)
        }
        #expect(isOver)
        stage.reached(.logReadFailures)
        stage.reached(.fencings)
        stage.curtain()
    }

    @Test("A follower's slow disk holds up no commit")
    func slowFollower() {
        let stage = Stage()
        let leader = stage.elect()
        stage.simulation.slowDisk(stage.others(than: leader)[0], for: .seconds(5))
        stage.load([leader], millis: 2_000, everyMillis: 10)
        #expect(stage.acknowledgedCount() > 150)
        stage.reached(.diskStalls, atLeast: 3)
        stage.curtain()
    }

    @Test("A leader's disk of half a second a sync deposes nobody")
    func slowLeader() {
        let stage = Stage()
        let leader = stage.elect()
        let term = stage.term(leader)
        stage.simulation.slowDisk(leader, for: .seconds(5))
        stage.load([leader], millis: 4_000, everyMillis: 10)
        #expect(stage.term(leader) == term)
        #expect(stage.acknowledgedCount() > 300)
        stage.reached(.diskStalls, atLeast: 5)
        stage.curtain()
    }

    @Test("Slow disks everywhere make writes slow, and lose no leader")
    func slowEverywhere() {
        let stage = Stage()
        let leader = stage.elect()
        let term = stage.term(leader)
        for node in stage.nodes { stage.simulation.slowDisk(node, for: .seconds(6)) }
        stage.load([leader], millis: 5_000, everyMillis: 50)
        #expect(stage.term(leader) == term)
        #expect(stage.acknowledgedCount() > 50)
        stage.reached(.slowDisks, atLeast: 3)
        stage.curtain()
    }

    @Test("A follower's disk that hangs for seconds acknowledges nothing meanwhile")
    func hangingFollowers() {
        let stage = Stage()
        let leader = stage.elect()
        for node in stage.others(than: leader) {
            stage.simulation.hangDisk(node, for: .seconds(3))
        }
        let before = stage.acknowledgedCount()
        stage.load([leader], millis: 2_000, everyMillis: 20)
        // What was on its way to a disk may still have ended.
        #expect(stage.acknowledgedCount() <= before + 1)
        stage.wait(milliseconds: 3_000)
        stage.reached(.diskHangs, atLeast: 2)
        stage.curtain()
    }

    @Test("A leader's disk that hangs loses nothing, whoever leads then")
    func hangingLeader() {
        let stage = Stage()
        let leader = stage.elect()
        stage.simulation.hangDisk(leader, for: .seconds(4))
        stage.load(stage.nodes, millis: 3_000, everyMillis: 20)
        stage.wait(milliseconds: 3_000)
        stage.reached(.diskHangs)
        stage.curtain()
    }

    @Test("Power fails while the next segment gets its name")
    func segmentName() {
        var lost: UInt64 = 0
        for seed in 1...10 {
            let stage = Stage(seed: UInt64(seed)) {
                $0.log.segmentSizeBytes = 64 << 10
                $0.disk.prepareDelay = 20_000_000...60_000_000
                $0.disk.syncDelay = 5_000_000...20_000_000
            }
            let leader = stage.elect()
            let follower = stage.others(than: leader)[0]
            stage.load([leader], millis: 200, everyMillis: 2, padding: 8_000)
            stage.simulation.crash(follower)
            stage.simulation.restart(follower)
            stage.curtain()
            lost += stage.simulation.coverage[.preparationsLost]
            lost += stage.simulation.coverage[.preparationsKeptAtCrash]
        }
        #expect(lost > 0, "no segment was on its way")
    }

    @Test("A follower that is far behind gets entries that the leader must read back")
    func readBack() {
        let stage = Stage { $0.log.cacheSizeBytes = 8 << 10 }
        let leader = stage.elect()
        let follower = stage.others(than: leader)[0]
        stage.simulation.crash(follower)
        stage.load([leader], millis: 500, everyMillis: 2, padding: 2_000)
        stage.simulation.restart(follower)
        let isBack = stage.simulation.run(atMost: .seconds(20), lookingEvery: .milliseconds(20)) {
            stage.simulation.isInStep("g")
        }
        #expect(isBack)
        stage.reached(.readBacks, atLeast: 3)
        stage.curtain()
    }

    @Test("Two of three disks gone for a while: the third promises nothing")
    func lastDisk() {
        let stage = Stage()
        let leader = stage.elect()
        for node in stage.others(than: leader) { stage.simulation.crash(node) }
        #expect(!stage.write(on: leader, timeoutMillis: 600).isDone)
        stage.reached(.powerCuts, atLeast: 2)
        stage.curtain()
    }
}
