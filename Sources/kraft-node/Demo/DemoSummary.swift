/// What the demo says at its end.
struct DemoSummary {
    var books: WriteLedger
    var readback: DemoReadback.Result
    var digests: DemoDigests
    var meter: OutageMeter
    var nodeCount: Int

    /// Lost keys that are named one by one; more are only counted.
    static let nameLimit = 10

    var isClean: Bool { readback.isClean && digests.isClean }

    /// Whether all is well.
    func say(on screen: DemoScreen) -> Bool {
        screen.say("")
        let longest = meter.longest.map { "\(Words.span($0)) at most" } ?? "none"
        say(
            "written",
            "\(Words.count(books.acknowledged)) acknowledged, \(Words.count(books.open)) "
                + "open, \(Words.count(books.refused)) refused", screen)
        say(
            "failover",
            "\(Words.many(meter.outages.count, "group")) without a leader for \(longest)",
            screen)
        say(
            "read back",
            "\(Words.count(readback.right)) of \(Words.count(readback.keys)) keys right",
            screen)
        let groups = digests.equal.count + digests.different.count + digests.unsettled.count
        say(
            "replicas",
            "\(digests.equal.count) of \(Words.many(groups, "group")): digests equal on "
                + "all \(nodeCount) nodes", screen)
        sayTrouble(screen)
        let lost = "\(Words.count(readback.lost.count)) lost"
        screen.say("")
        screen.say(isClean ? lost : "\(lost); the demo FAILED", isClean ? .good : .bad)
        return isClean
    }

    private func say(_ what: String, _ words: String, _ screen: DemoScreen) {
        let space = String(repeating: " ", count: 11 - what.count)
        screen.say(StyledLine(what + space, .dim).adding(words))
    }

    private func sayTrouble(_ screen: DemoScreen) {
        let troubles = [
            ("lost", readback.lost), ("hold what nobody wrote", readback.wrong),
            ("could not be read", readback.unreadable),
            ("replicas differ", digests.different),
            ("replicas at different indices", digests.unsettled),
        ]
        for (what, names) in troubles where !names.isEmpty {
            let more = names.count > DemoSummary.nameLimit ? ", …" : ""
            let listed = names.prefix(DemoSummary.nameLimit).joined(separator: ", ")
            screen.say("\(Words.count(names.count)) \(what): \(listed)\(more)", .bad)
        }
    }
}
