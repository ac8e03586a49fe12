import KraftEngine
import RaftCore

/// Something that was taken out of the plan that a seed stands for, so that less is left to read.
///
/// A plan with its cuts is text: `4711 faults=3,17 clients=1 ms=2400 network=calm`. That is what a
/// failing seed is minimised to, what `make sim SEED="…"` replays, and what can be pinned.
public struct PlanCut: Hashable, Sendable, CustomStringConvertible {
    public enum Key: String, CaseIterable, Sendable {
        /// The numbers of the faults that are left, or `none`.
        case faults
        /// So many clients, clients with sessions, the first groups, nodes, and milliseconds before the calm.
        case clients, sessions, groups, nodes, ms
        /// `calm`: as in `SimulationOptions`, where all is well.
        case network, disk, clock, turns, boots
        /// `plain`: as in `SimulationOptions` and `Plan.Load`.
        case limits, log, timing, load, snapshots
    }

    public var key: Key
    public var value: String

    public init(_ key: Key, _ value: String) {
        self.key = key
        self.value = value
    }

    /// Nil for what isn't `key=value`.
    public init?(text: String) {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2, let key = Key(rawValue: parts[0]) else { return nil }
        self.init(key, parts[1])
    }

    public var description: String { "\(key.rawValue)=\(value)" }
}

extension Plan {
    /// A seed, with what was cut from its plan; nil for what can't be read.
    public init?(text: String) {
        let words = text.split(separator: " ").map(String.init)
        guard let first = words.first, let seed = UInt64(first) else { return nil }
        self = .drawn(from: seed)
        for word in words.dropFirst() {
            guard let cut = PlanCut(text: word), apply(cut) else { return nil }
        }
    }

    /// What `init(text:)` reads.
    public var text: String {
        ([String(seed)] + cuts.map(\.description)).joined(separator: " ")
    }

    /// The plan with one thing less; a cut of the same key is replaced. Nil for a value that can't be.
    public func cut(_ cut: PlanCut) -> Plan? {
        var plan = Plan.drawn(from: seed)
        for old in cuts where old.key != cut.key { _ = plan.apply(old) }
        return plan.apply(cut) ? plan : nil
    }

    /// False for a value that can't be.
    private mutating func apply(_ cut: PlanCut) -> Bool {
        let plain = Plan(seed: seed)
        switch cut.key {
        case .faults:
            let numbers = cut.value == "none" ? [] : cut.value.split(separator: ",").map { Int($0) }
            guard numbers.allSatisfy({ $0 != nil }) else { return false }
            faults.removeAll { !numbers.contains($0.number) }
        case .clients, .sessions, .groups, .nodes, .ms:
            guard let number = Int(cut.value), apply(number, to: cut.key) else { return false }
        case .network: options.network = plain.options.network
        case .disk: options.disk = plain.options.disk
        case .clock: options.clock = plain.options.clock
        case .turns: options.turns = plain.options.turns
        case .boots: bootCrashPermille = 0
        case .limits:
            options.limits = plain.options.limits
            // Commands are as large as they were.
            options.limits.commandSizeBytes = Plan.drawn(from: seed).options.limits.commandSizeBytes
        case .log: options.log = plain.options.log
        case .timing: options.timing = plain.options.timing
        case .snapshots: options.snapshots = plain.options.snapshots
        case .load:
            let (clients, sessionClients) = (load.clients, load.sessionClients)
            load = plain.load
            load.clients = clients
            load.sessionClients = sessionClients
        }
        cuts.append(cut)
        let order = PlanCut.Key.allCases
        cuts.sort { order.firstIndex(of: $0.key) ?? 0 < order.firstIndex(of: $1.key) ?? 0 }
        return true
    }

    private mutating func apply(_ number: Int, to key: PlanCut.Key) -> Bool {
        switch key {
        case .clients:
            guard (0...64).contains(number) else { return false }
            load.clients = number
        case .sessions:
            guard (0...64).contains(number) else { return false }
            load.sessionClients = number
        case .groups:
            guard (1...1_024).contains(number) else { return false }
            groups = number
        case .nodes:
            guard (1...9).contains(number) else { return false }
            nodes = number
        default:
            guard (0...3_600_000).contains(number) else { return false }
            duration = .milliseconds(UInt64(number))
        }
        return true
    }
}
