/// A piece of work whose instructions are counted for each unit.
enum GuardCase: String, CaseIterable {
    /// An entry: three cores, 16 entries a round.
    case core
    /// A write, on all three nodes: 48 groups with 16 in flight, 16 bytes.
    case engine
    /// A write: one group with 256 in flight, 128 bytes.
    case engineOneGroup = "engine-1x256"
    /// A linearizable read on the leader: 48 groups with 16 in flight.
    case engineReads = "engine-reads"
    /// The same by lease.
    case engineLease = "engine-lease"

    /// Does at least `count` units within `measured`, checks the result, and says how many they were.
    func run(_ count: Int) throws(WrongResult) -> Int {
        switch self {
        case .core: try CoreCase.run(count)
        case .engine:
            try EngineCase(.init(groups: 48, inFlight: 16, payload: 16)).run(count)
        case .engineOneGroup:
            try EngineCase(.init(groups: 1, inFlight: 256, payload: 128)).run(count)
        case .engineReads:
            try EngineCase(.init(groups: 48, inFlight: 16, reads: .linearizable)).run(count)
        case .engineLease:
            try EngineCase(.init(groups: 48, inFlight: 16, reads: .lease)).run(count)
        }
    }
}

/// The case did not do what is counted.
struct WrongResult: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// What is counted. By its name callgrind can be told to look at nothing else:
/// `--toggle-collect='*8measured*'`.
@inline(never)
func measured(_ work: () -> Void) { work() }
