/// How long each group of a killed node had no leader, from what the survivors are seen to lead.
struct OutageMeter: Sendable {
    /// Nil while the group has no leader.
    private(set) var outages: [String: Duration?]
    let killedAt: ContinuousClock.Instant

    init(groups: [String], killedAt: ContinuousClock.Instant) {
        outages = Dictionary(uniqueKeysWithValues: groups.map { ($0, nil) })
        self.killedAt = killedAt
    }

    /// A survivor was seen to lead these groups.
    mutating func observe(led: [String], at now: ContinuousClock.Instant) {
        for group in led {
            if case .some(.none) = outages[group] { outages[group] = now - killedAt }
        }
    }

    var isOver: Bool { !outages.values.contains { $0 == nil } }
    var longest: Duration? { outages.values.compactMap { $0 }.max() }

    /// By length, those that still last at the end.
    var sorted: [(group: String, outage: Duration?)] {
        outages.map { ($0.key, $0.value) }.sorted { a, b in
            (a.1 ?? .seconds(1_000_000), a.0) < (b.1 ?? .seconds(1_000_000), b.0)
        }
    }
}
