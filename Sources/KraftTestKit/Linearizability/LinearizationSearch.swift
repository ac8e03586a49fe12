/// Looks for an order of one object's operations that respects real time and the model.
///
/// Wing and Gong's search ("Testing and verifying concurrent objects", 1993) with Lowe's memory of
/// configurations ("Testing for linearizability", 2017): depth first, always extending the order by
/// an operation that no other one, still without a place, precedes in real time.
///
/// **Unheard operations** have no end, so a plain search may place them anywhere. This one looks for
/// an order with as few of them as possible. In such an order each of them makes a difference to the
/// operation that comes right after it, so it is tried only where
/// - nothing that has an answer leads on, or all that do have failed, and
/// - the next operation comes out differently for it, and some answer can still be reached.
///
/// Equal ones are interchangeable: the one that was invoked first goes first.
struct LinearizationSearch<Model: SequentialModel> {
    /// An operation with its answer.
    struct Heard {
        var operation: Model.Operation
        var answer: Model.Answer
        var invoked: UInt64
        var returned: UInt64
    }

    /// An operation whose outcome nobody knows.
    struct Unheard {
        var operation: Model.Operation
        var invoked: UInt64
    }

    /// Equal unheard operations, by invocation.
    private struct Class {
        var operation: Model.Operation
        var invoked: [UInt64]
    }

    enum Outcome: Equatable {
        case linearizable
        /// No order gets past the end of this operation, given as a place in `heard`.
        case stuck(at: Int)
        /// The limit of steps was reached before either was known.
        case undecided
    }

    /// What the order is extended by: a place in `heard`, or a class of equal unheard ones.
    private enum Move {
        case heard(Int)
        case unheard(Int)

        var isUnheard: Bool { if case .unheard = self { true } else { false } }
    }

    private struct Candidate {
        var move: Move
        var state: Model.State
    }

    /// How the order came to be as long as it is, and what is left to try at this point.
    private struct Frame {
        var move: Move?
        var stateBefore: Int
        var dueBefore: Int
        var reachedBefore: UInt64
        /// Where its part of `candidates` begins; it reaches to the end.
        var candidatesStart: Int
        var hasTriedUnheard = false
    }

    private struct Configuration: Hashable {
        var placed: PlacedSet
        var state: Int
    }

    let model: Model
    /// By invocation.
    let heard: [Heard]
    /// Where each belongs, if its answer tells.
    private let positions: [UInt64?]
    /// The order in which the heard ones ended.
    private let byReturn: [Int]
    private let classes: [Class]

    /// The heard ones without a place, as a list by invocation. Both ends are `heard.count`.
    private var next: [Int]
    private var previous: [Int]
    private var isPlaced: [Bool]
    private var placedCount = 0
    private var used: [Int]
    /// The first of `byReturn` without a place: nothing that was invoked after it ended may go
    /// before it.
    private var due = 0
    /// The highest position in the order so far.
    private var reached: UInt64 = 0

    private var states: [Model.State] = []
    private var stateNumbers: [Model.State: Int] = [:]
    private var state = 0
    private var placed = PlacedSet()
    private var visited: Set<Configuration> = []
    private var frames: [Frame] = []
    private var candidates: [Candidate] = []
    /// Filled by `collectReady`.
    private var ready: [Int] = []

    private(set) var steps = 0
    private var furthest = 0

    /// - `heard` and `unheard`: by invocation.
    init(model: Model, heard: [Heard], unheard: [Unheard]) {
        self.heard = heard
        byReturn = heard.indices.sorted { (heard[$0].returned, $0) < (heard[$1].returned, $1) }
        // The last place is the anchor of the list.
        next = Array(0...heard.count).map { $0 + 1 }
        next[heard.count] = 0
        previous = Array(0...heard.count).map { $0 - 1 }
        previous[0] = heard.count
        isPlaced = Array(repeating: false, count: heard.count)
        let unheard = unheard.filter { !model.isRead($0.operation, nil) }
        let prepared = model.prepared(
            unheard: unheard.map(\.operation), answers: heard.map(\.answer))
        self.model = prepared.model
        positions = heard.map { prepared.model.position($0.operation, $0.answer) }
        classes = LinearizationSearch.classes(unheard, as: prepared.unheard)
        used = Array(repeating: 0, count: classes.count)
        state = number(of: model.initialState)
    }

