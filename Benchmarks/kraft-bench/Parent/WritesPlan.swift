/// Who writes what: the groups by their leaders, with each one's part of the load.
struct WritesPlan {
    let names: [String]
    /// By node: the numbers of the groups that it leads.
    let shares: [[Int]]
    private let settings: WritesSettings
    private let weights: [Double]
    private let inFlight: [Int]

    init(_ settings: WritesSettings, nodeCount: Int) {
        self.settings = settings
        names = BenchCluster.groupNames(settings.groups)
        weights = Zipf.weights(count: settings.groups, exponent: settings.skew)
        inFlight =
            settings.skew == 0
            ? names.map { _ in settings.inFlight }
            : Zipf.shares(of: settings.groups * settings.inFlight, by: weights)
        var shares = Array(repeating: [Int](), count: nodeCount)
        for number in names.indices {
            shares[settings.leaders.leader(of: number, nodeCount: nodeCount)].append(number)
        }
        self.shares = shares
    }

    /// The names of the groups that a node leads.
    func groups(_ place: Int) -> [String] { shares[place].map { names[$0] } }

    /// What the clients on a node do.
    func workload(_ place: Int) -> Workload {
        let share = shares[place]
        var offer: Workload.Offer?
        if let rate = settings.rate {
            let mine = share.map { weights[$0] }
            offer = .init(perSecond: rate * mine.reduce(0, +), weights: mine)
        }
        return Workload(
            groups: groups(place), inFlight: offer == nil ? share.map { inFlight[$0] } : [],
            payloadSizeBytes: settings.payloadSizeBytes, clients: settings.clients,
            batch: settings.batch, offer: offer)
    }
}
