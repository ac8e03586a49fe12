import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

/// Nodes that join, leave, lose their folder, or come back with an old one: engines wired to each
/// other by hand.
@Suite("The roster, and by what nodes are known again")
struct RosterTests {
    @Test("a node that knows only a seed is taken in, and all come to know each other")
    func joins() throws {
        var net = EngineNet()
        try net.start(1, peers: [2])
        try net.start(2, peers: [1])
        net.run(for: .seconds(1))
        try net.start(3, seeds: ["node-9", "node-1"])
        net.run(for: .seconds(8))
        for node in [NodeID(1), 2, 3] {
            let known = net.peers(of: node)
            #expect(known.filter(\.isConnected).count == 2, "node \(node): \(known)")
        }
        // It restarts without being told anything.
        net.stop(3)
        try net.start(3)
        net.run(for: .seconds(3))
        #expect(net.peers(of: 3).filter(\.isConnected).count == 2)
    }

    @Test("a node that somebody else takes in lets the cluster in, knowing nobody")
    func takenIn() throws {
        var net = EngineNet()
        try net.start(1, peers: [2])
        try net.start(2, peers: [1])
        try net.start(3)
        net.run(for: .seconds(1))
        try net.act(2) { engine, now throws(KraftError) in
            try engine.join(3, address: "node-3", token: 77, now: now)
        }
        net.run(for: .seconds(4))
        for node in [NodeID(1), 2, 3] {
            #expect(net.peers(of: node).filter(\.isConnected).count == 2, "node \(node)")
        }
        #expect(net.completed.contains(77))
    }

    @Test("a node that left is let in no more, until it is taken in again")
    func leaves() throws {
        var net = EngineNet()
        for node in [NodeID(1), 2, 3] {
            try net.start(node, peers: [1, 2, 3].filter { $0 != node })
        }
        net.run(for: .seconds(1))
        try net.act(1) { engine, now throws(KraftError) in
            try engine.leave(3, token: 5, now: now)
        }
        net.run(for: .seconds(2))
        #expect(net.peers(of: 2).first { $0.node == 3 }?.hasLeft == true)
        #expect(net.peers(of: 3).allSatisfy { !$0.isConnected })
        net.stop(3)
        try net.start(3, peers: [1, 2])
        net.run(for: .seconds(3))
        #expect(net.peers(of: 3).allSatisfy { !$0.isConnected })
        // With an empty folder and the cluster's consent it comes back.
        net.wipe(3)
        try net.act(2) { engine, now throws(KraftError) in
            try engine.join(3, address: "node-3", token: 6, now: now)
        }
        try net.start(3)
        net.run(for: .seconds(4))
        #expect(net.peers(of: 3).filter(\.isConnected).count == 2)
    }

    @Test(
        "a node that left while it was away is told so when it comes back",
        arguments: [NodeID(1), NodeID(3)])
    func toldLate(_ away: NodeID) throws {
        var net = EngineNet()
        for node in [NodeID(1), 2, 3] {
            try net.start(node, peers: [1, 2, 3].filter { $0 != node })
        }
        net.run(for: .seconds(1))
        net.stop(away)
        try net.act(2) { engine, now throws(KraftError) in
            try engine.leave(away, token: 5, now: now)
        }
        net.run(for: .seconds(1))
        // Those that know come from the disk, too.
        for node in [NodeID(1), 2, 3] where node != away {
            net.stop(node)
            try net.start(node, peers: [1, 2, 3].filter { $0 != node })
        }
        try net.start(away, peers: [1, 2, 3].filter { $0 != away })
        net.run(for: .seconds(25))
        var hasLeft = false
        try net.act(away) { engine, _ throws(KraftError) in hasLeft = engine.hasLeft }
        #expect(hasLeft)
        #expect(net.peers(of: away).allSatisfy { !$0.isConnected })
    }

    @Test("a node with an empty folder under an old id is refused by all who knew it")
    func wiped() throws {
        var net = EngineNet()
        for node in [NodeID(1), 2, 3] {
            try net.start(node, peers: [1, 2, 3].filter { $0 != node })
        }
        net.run(for: .seconds(1))
        net.wipe(3)
        try net.start(3, peers: [1, 2])
        net.run(for: .seconds(3))
        #expect(net.peers(of: 3).allSatisfy { !$0.isConnected })
        // They know it still after a restart of their own.
        net.stop(1)
        try net.start(1, peers: [2, 3])
        net.run(for: .seconds(3))
        #expect(net.peers(of: 1).first { $0.node == 3 }?.isConnected == false)
        #expect(net.peers(of: 1).first { $0.node == 2 }?.isConnected == true)
    }

    @Test("a node with an older copy of its folder is refused")
    func olderCopy() throws {
        var net = EngineNet()
        for node in [NodeID(1), 2] {
            try net.start(node, peers: [3 - node.rawValue].map { NodeID($0) })
        }
        net.run(for: .seconds(1))
        let copy = net.folder(of: 2)
        net.stop(2)
        try net.start(2, peers: [1])
        net.run(for: .seconds(1))
        #expect(net.peers(of: 1).contains { $0.isConnected })
        net.stop(2)
        net.setFolder(of: 2, copy)
        try net.start(2, peers: [1])
        net.run(for: .seconds(3))
        #expect(!net.peers(of: 1).contains { $0.isConnected })
    }

