import Testing

@testable import kraft_node

@Suite("The demo's books")
struct WriteLedgerTests {
    @Test("an acknowledged write has to be there")
    func acknowledged() {
        var ledger = WriteLedger()
        ledger.settle(ledger.begin("k", .put("1")), .acknowledged)
        #expect(ledger.judge("k", found: "1") == .right)
        #expect(ledger.judge("k", found: nil) == .lost)
        #expect(ledger.judge("k", found: "0") == .lost)
        #expect((ledger.acknowledged, ledger.open, ledger.refused) == (1, 0, 0))
    }

    @Test("an older value in place of the last acknowledged one is a lost write")
    func overwritten() {
        var ledger = WriteLedger()
        ledger.settle(ledger.begin("k", .put("1")), .acknowledged)
        ledger.settle(ledger.begin("k", .put("2")), .acknowledged)
        #expect(ledger.judge("k", found: "2") == .right)
        #expect(ledger.judge("k", found: "1") == .lost)
    }

    @Test("an open write may be there or not, for ever")
    func open() {
        var ledger = WriteLedger()
        ledger.settle(ledger.begin("k", .put("1")), .open)
        #expect(ledger.judge("k", found: nil) == .right)
        #expect(ledger.judge("k", found: "1") == .right)
        ledger.settle(ledger.begin("k", .put("2")), .acknowledged)
        #expect(ledger.judge("k", found: "1") == .right)
        #expect(ledger.judge("k", found: "2") == .right)
        #expect(ledger.judge("k", found: nil) == .lost)
        #expect(ledger.open == 1)
    }

    @Test("a refused write must not be there")
    func refused() {
        var ledger = WriteLedger()
        ledger.settle(ledger.begin("k", .put("1")), .refused)
        #expect(ledger.judge("k", found: nil) == .right)
        #expect(ledger.judge("k", found: "1") == .wrong)
        #expect(ledger.judge("never written", found: "1") == .wrong)
    }

    @Test("a counter holds every acknowledged increment once, and at most the open ones more")
    func counter() {
        var ledger = WriteLedger()
        for outcome in [WriteLedger.Outcome.acknowledged, .acknowledged, .open, .refused] {
            ledger.settle(ledger.begin("n", .increment), outcome)
        }
        #expect(ledger.judge("n", found: "1") == .lost)
        #expect(ledger.judge("n", found: nil) == .lost)
        #expect(ledger.judge("n", found: "2") == .right)
        #expect(ledger.judge("n", found: "3") == .right)
        #expect(ledger.judge("n", found: "4") == .wrong)
        #expect(ledger.judge("n", found: "two") == .wrong)
    }

    @Test("only the contract's 504 leaves a write open; other errors promise no effect")
    func outcomes() {
        #expect(DemoWorkload.outcome(status: 200) == .acknowledged)
        #expect(DemoWorkload.outcome(status: 504) == .open)
        for status in [400, 404, 409, 413, 429, 501, 503] {
            #expect(DemoWorkload.outcome(status: status) == .refused)
        }
    }
}

@Suite("What the demo measures and shows")
struct DemoViewTests {
    @Test("an outage lasts from the kill until a survivor leads")
    func outage() {
        let start = ContinuousClock.now
        var meter = OutageMeter(groups: ["a", "b"], killedAt: start)
        meter.observe(led: ["x"], at: start + .milliseconds(5))
        #expect(!meter.isOver)
        meter.observe(led: ["b"], at: start + .milliseconds(700))
        meter.observe(led: ["b", "a"], at: start + .milliseconds(900))
        #expect(meter.isOver)
        #expect(meter.longest == .milliseconds(900))
        #expect(meter.sorted.map(\.group) == ["b", "a"])
        #expect(meter.sorted.map(\.outage) == [.milliseconds(700), .milliseconds(900)])
    }

