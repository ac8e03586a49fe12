/// A piece of work whose instructions are counted for each unit.
enum GuardCase: String, CaseIterable {
    /// An entry: three cores, 16 entries a round.
    case core
    /// A write, on all three nodes: 48 groups with 16 in flight, 16 bytes.
    case engine
    /// The same with 256 in flight.
    case engineDeep = "engine-48x256"
    /// The same with one: each write has its group's turns to itself, as at moderate load.
    case engineAlone = "engine-48x1"
    /// A write: one group with 256 in flight, 128 bytes.
    case engineOneGroup = "engine-1x256"
    /// A linearizable read on the leader: 48 groups with 16 in flight.
    case engineReads = "engine-reads"
    /// The same by lease.
    case engineLease = "engine-lease"
    /// An entry: a frame with 16, written and read.
    case codec
    /// An entry: a write of the log with 16 records of 16.
    case log
    /// A look-up among 48 groups.
    case routerHash = "router-hash"
    case routerRing = "router-ring"
    case routerRange = "router-range"

    /// Does at least `count` units within `measured`, checks the result, and says how many they were.
    func run(_ count: Int) throws(WrongResult) -> Int {
        switch self {
        case .core: return try CoreCase.run(count)
        case .engine:
            return try EngineCase(.init(groups: 48, inFlight: 16, payload: 16)).run(count)
        case .engineDeep:
            return try EngineCase(.init(groups: 48, inFlight: 256, payload: 16)).run(count)
        case .engineAlone:
            return try EngineCase(.init(groups: 48, inFlight: 1, payload: 16)).run(count)
        case .engineOneGroup:
            return try EngineCase(.init(groups: 1, inFlight: 256, payload: 128)).run(count)
        case .engineReads:
            return try EngineCase(.init(groups: 48, inFlight: 16, reads: .linearizable)).run(count)
        case .engineLease:
            return try EngineCase(.init(groups: 48, inFlight: 16, reads: .lease)).run(count)
        case .codec: return try CodecCase.run(count)
        case .log: return try LogCase.run(count)
        case .routerHash: return try RouterCase.run(.hash, count)
        case .routerRing: return try RouterCase.run(.consistentHash, count)
        case .routerRange: return try RouterCase.run(.range, count)
        }
    }
}

/// The case did not do what is counted.
struct WrongResult: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// What is counted: all between the calls of these two, by whose names callgrind finds them
/// (`--dump-before`).
@inline(never)
func measured(_ work: () -> Void) { work() }

@inline(never)
func afterwards(_ work: () -> Void) { work() }