    /// - `simplified`: what the model makes of each operation.
    private static func classes(
        _ unheard: [Unheard], as simplified: [Model.Operation]
    ) -> [Class] {
        precondition(simplified.count == unheard.count, "as many operations as before")
        var classes: [Class] = []
        var numbers: [Model.Operation: Int] = [:]
        func add(where isWanted: (Int) -> Bool) {
            for place in unheard.indices where isWanted(place) {
                if let number = numbers[simplified[place]] {
                    classes[number].invoked.append(unheard[place].invoked)
                } else {
                    numbers[simplified[place]] = classes.count
                    classes.append(
                        Class(operation: simplified[place], invoked: [unheard[place].invoked]))
                }
            }
        }
        // Tried from the end. What was simplified comes first: no answer tells whether it was the
        // right choice. Of the others the newest, since few take effect late.
        add { simplified[$0] == unheard[$0].operation }
        add { simplified[$0] != unheard[$0].operation }
        for number in classes.indices { classes[number].invoked.sort() }
        return classes
    }

    // MARK: Searching

    /// - `stepLimit`: how often the model is asked; bounds time and memory.
    mutating func run(stepLimit: Int) -> Outcome {
        frames = [Frame(stateBefore: state, dueBefore: 0, reachedBefore: 0, candidatesStart: 0)]
        collectHeard()
        while !frames.isEmpty {
            if placedCount == heard.count { return .linearizable }
            guard let candidate = nextCandidate() else {
                retreat()
                continue
            }
            guard steps < stepLimit else { return .undecided }
            advance(candidate)
        }
        return .stuck(at: byReturn[furthest])
    }

    private mutating func nextCandidate() -> Candidate? {
        let place = frames.count - 1
        if candidates.count == frames[place].candidatesStart, !frames[place].hasTriedUnheard {
            frames[place].hasTriedUnheard = true
            collectUnheard()
        }
        return candidates.count > frames[place].candidatesStart ? candidates.removeLast() : nil
    }

    private mutating func advance(_ candidate: Candidate) {
        let newState = number(of: candidate.state)
        var newPlaced = placed
        switch candidate.move {
        case .heard(let place): newPlaced.toggle(heard: place)
        case .unheard(let number): newPlaced.toggle(unheard: number, count: used[number])
        }
        // Been here, and found no way on.
        guard visited.insert(Configuration(placed: newPlaced, state: newState)).inserted else {
            return
        }
        frames.append(
            Frame(
                move: candidate.move, stateBefore: state, dueBefore: due, reachedBefore: reached,
                candidatesStart: candidates.count))
        state = newState
        placed = newPlaced
        switch candidate.move {
        case .unheard(let number): used[number] += 1
        case .heard(let place):
            isPlaced[place] = true
            reached = max(reached, positions[place] ?? 0)
            placedCount += 1
            next[previous[place]] = next[place]
            previous[next[place]] = previous[place]
            while due < byReturn.count, isPlaced[byReturn[due]] { due += 1 }
            furthest = max(furthest, min(due, byReturn.count - 1))
        }
        collectHeard()
    }

    private mutating func retreat() {
        let frame = frames.removeLast()
        guard let move = frame.move else { return }
        state = frame.stateBefore
        due = frame.dueBefore
        reached = frame.reachedBefore
        switch move {
        case .unheard(let number):
            used[number] -= 1
            placed.toggle(unheard: number, count: used[number])
        case .heard(let place):
            isPlaced[place] = false
            placedCount -= 1
            next[previous[place]] = place
            previous[next[place]] = place
            placed.toggle(heard: place)
        }
    }

