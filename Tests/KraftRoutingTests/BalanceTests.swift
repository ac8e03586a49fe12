import KraftRouting
import Testing

/// Figures for consistent hashing at the default of 150 virtual nodes, by 200,000 keys.
@Suite("Balance of consistent hashing")
struct BalanceTests {
    private static let keys = numberedKeys(200_000)
    /// The names that users and the demo are likely to give.
    private static let stems = ["group-", "g", "shard", "tenant.", "cache:eu-west:", "users_"]

    @Test(
        "The largest of 16 groups holds at most 1.35 times the mean; a 17th takes at most 1.3/17",
        arguments: stems)
    func balance(stem: String) throws {
        let before = try Router.consistentHash(groups: names(16, stem).map { RingGroup($0) })
        let newcomer = name("\(stem)16")
        let after = try before.adding(RingGroup(newcomer))
        var keysOfOwner = [Int](repeating: 0, count: before.owners.count)
        var moved = 0
        for key in BalanceTests.keys {
            let owner = try #require(key.withUnsafeBytes { before.ownerIndex($0) })
            keysOfOwner[owner] += 1
            let now = after.route(key).group
            if now != before.owners[owner].group {
                moved += 1
                #expect(now == newcomer, "a key moved between groups that were there before")
            }
        }
        let mean = Double(BalanceTests.keys.count) / 16
        let largest = Double(keysOfOwner.max() ?? 0) / mean
        let smallest = Double(keysOfOwner.min() ?? 0) / mean
        let movedParts = Double(moved) / Double(BalanceTests.keys.count) * 17
        print(
            "summary: balance, names \(stem)N: largest \(rounded(largest)), smallest \(rounded(smallest))"
                + " times the mean of 16; a 17th moves \(rounded(movedParts))/17 of the keys")
        #expect(largest <= 1.35)
        #expect(movedParts <= 1.3)
    }

    @Test("Removing one of 17 groups moves only its own keys")
    func removal() throws {
        let before = try Router.consistentHash(groups: names(17).map { RingGroup($0) })
        let leaver = name("group-3")
        let after = try before.removing(leaver)
        for key in BalanceTests.keys where before.route(key).group != leaver {
            #expect(before.route(key).group == after.route(key).group)
        }
    }

    @Test("Over 200 sets of names the shares of 16 groups stay near the theory")
    func manyNames() throws {
        var worst = 0.0
        var squares = 0.0
        for set in 0..<200 {
            let router = try Router.consistentHash(
                groups: names(16, "set\(set)-").map { RingGroup($0) })
            for share in router.shares {
                guard case .fraction(let fraction) = share.extent else { continue }
                worst = max(worst, fraction * 16)
                squares += (fraction * 16 - 1) * (fraction * 16 - 1)
            }
        }
        let deviation = (squares / 3200).squareRoot()
        print(
            "summary: balance, 200 sets of 16 names: largest share \(rounded(worst)) times the mean,"
                + " standard deviation \(rounded(deviation)) (theory \(rounded(0.0791)))")
        #expect(worst <= 1.35)
        // sqrt((n - 1) / (n * v)) of the mean for n groups with v points each, n * v large.
        #expect(abs(deviation / 0.0791 - 1) < 0.1)
    }

    private func rounded(_ number: Double) -> Double { (number * 1000).rounded() / 1000 }
}
