import KraftEngine
import RaftCore

/// A session as a client of the swarm sees it.
final class ClientSession {
    struct Command {
        var sequence: UInt64
        var id: UInt64
        var padding: Int
        var isAcknowledged = false
    }

    enum State { case opening, open, over }

    let id: SessionID
    let ttlMilliseconds: UInt64
    let group: Int
    /// The life of the group that it belongs to.
    let track: Int
    var state = State.opening
    /// Its client has tried to close it: it may be over, and may not.
    var mayBeClosed = false
    /// Tries that have not ended.
    var underWay = 0
    /// The newest ones, ascending.
    private(set) var commands: [Command] = []
    private var nextSequence: UInt64 = 1

    init(_ id: SessionID, ttlMilliseconds: UInt64, group: Int, track: Int) {
        self.id = id
        self.ttlMilliseconds = ttlMilliseconds
        self.group = group
        self.track = track
    }

    /// More than a session remembers, so that some are tried again too late.
    private static let commandLimit = 512

    /// - `gap`: so many numbers stay unused.
    func newCommand(id: UInt64, padding: Int, gap: Int = 0) -> Command {
        let command = Command(
            sequence: nextSequence + UInt64(gap), id: id, padding: padding)
        nextSequence = command.sequence + 1
        if commands.count >= ClientSession.commandLimit { commands.removeFirst() }
        commands.append(command)
        return command
    }

    func noteAcknowledged(_ sequence: UInt64) -> Bool {
        guard let place = commands.firstIndex(where: { $0.sequence == sequence }),
            !commands[place].isAcknowledged
        else { return false }
        commands[place].isAcknowledged = true
        return true
    }
}
