import KraftTestKit

/// Draws histories of one key: of a store that works, or of one that sometimes doesn't.
struct RandomHistory {
    var random: SeededRandom
    var clients = 3
    var operations = 7
    /// Of 1,000 operations, how many lose their answer.
    var lostPermille = 200
    var refusedPermille = 50
    /// Of 1,000 operations, how many are treated wrongly.
    var flawPermille = 0
    /// Whether answers say versions.
    var hasVersions = true
    /// Written bytes come from this many letters; 0 makes each write's bytes its own.
    var letters = 2
    var weights = Weights()

    struct Weights {
        var get = 4, put = 2, delete = 1, append = 2, increment = 2, conditional = 2
    }

    private struct Pending {
        var process: Int
        var operation: KeyOperation
        var invoked: UInt64
        /// When it takes effect: unheard ones perhaps long after, or never.
        var effect: UInt64?
        var returned: UInt64
        var isLost: Bool
        var isRefused: Bool
        var answer: KeyAnswer?
    }

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    private var value: [UInt8]?
    private var version: UInt64 = 0
    private var lastVersion: UInt64 = 0
    private var past: [(value: [UInt8]?, version: UInt64)] = []
    private var written = 0

    mutating func draw() -> KeyHistory {
        var pending: [Pending] = []
        var clocks = (0..<clients).map { UInt64($0) }
        var processes = Array(0..<clients)
        var nextProcess = clients
        for _ in 0..<operations {
            let client = random.below(clients)
            let invoked = clocks[client] + UInt64(random.below(20))
            let returned = invoked + UInt64(1 + random.below(60))
            let isLost = random.chance(lostPermille)
            let isRefused = !isLost && random.chance(refusedPermille)
            var effect: UInt64? = invoked + UInt64(random.below(Int(returned - invoked) + 1))
            if isLost {
                effect = random.chance(500) ? nil : invoked + UInt64(random.below(400))
            } else if isRefused {
                effect = nil
            }
            pending.append(
                Pending(
                    process: processes[client], operation: .get, invoked: invoked,
                    effect: effect, returned: returned, isLost: isLost, isRefused: isRefused))
            clocks[client] = returned + 1
            if isLost {
                processes[client] = nextProcess
                nextProcess += 1
            }
        }
        // Drawn when they are sent, so that conditions are about versions that were there.
        var happenings = pending.indices.map { ($0, pending[$0].invoked, 0) }
        for place in pending.indices {
            if let effect = pending[place].effect { happenings.append((place, effect, 1)) }
        }
        happenings.sort { ($0.1, $0.2, $0.0) < ($1.1, $1.2, $1.0) }
        for (place, _, kind) in happenings {
            if kind == 0 {
                pending[place].operation = operation()
            } else {
                pending[place].answer = apply(pending[place].operation)
            }
        }
        return KeyHistory(pending.map { entry($0) })
    }

    private func entry(_ pending: Pending) -> KeyHistory.Entry {
        var outcome = KeyHistory.Outcome.open
        if pending.isRefused {
            outcome = .refused(at: pending.returned)
        } else if !pending.isLost, let answer = pending.answer {
            outcome = .answered(answer, at: pending.returned)
        }
        return KeyHistory.Entry(
            process: pending.process, object: "k", operation: pending.operation,
            invoked: pending.invoked, outcome: outcome)
    }

    private mutating func bytes() -> [UInt8] {
        written += 1
        guard letters > 0 else { return Array("\(written);".utf8) }
        // Digits too, so that numbers come and go.
        return [random.pick(Array("ab17".utf8.prefix(letters)))]
    }

    private mutating func operation() -> KeyOperation {
        let weights = weights
        var kinds: [Int] = []
        for (kind, count) in [
            weights.get, weights.put, weights.delete, weights.append, weights.increment,
            weights.conditional,
        ].enumerated() { kinds += Array(repeating: kind, count: count) }
        switch random.pick(kinds) {
        case 0: return .get
        case 1: return .put(bytes())
        case 2: return .delete()
        case 3: return .append(bytes())
        case 4: return .increment(by: Int64(1 + random.below(2)))
        default:
            let condition = random.chance(300) ? 0 : random.chance(500) ? version : lastVersion
            return random.chance(700)
                ? .put(bytes(), ifVersion: condition) : .delete(ifVersion: condition)
        }
    }

    // MARK: The store

    private mutating func apply(_ operation: KeyOperation) -> KeyAnswer {
        guard random.chance(flawPermille) else { return perform(operation) }
        switch random.below(4) {
        case 0:
            // As of an earlier state.
            let now = (value, version)
            if let old = random.element(past) { (value, version) = old }
            let answer = perform(operation)
            if operation == .get { (value, version) = now }
            return answer
        case 1:
            _ = perform(operation)
            return perform(operation)
        case 2:
            let now = (value, version)
            let answer = perform(operation)
            (value, version) = now
            return answer
        default:
            return operation == .get ? .saw("a", hasVersions ? version : nil) : perform(operation)
        }
    }

    private mutating func perform(_ operation: KeyOperation) -> KeyAnswer {
        past.append((value, version))
        lastVersion += UInt64(1 + random.below(2))
        let said = hasVersions ? lastVersion : nil
        switch operation {
        case .get:
            guard let value else { return .missing }
            return .value(value, version: hasVersions ? version : nil)
        case .put(let new, let condition):
            guard condition == nil || condition == version else { return conflict }
            (value, version) = (new, lastVersion)
            return .written(version: said)
        case .delete(let condition):
            guard condition == nil || condition == version else { return conflict }
            let existed = value != nil
            (value, version) = (nil, 0)
            return .deleted(existed: existed, index: said)
        case .append(let piece):
            (value, version) = ((value ?? []) + piece, lastVersion)
            return .appended(length: value?.count, version: said)
        case .increment(let by):
            guard let number = value.map({ Int64(String(decoding: $0, as: UTF8.self)) }) ?? 0
            else { return .conflict(version: nil) }
            (value, version) = (Array("\(number + by)".utf8), lastVersion)
            return .incremented(value: number + by, version: said)
        }
    }

    private var conflict: KeyAnswer { .conflict(version: hasVersions ? version : nil) }
}
