import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Scenarios: connections, clocks and strangers")
struct ConnectionScenarios {
    @Test("Connections reset at some byte under load cost no acknowledged write")
    func resets() {
        let stage = Stage { $0.network.portions = .tiny }
        let leader = stage.elect()
        for round in 0..<12 {
            stage.load([leader], millis: 60, everyMillis: 2, padding: 400)
            let other = stage.others(than: leader)[round % 2]
            stage.simulation.resetConnectionsAtSomeByte(between: leader, and: other)
        }
        stage.reached(.resetsAtSomeByte, atLeast: 6)
        stage.reached(.bytesLostInFlight)
        stage.curtain()
    }

    @Test("A connection half open is noticed by whoever speaks")
    func halfOpen() {
        let stage = Stage()
        let leader = stage.elect()
        for other in stage.others(than: leader) {
            stage.simulation.resetConnections(between: leader, and: other, half: true)
        }
        stage.load([leader], millis: 2_000, everyMillis: 20)
        stage.reached(.halfOpenConnections, atLeast: 2)
        #expect(stage.acknowledgedCount() > 50)
        stage.curtain()
    }

    @Test("Bytes of a connection that was replaced reach nobody")
    func oldBytes() {
        let stage = Stage { $0.timing.electionTimeout = .milliseconds(300) }
        let leader = stage.elect()
        let other = stage.others(than: leader)[0]
        stage.simulation.delay(from: leader, to: other, by: .milliseconds(900))
        stage.load([leader], millis: 1_500, everyMillis: 20)
        stage.reached(.redialsOverOldBytes)
        stage.reached(.bytesForNobody)
        stage.curtain()
    }

    @Test("Answers that come many election timeouts late harm nobody")
    func veryLate() {
        let stage = Stage(nodes: 5) { $0.timing.electionTimeout = .milliseconds(300) }
        let leader = stage.elect()
        let late = stage.others(than: leader)[0]
        stage.simulation.delayMoreAndMore(from: late, to: leader, steps: 18)
        stage.load(stage.nodes, millis: 4_000, everyMillis: 40)
        stage.reached(.growingDelays)
        stage.reached(.bytesVeryLate)
        #expect(stage.simulation.leader(of: "g") == leader)
        stage.curtain()
    }

    @Test("A lagging follower whose log queue overflows asks for more as soon as it has room")
    func overflow() {
        let stage = Stage {
            $0.limits.logQueueBytes = 16 << 10
            $0.limits.appendWindowBytes = 64 << 10
            $0.limits.appendSizeBytes = 1 << 10
        }
        let leader = stage.elect()
        let other = stage.others(than: leader)[0]
        stage.simulation.partition([other])
        stage.load([leader], millis: 4_000, everyMillis: 4, padding: 1_500)
        stage.simulation.heal()
        let isInStep = stage.simulation.run(atMost: .seconds(5)) { stage.simulation.isInStep("g") }
        #expect(isInStep)
        stage.reached(.appendsDeclined)
        // Its queue is still full of the last of them.
        stage.wait(milliseconds: 200)
        stage.curtain()
    }

    @Test("A leader that leads again counts no answer of its earlier term")
    func lateAcknowledgements() {
        let stage = Stage { $0.timing.electionTimeout = .milliseconds(300) }
        let leader = stage.elect()
        let (late, other) = (stage.others(than: leader)[0], stage.others(than: leader)[1])
        stage.simulation.delayMoreAndMore(from: late, to: leader, steps: 14)
        stage.wait(electionTimeouts: 8)
        // Its entries reach one follower, whose answers are under way for long.
        stage.simulation.partition(leader, other)
        for _ in 0..<20 { stage.propose(on: leader, timeoutMillis: 20_000) }
        stage.wait(milliseconds: 50)
        stage.simulation.partition([leader, late])
        stage.wait(electionTimeouts: 2)
        stage.simulation.mend()
        stage.wait(electionTimeouts: 3)
        stage.lead(leader)
        stage.load([leader], millis: 1_500, everyMillis: 10)
        stage.reached(.bytesVeryLate)
        stage.curtain()
    }

    @Test("A deposed leader answers no read by what its followers said before")
    func lateReadAnswers() {
        let stage = Stage { $0.timing.electionTimeout = .milliseconds(300) }
        let leader = stage.elect()
        let followers = stage.others(than: leader)
        stage.simulation.delayMoreAndMore(from: followers[0], to: leader, steps: 14)
        stage.wait(electionTimeouts: 8)
        var reads: [RequestID] = []
        func read() {
            reads.append(
                stage.simulation.read(
                    on: leader, group: "g", .content, timeout: .milliseconds(1_500)))
        }
        read()
        // From now on nobody hears the leader, but what a follower said goes on to reach it.
        for other in followers { stage.simulation.cut(from: leader, to: other) }
        for _ in 0..<30 {
            stage.wait(milliseconds: 50)
            read()
            stage.propose(on: followers[1], timeoutMillis: 1_000)
        }
        stage.wait(milliseconds: 3_000)
        stage.reached(.bytesVeryLate)
        stage.reached(.oneWayCuts, atLeast: 2)
        #expect(stage.acknowledgedCount() > 3)
        stage.curtain()
    }

    @Test("Nodes that refuse most connections still come together")
    func refusals() {
        let stage = Stage { $0.network.refusePermille = 800 }
        stage.elect(within: .seconds(60))
        stage.reached(.connectionsRefused, atLeast: 3)
        stage.simulation.options.network.refusePermille = 0
        stage.curtain()
    }

