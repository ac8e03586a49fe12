import KraftRouting
import RaftCore

@testable import KraftEngine
@testable import KraftTestKit

/// The life of three nodes, of which the first one is watched: all that its log and its snapshots go
/// through happens to it.
struct LifeScript {
    let life: CrashableCluster
    private var dice: SeededRandom
    private let own = (0..<8).compactMap { GroupName("own-\($0)") }
    private let pair: GroupName
    private let trio: GroupName
    private let club: GroupName

    init(_ life: CrashableCluster, seed: UInt64) throws {
        self.life = life
        dice = SeededRandom(seed: seed, stream: 9)
        guard let pair = GroupName("pair"), let trio = GroupName("trio"),
            let club = GroupName("club")
        else { throw LifeFinding("bad names") }
        (self.pair, self.trio, self.club) = (pair, trio, club)
    }

    mutating func play() throws {
        try begin()
        try load(rounds: 60, [own[0], own[1], pair, trio], padding: 900)
        try leaveBehind()
        try serve()
        try changeMembers()
        try load(rounds: 60, [own[0], pair, trio, club], padding: 1_500)
        try life.restart(CrashableCluster.victim, powerFails: false)
        try load(rounds: 20, [own[0], trio], padding: 900)
        try createAnew()
        try overwrite()
        try life.restart(CrashableCluster.victim, powerFails: true)
        try load(rounds: 100, [own[1], own[0], pair, trio, club], padding: 2_000)
        try load(rounds: 10, own + [pair, trio, club], padding: 100)
        // Those of which it is the only voter are idle: they are moved on, or snapshotted.
        try load(rounds: 60, [pair, trio], padding: 3_000)
        try life.settle()
    }

    /// The groups come to be: the node's own, of which most will be idle, and those with others.
    private mutating func begin() throws {
        try life.create(own.map(\.string), on: [1])
        try life.create([pair.string], on: [1, 2])
        try life.create([trio.string], on: [1, 2, 3])
        try life.create([club.string], on: [1, 2, 3])
        try lead(own + [pair, trio, club])
        for name in own { try write(name, padding: 40) }
        for name in [own[0], trio] {
            try life.openSession(name, on: life.leader(of: name) ?? 0)
        }
        try life.settle()
    }

    private func lead(_ names: [GroupName]) throws {
        let isLed = try life.run(atMost: 20_000) {
            names.allSatisfy { life.leader(of: $0) != nil }
        }
        guard isLed else { throw LifeFinding("groups without leaders") }
    }

    /// Waits for the end of one write.
    private func write(_ name: GroupName, padding: Int) throws {
        for _ in 0..<5 {
            try lead([name])
            let place = life.leader(of: name) ?? 0
            guard let token = try life.propose(name, on: place, padding: padding) else { continue }
            if try life.run(atMost: 5_000, until: { life.isDone(token) }) { return }
        }
        throw LifeFinding("\(name) takes no write")
    }

    /// Writes to groups at their leaders, as many at once as comes.
    private mutating func load(rounds: Int, _ names: [GroupName], padding: Int) throws {
        try lead(names)
        for _ in 0..<rounds {
            for _ in 0...dice.below(5) {
                let name = names[dice.below(names.count)]
                let size = dice.below(10) == 0 ? 4 * padding : dice.below(padding + 1)
                try life.propose(name, on: life.leader(of: name) ?? 0, padding: min(size, 7_000))
            }
            if dice.below(3) == 0 { try life.settle() } else { try life.advance(dice.below(40)) }
        }
        try life.settle()
    }

    private mutating func makeLead(_ name: GroupName, _ place: Int) throws {
        for _ in 0..<10 where life.leader(of: name) != place {
            try life.forceElection(name, on: place)
            try life.run(milliseconds: 300)
        }
    }

    /// The node comes back by a snapshot, while its own groups have it write.
    private mutating func leaveBehind() throws {
        try makeLead(trio, 1)
        life.isolate(CrashableCluster.victim, true)
        try lead([trio])
        for _ in 0..<60 { try life.propose(trio, on: 1, padding: dice.below(60)) }
        try write(trio, padding: 20)
        for _ in 0..<20 { try life.propose(own[0], on: 0, padding: 900) }
        life.isolate(CrashableCluster.victim, false)
        for _ in 0..<10 {
            try life.propose(own[1], on: 0, padding: 500)
            try life.advance(dice.below(30))
        }
        try life.run(milliseconds: 2_000)
    }

    /// Another one comes back by a snapshot of this node's, while it makes the next.
    private mutating func serve() throws {
        try makeLead(trio, 0)
        life.isolate(2, true)
        for _ in 0..<70 {
            try life.propose(trio, on: 0, padding: dice.below(60))
            try life.advance(dice.below(10))
        }
        try write(trio, padding: 20)
        life.isolate(2, false)
        for _ in 0..<30 {
            try life.propose(trio, on: 0, padding: 200)
            try life.advance(dice.below(40))
        }
        try life.run(milliseconds: 2_000)
    }

    /// The node is removed from a group and taken in again, as another replica.
    private mutating func changeMembers() throws {
        try makeLead(club, 1)
        try load(rounds: 10, [club], padding: 300)
        try life.change(club, MembershipChange(remove: [1]), on: 1)
        try life.run(milliseconds: 2_000)
        guard life.slot(club, 0) == nil else { throw LifeFinding("a member that was removed") }
        for _ in 0..<50 { try life.propose(club, on: life.leader(of: club) ?? 1, padding: 30) }
        try life.run(milliseconds: 200)
        try life.change(
            club, MembershipChange(add: [.init(1, .voter)]), on: life.leader(of: club) ?? 1)
        try load(rounds: 8, [own[0], pair], padding: 700)
        try life.run(milliseconds: 3_000)
        guard life.slot(club, 0) != nil else { throw LifeFinding("a member that wasn't taken in") }
    }

    /// Groups go, and others come under their names.
    private mutating func createAnew() throws {
        // A node that never comes, and is then said to have left.
        try life.admit(9, hasLeft: false, on: 1)
        try life.run(milliseconds: 300)
        for round in 0..<4 {
            let names = ["late-\(round % 2)", "lone-\(round % 2)"]
            try life.create([names[0]], on: [1, 2, 3])
            try life.create([names[1]], on: [1])
            try load(rounds: 3, names.compactMap { GroupName($0) } + [own[0]], padding: 300)
            for name in names { try life.remove(name) }
            try life.advance(dice.below(20))
        }
        try life.admit(9, hasLeft: true, on: 1)
        try life.run(milliseconds: 300)
        try life.create(["late-0"], on: [1, 2, 3])
        try life.settle()
    }

    /// What the node wrote as a leader that nobody heard is overwritten by the next one.
    private mutating func overwrite() throws {
        try makeLead(trio, 0)
        life.isolate(CrashableCluster.victim, true)
        for _ in 0..<8 { try life.propose(trio, on: 0, padding: 200) }
        try life.settle()
        let isLed = try life.run(atMost: 10_000) { life.leader(of: trio).map { $0 > 0 } ?? false }
        guard isLed else { throw LifeFinding("nobody else leads") }
        for _ in 0..<5 { try life.propose(trio, on: life.leader(of: trio) ?? 1, padding: 100) }
        try life.run(milliseconds: 300)
        life.isolate(CrashableCluster.victim, false)
        try life.run(milliseconds: 2_000)
    }
}