    private func info(_ name: String, applied: UInt64, digest: String) -> GroupInfo {
        GroupInfo(
            name: name, state: "running", role: "follower", term: 1, leader: 1,
            commitIndex: applied, appliedIndex: applied, digest: digest, joint: false, change: nil,
            replicas: [])
    }

    @Test("digests are compared at equal applied indices only")
    func digests() {
        let one = [info("a", applied: 5, digest: "x"), info("b", applied: 5, digest: "x")]
        let equal = DemoDigests([1: one, 2: one], nodeCount: 2, groupCount: 2)
        #expect(equal.isClean)
        #expect(equal.equal == ["a", "b"])
        let behind = [info("a", applied: 4, digest: "y"), info("b", applied: 5, digest: "z")]
        let found = DemoDigests([1: one, 2: behind], nodeCount: 2, groupCount: 2)
        #expect(found.unsettled == ["a"])
        #expect(found.different == ["b"])
        #expect(!DemoDigests([1: one], nodeCount: 2, groupCount: 2).isClean)
        #expect(!DemoDigests([1: one, 2: one], nodeCount: 2, groupCount: 3).isSettled)
    }

    @Test("catching up is 100 % only when everything is applied")
    func percent() {
        let goal: [String: UInt64] = ["a": 500, "b": 500]
        func percent(_ a: UInt64, _ b: UInt64) -> Int {
            Demo.percent(
                of: goal,
                appliedBy: [info("a", applied: a, digest: ""), info("b", applied: b, digest: "")])
        }
        #expect(percent(0, 0) == 0)
        #expect(percent(500, 0) == 50)
        #expect(percent(9_000, 499) == 99)
        #expect(percent(9_000, 500) == 100)
        #expect(Demo.percent(of: goal, appliedBy: []) == 0)
    }

    @Test("lines fit the terminal, in colour or without")
    func drawing() {
        let line = StyledLine("node 1 ", .bold).adding("● up ", .good).adding("0 1 2 3 4 5 6 7")
        #expect(line.draw(width: 100, color: false) == "node 1 ● up 0 1 2 3 4 5 6 7")
        #expect(line.draw(width: 16, color: false) == "node 1 ● up 0 1…")
        #expect(line.draw(width: 100, color: true).hasPrefix("\u{1B}[1mnode 1 \u{1B}[0m"))
    }

    @Test("the view says who leads what, in a block or in one line")
    func view() {
        var view = DemoView(nodes: [.init(id: 1), .init(id: 2)], groupCount: 3)
        view.nodes[0].state = .up
        view.nodes[0].leads = ["kv-0", "kv-2"]
        view.nodes[1].state = .killed
        view.acknowledged = 12_345
        view.add(rate: 1_000)
        let block = view.lines().map { $0.draw(width: 100, color: false) }.joined(separator: "\n")
        #expect(block.contains("node 1   ● up       leads 2   0 2"))
        #expect(block.contains("node 2   ✕ killed"))
        #expect(block.contains("12,345 acknowledged   1,000/s"))
        #expect(
            view.summaryLine.contains(
                "12,345 writes acknowledged, 1,000/s; node 1 leads 2, node 2 killed"))
    }

    @Test("numbers and times read well")
    func words() {
        #expect(Words.count(0) == "0")
        #expect(Words.count(-1_234_567) == "-1,234,567")
        #expect(Words.span(.milliseconds(812)) == "812 ms")
        #expect(Words.span(.milliseconds(12_345)) == "12.3 s")
        #expect(Words.many(1, "group") == "1 group")
        #expect(
            DemoNode.http(inReadyLine: "ready id=1 http=127.0.0.1:8001 peer=x:1")
                == "127.0.0.1:8001")
        #expect(DemoNode.http(inReadyLine: "kraft-node: data-dir in use") == nil)
    }

    @Test("tables line up")
    func tables() {
        var table = TextTable("group", "term")
        table.add("kv-0", "7")
        table.add("a-long-name", "12")
        #expect(table.lines == ["group        term", "kv-0            7", "a-long-name    12"])
    }
}