    @Test("Streams that come byte by byte through small buffers carry large commands")
    func tiny() {
        let stage = Stage {
            $0.network.portions = .tiny
            $0.network.socketBufferBytes = 256
            $0.network.delay = 10_000...50_000
        }
        let leader = stage.elect()
        for _ in 0..<5 {
            #expect(stage.write(on: leader, padding: 15_000, timeoutMillis: 20_000).isDone)
        }
        stage.curtain()
    }

    @Test("A flipped bit costs its connection, and nothing else")
    func flippedBit() {
        let stage = Stage()
        let leader = stage.elect()
        let other = stage.others(than: leader)[0]
        let term = stage.term(leader)
        for _ in 0..<10 {
            stage.propose(on: leader, padding: 2_000)
            let wasSent = stage.simulation.run(atMost: .milliseconds(50)) {
                stage.simulation.corruptBytes(from: leader, to: other)
            }
            #expect(wasSent)
            stage.wait(milliseconds: 400)
        }
        stage.reached(.bitsFlippedInFlight, atLeast: 10)
        let found = stage.nodes.reduce(0) {
            $0 + (stage.simulation.metrics(on: $1)?.badFrames ?? 0)
        }
        #expect(found > 0)
        #expect(stage.term(leader) == term)
        stage.curtain()
    }

    @Test("A follower that stops reading under full load costs its leader a bounded queue")
    func slowReader() {
        let stage = Stage {
            $0.limits.peerQueueBytes = 64 << 10
            $0.network.socketBufferBytes = 16 << 10
        }
        let leader = stage.elect()
        let slow = stage.others(than: leader)[0]
        stage.simulation.slowReader(slow, from: leader, bytesAtOnce: 600)
        var most = 0
        for _ in 0..<40 {
            stage.load([leader], millis: 50, everyMillis: 1, padding: 1_000)
            let queued = stage.simulation.peers(of: leader).map(\.queuedBytes).max() ?? 0
            most = max(most, queued)
        }
        #expect(most > 16 << 10)
        #expect(most < 256 << 10)
        #expect(stage.acknowledgedCount() > 1_000)
        stage.reached(.slowReaders)
        stage.curtain()
    }

    @Test("Latency spikes of a hundred times the usual lose nothing")
    func spikes() {
        let stage = Stage { $0.network.spikePermille = 100 }
        let leader = stage.elect()
        stage.load(stage.nodes, millis: 2_000, everyMillis: 20)
        stage.reached(.latencySpikes, atLeast: 20)
        #expect(stage.simulation.leader(of: "g") == leader)
        stage.simulation.options.network.spikePermille = 0
        stage.curtain()
    }

    @Test("Clocks ten percent apart depose nobody")
    func skew() {
        let stage = Stage(seed: 5, nodes: 5) { $0.clock.skewPercent = 10 }
        let leader = stage.elect()
        let term = stage.term(leader)
        stage.load([leader], millis: 10_000, everyMillis: 200)
        #expect(stage.term(leader) == term)
        stage.reached(.skewedClocks, atLeast: 2)
        stage.curtain()
    }

    @Test("A leader's clock that turns slow, then fast, deposes nobody")
    func clockChange() {
        let stage = Stage()
        let leader = stage.elect()
        let term = stage.term(leader)
        for percent in [-10, 10, -5, 0] {
            stage.simulation.changeClock(of: leader, skewPercent: percent)
            stage.load([leader], millis: 2_000, everyMillis: 100)
        }
        #expect(stage.term(leader) == term)
        stage.reached(.clockChanges, atLeast: 4)
        stage.curtain()
    }

    // MARK: Strangers

    @Test("A stranger costs its own connection at most", arguments: StrangerConduct.allCases)
    func stranger(conduct: StrangerConduct) {
        let stage = Stage { $0.timing.handshakeTimeout = .milliseconds(800) }
        let leader = stage.elect()
        let term = stage.term(leader)
        for node in stage.nodes { stage.simulation.meetStranger(conduct, at: node) }
        stage.load([leader], millis: 6_000, everyMillis: 100)
        stage.reached(.strangers, atLeast: 3)
        #expect(stage.acknowledgedCount() >= 50)
        // An impostor may take a member's place for a moment, as long as nodes don't identify
        // themselves by more than their number.
        if conduct != .impostor {
            #expect(stage.simulation.leader(of: "g") == leader)
            #expect(stage.term(leader) == term)
        }
        stage.curtain()
    }

    @Test("Strangers beyond the limit push out the one that was silent longest")
    func manyStrangers() {
        let stage = Stage { $0.limits.pendingHandshakes = 4 }
        let leader = stage.elect()
        for _ in 0..<40 { stage.simulation.meetStranger(.silence, at: leader) }
        stage.load([leader], millis: 1_000, everyMillis: 50)
        stage.reached(.strangersClosed, atLeast: 36)
        #expect(stage.acknowledgedCount() >= 18)
        stage.curtain()
    }

    @Test("A member comes back though strangers crowd the port")
    func memberAmongStrangers() {
        let stage = Stage { $0.limits.pendingHandshakes = 2 }
        let leader = stage.elect()
        let other = stage.others(than: leader)[0]
        stage.simulation.kill(other)
        for _ in 0..<20 { stage.simulation.meetStranger(.slowHello, at: leader) }
        stage.simulation.restart(other)
        let isBack = stage.simulation.run(atMost: .seconds(15), lookingEvery: .milliseconds(20)) {
            stage.simulation.isInStep("g")
        }
        #expect(isBack)
        stage.reached(.strangers, atLeast: 20)
        stage.curtain()
    }
}