    @Test("an id that is another's isn't given twice")
    func taken() throws {
        var net = EngineNet()
        for node in [NodeID(1), 2] {
            try net.start(node, peers: [3 - node.rawValue].map { NodeID($0) })
        }
        net.run(for: .seconds(1))
        var code: KraftError.Code?
        do {
            try net.act(1) { engine, now throws(KraftError) in
                try engine.join(2, address: "elsewhere", token: 9, now: now)
            }
        } catch { code = error.code }
        #expect(code == .conflict)
        try net.act(1) { engine, now throws(KraftError) in
            try engine.join(2, address: "node-2", token: 10, now: now)
        }
        net.run(for: .milliseconds(100))
        #expect(net.completed.contains(10))
    }

    @Test("an older copy is refused after any number of restarts")
    func olderCopyRestarted() throws {
        var net = EngineNet()
        for node in [NodeID(1), 2] { try net.start(node, peers: [NodeID(3 - node.rawValue)]) }
        net.run(for: .seconds(1))
        let copy = net.folder(of: 2)
        for _ in 0..<3 {
            net.stop(2)
            try net.start(2, peers: [1])
            net.run(for: .seconds(1))
        }
        net.stop(2)
        net.setFolder(of: 2, copy)
        for _ in 0..<6 {
            try net.start(2, peers: [1])
            net.run(for: .seconds(2))
            #expect(!net.peers(of: 1).contains { $0.isConnected })
            net.stop(2)
        }
    }

    @Test("an older copy is refused also when it is the one that dials")
    func olderCopyDials() throws {
        var net = EngineNet()
        for node in [NodeID(1), 2] { try net.start(node, peers: [NodeID(3 - node.rawValue)]) }
        net.run(for: .seconds(1))
        let copy = net.folder(of: 1)
        for _ in 0..<2 {
            net.stop(1)
            try net.start(1, peers: [2])
            net.run(for: .seconds(1))
        }
        net.stop(1)
        net.setFolder(of: 1, copy)
        for _ in 0..<6 {
            try net.start(1, peers: [2])
            net.run(for: .seconds(2))
            #expect(!net.peers(of: 1).contains { $0.isConnected })
            net.stop(1)
        }
    }

    @Test("a stranger that calls itself node 0 is not let in, nor told of")
    func nodeZero() throws {
        var net = EngineNet()
        try net.start(1, peers: [2])
        try net.start(2, peers: [1])
        net.run(for: .seconds(1))
        var hello = Hello(versions: 1...1, clusterID: "net", node: 0, expected: 0, boot: 9)
        hello.address = "nowhere"
        net.speak(to: 1, .join, hello.encoded())
        net.run(for: .seconds(2))
        #expect(net.peers(of: 1).map(\.node) == [2])
        #expect(net.peers(of: 1).allSatisfy { $0.isConnected })
    }

    @Test("a node that left and is taken in again finds back, whoever has the lower id")
    func lowestComesBack() throws {
        var net = EngineNet()
        for node in [NodeID(1), 2, 3] {
            try net.start(node, peers: [1, 2, 3].filter { $0 != node })
        }
        net.run(for: .seconds(1))
        try net.act(2) { engine, now throws(KraftError) in
            try engine.leave(1, token: 5, now: now)
        }
        net.run(for: .seconds(3))
        #expect(net.peers(of: 1).allSatisfy { !$0.isConnected })
        try net.act(2) { engine, now throws(KraftError) in
            try engine.join(1, address: "node-1", token: 6, now: now)
        }
        net.run(for: .seconds(40))
        #expect(net.peers(of: 1).filter(\.isConnected).count == 2)
    }

    @Test("a node that was announced, but never came, isn't taken for another one")
    func announced() throws {
        var net = EngineNet()
        try net.start(1)
        net.run(for: .milliseconds(100))
        try net.act(1) { engine, now throws(KraftError) in
            try engine.join(2, address: "node-2", token: 3, now: now)
            try engine.join(2, address: "node-2", token: 4, now: now)
        }
        #expect(throws: KraftError.self) {
            try net.act(1) { engine, now throws(KraftError) in
                try engine.join(2, address: "elsewhere", token: 5, now: now)
            }
        }
        // It is a member itself; nothing has to be written for that.
        try net.act(1) { engine, now throws(KraftError) in
            try engine.join(1, address: "node-1", token: 6, now: now)
        }
        net.run(for: .milliseconds(100))
        #expect(net.completed.isSuperset(of: [3, 4, 6]))
    }

    @Test("what a node has others know of it reaches them at once, and those that come later")
    func info() throws {
        var net = EngineNet()
        try net.start(1, peers: [2])
        try net.start(2, peers: [1])
        net.run(for: .seconds(1))
        func told(_ node: NodeID, of peer: NodeID) -> String? {
            net.peers(of: node).first { $0.node == peer }?.info
        }
        #expect(told(2, of: 1) == "")
        try net.act(1) { engine, now throws(KraftError) in try engine.setInfo("http=a:1") }
        net.run(for: .milliseconds(5))
        #expect(told(2, of: 1) == "http=a:1")
        net.stop(2)
        try net.start(2, peers: [1])
        net.run(for: .seconds(1))
        #expect(told(2, of: 1) == "http=a:1")
        #expect(throws: KraftError.self) {
            try net.act(1) { engine, now throws(KraftError) in
                try engine.setInfo(String(repeating: "x", count: 257))
            }
        }
    }
}