    // MARK: What could come next

    /// The heard operations that can come next: nothing without a place precedes them in real time
    /// or by position. None if one of them has come too late.
    private mutating func collectReady() {
        ready.removeAll(keepingCapacity: true)
        guard due < byReturn.count else { return }
        let limit = heard[byReturn[due]].returned
        var lowest = UInt64.max
        var place = next[heard.count]
        while place < heard.count, heard[place].invoked <= limit {
            lowest = min(lowest, positions[place] ?? .max)
            ready.append(place)
            place = next[place]
        }
        if lowest < reached { return ready.removeAll(keepingCapacity: true) }
        ready = ready.filter { (positions[$0] ?? 0) <= lowest }
    }

    /// What the operation would lead to; nil if it can't come next, or might as well come without
    /// the unheard one before it.
    private mutating func result(_ operation: Model.Operation, _ answer: Model.Answer?) -> Model
        .State?
    {
        steps += 1
        guard let result = model.step(states[state], operation, answer) else { return nil }
        if let frame = frames.last, frame.move?.isUnheard == true,
            model.step(states[frame.stateBefore], operation, answer) == result
        {
            return nil
        }
        return result
    }

    private mutating func collectHeard() {
        collectReady()
        let start = candidates.count
        for place in ready {
            let (operation, answer) = (heard[place].operation, heard[place].answer)
            guard let result = result(operation, answer) else { continue }
            candidates.append(Candidate(move: .heard(place), state: result))
            if result == states[state], model.isRead(operation, answer) {
                // If it has a place later, it has one here too: nothing else needs to be tried.
                candidates.removeSubrange(start..<(candidates.count - 1))
                frames[frames.count - 1].hasTriedUnheard = true
                return
            }
        }
    }

    private mutating func collectUnheard() {
        collectReady()
        guard !ready.isEmpty else { return }
        let limit = heard[byReturn[due]].returned
        let usable = classes.indices.filter {
            used[$0] < classes[$0].invoked.count && classes[$0].invoked[used[$0]] <= limit
        }
        guard !usable.isEmpty else { return }
        let summary = model.summary(
            unheard: usable.map { (classes[$0].operation, classes[$0].invoked.count - used[$0]) })
        for number in usable {
            guard let result = result(classes[number].operation, nil), result != states[state],
                matters(result, summary)
            else { continue }
            candidates.append(Candidate(move: .unheard(number), state: result))
        }
    }

    /// Whether any heard operation would come out differently after an unheard one that leads to
    /// `result`, at once or with more unheard ones in between.
    private mutating func matters(_ result: Model.State, _ summary: Model.Summary) -> Bool {
        for place in ready {
            let (operation, answer) = (heard[place].operation, heard[place].answer)
            steps += 1
            if let following = model.step(result, operation, answer),
                following != model.step(states[state], operation, answer)
            {
                return true
            }
            if model.canBuild(on: result, towards: operation, answer, unheard: summary) {
                return true
            }
        }
        return false
    }

    private mutating func number(of state: Model.State) -> Int {
        if let number = stateNumbers[state] { return number }
        stateNumbers[state] = states.count
        states.append(state)
        return states.count - 1
    }
}

/// Which operations have a place, as a sum of 128 random bits for each (Zobrist's hashing): what two
/// different sets have in common by chance once in 2^128.
private struct PlacedSet: Hashable {
    private var high: UInt64 = 0
    private var low: UInt64 = 0

    mutating func toggle(heard place: Int) { toggle(UInt64(place) << 1) }

    /// The unheard operation of a class of which `count` others have a place.
    mutating func toggle(unheard number: Int, count: Int) {
        toggle(UInt64(number) << 33 | UInt64(count) << 1 | 1)
    }

    private mutating func toggle(_ identity: UInt64) {
        var random = SeededRandom(seed: identity)
        high ^= random.next()
        low ^= random.next()
    }
}
