/// Compares the content of all replicas, group by group.
struct DemoDigests: Equatable {
    /// Groups whose replicas all stand at the same index with the same digest.
    private(set) var equal: [String] = []
    /// At the same index, but different: replicas have diverged.
    private(set) var different: [String] = []
    /// Not at the same index yet, or not seen on every node.
    private(set) var unsettled: [String] = []

    init(_ views: [Int: [GroupInfo]], nodeCount: Int, groupCount: Int) {
        var replicas: [String: [GroupInfo]] = [:]
        for groups in views.values {
            for group in groups { replicas[group.name, default: []].append(group) }
        }
        for (name, replicas) in replicas.sorted(by: { $0.key < $1.key }) {
            let isSettled =
                replicas.count == nodeCount && Set(replicas.map(\.appliedIndex)).count == 1
            guard isSettled else {
                unsettled.append(name)
                continue
            }
            let digests = Set(replicas.map(\.digest))
            if digests.count == 1, digests.first != .some(nil) {
                equal.append(name)
            } else {
                different.append(name)
            }
        }
        for number in 0..<max(0, groupCount - replicas.count) {
            unsettled.append("missing \(number)")
        }
    }

    var isSettled: Bool { unsettled.isEmpty }
    var isClean: Bool { unsettled.isEmpty && different.isEmpty }
}
