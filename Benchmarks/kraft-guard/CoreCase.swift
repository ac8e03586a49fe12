import RaftCore

/// Three cores in one memory: 16 entries a round, each message handed over at once, disks that are
/// done at once.
struct CoreCase: ~Copyable {
    private static let batch = 16
    private static let warmUpRounds = 64

    /// The first one leads. Behind pointers, as to look at a core in an array is to copy it. Two
    /// sets of effects each: one is filled while the other is handed over.
    private let rafts: UnsafeMutablePointer<Raft>
    private var effects: UnsafeMutablePointer<RaftEffects>
    private var leaving: UnsafeMutablePointer<RaftEffects>
    private var now = Instant.zero

    static func run(_ count: Int) throws(WrongResult) -> Int {
        var cores = CoreCase()
        guard cores.elect() else { throw WrongResult("no core was elected") }
        for _ in 0..<warmUpRounds { cores.round() }
        let rounds = (count + batch - 1) / batch
        let start = cores.rafts[0].commitIndex
        measured { for _ in 0..<rounds { cores.round() } }
        afterwards { cores.round() }
        for place in 0..<3 where cores.rafts[place].commitIndex < start + rounds * batch {
            throw WrongResult("a core committed only up to \(cores.rafts[place].commitIndex)")
        }
        return rounds * batch
    }

    private init() {
        let nodes: [NodeID] = [1, 2, 3]
        guard let membership = Membership(voters: nodes) else { preconditionFailure("voters") }
        rafts = .allocate(capacity: 3)
        for (place, node) in nodes.enumerated() {
            (rafts + place).initialize(
                to: Raft(
                    replica: Replica(node),
                    configurations: [.init(index: .zero, membership: membership)],
                    hardState: HardState(), log: LogTerms(), options: .init(),
                    seed: UInt64(node.rawValue), now: .zero))
        }
        effects = .allocate(capacity: 3)
        effects.initialize(repeating: RaftEffects(), count: 3)
        leaving = .allocate(capacity: 3)
        leaving.initialize(repeating: RaftEffects(), count: 3)
    }

    deinit {
        rafts.deinitialize(count: 3).deallocate()
        effects.deinitialize(count: 3).deallocate()
        leaving.deinitialize(count: 3).deallocate()
    }

    private mutating func elect() -> Bool {
        guard rafts[0].forceElection(now: now, effects: &effects[0]) else { return false }
        for _ in 0..<16 {
            deliver()
            flush()
        }
        return rafts[0].canRead
    }

    private mutating func round() {
        now = now + .microseconds(100)
        guard rafts[0].propose(count: CoreCase.batch) != nil else {
            preconditionFailure("the first core leads no more")
        }
        flush()
        // To the followers, and back.
        deliver()
        deliver()
        for place in 0..<3 where rafts[place].nextDeadline <= now {
            rafts[place].tick(now: now, effects: &effects[place])
        }
    }

    /// Sends what the followers want, and what else is due. The leader's own disk is done then.
    private mutating func flush() {
        for position in 0..<3 {
            while let wanted = rafts[0].wantedEntries(by: position) {
                rafts[0].sendEntries(
                    to: position, count: wanted.most, byteCount: wanted.most * 21,
                    effects: &effects[0])
            }
        }
        rafts[0].flush(now: now, effects: &effects[0])
        persist(0)
    }

    private mutating func persist(_ place: Int) {
        rafts[place].persisted(
            upTo: rafts[place].log.lastIndex, now: now, effects: &effects[place])
    }

    /// Hands over what each core wants to say.
    private mutating func deliver() {
        swap(&effects, &leaving)
        for sender in 0..<3 {
            let from = rafts[sender].replica
            for number in leaving[sender].messages.indices {
                let place = Int(leaving[sender].messages[number].to.node.rawValue) - 1
                rafts[place].step(
                    from: from, leaving[sender].messages[number].message, now: now,
                    effects: &effects[place])
                if effects[place].append != nil {
                    effects[place].append = nil
                    persist(place)
                }
            }
            leaving[sender].removeAll()
        }
    }
}
