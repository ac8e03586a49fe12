import KraftEngine

/// One connection between two nodes: two streams of bytes, each in order, each with a delay.
struct SimulatedConnection {
    /// Side 0 dialled, side 1 accepted. Stream s runs from side s to side 1 - s.
    var ends: [End]
    var streams = [Stream(), Stream()]
    var state = State.dialling
    var wasOpen = false
    /// When the dialler is told that nobody answers.
    var dialDeadline: UInt64

    enum State {
        case dialling, open
        /// Reset in the middle of what was under way: that arrives, then nothing more.
        case dying
        /// Reset: no byte moves any more, though an end may not know yet.
        case dead
    }

    struct End {
        var node: Int
        var life: Int
        var id: ConnectionID
        /// Its engine counts on it: no `closes` of its own, no `closed` seen yet.
        var isKnown: Bool
        /// Blocks that the connection hasn't room for yet, with their hashes.
        var queue: [(block: Block, hash: UInt64)] = []
        /// Closed by its engine; goes when `queue` is empty.
        var isClosing = false
    }

    struct Stream {
        var portions: [Portion] = []
        /// Portions before this one have arrived.
        var head = 0
        var bytesInFlight = 0
        var lastArrival: UInt64 = 0
        var isPolling = false

        var isEmpty: Bool { head == portions.count }

        mutating func removeFirst() -> Portion {
            let portion = portions[head]
            head += 1
            bytesInFlight -= portion.bytes.count
            if head == portions.count {
                portions.removeAll(keepingCapacity: true)
                head = 0
            }
            return portion
        }

        /// Loses what is under way from `keep` portions on; says how many bytes.
        mutating func truncate(keep: Int) -> Int {
            let first = min(portions.count, head + keep)
            let lost = portions[first...].reduce(0) { $0 + $1.bytes.count }
            portions.removeSubrange(first...)
            bytesInFlight -= lost
            return lost
        }

        /// Loses what is under way behind the next `keep` bytes; says how many bytes.
        mutating func truncate(keepBytes keep: Int) -> Int {
            var left = keep
            for place in head..<portions.count {
                let count = portions[place].bytes.count
                if count <= left {
                    left -= count
                    continue
                }
                portions[place].bytes.removeSubrange(left...)
                portions[place].isEnd = false
                bytesInFlight -= count - left
                return count - left + truncate(keep: place - head + 1)
            }
            return 0
        }

        /// Changes one bit of what is under way. False when nothing is.
        mutating func flip(bit: Int) -> Bool {
            guard bytesInFlight > 0 else { return false }
            var left = bit / 8 % bytesInFlight
            for place in head..<portions.count {
                let count = portions[place].bytes.count
                if left < count {
                    portions[place].bytes[left] ^= 1 << UInt8(bit % 8)
                    return true
                }
                left -= count
            }
            return false
        }
    }

    struct Portion {
        var bytes: [UInt8]
        var arrival: UInt64
        var sent: UInt64 = 0
        /// The sender closed: nothing comes behind this one.
        var isEnd = false
    }
}

/// One direction between two nodes.
struct SimulatedLink {
    var isCut = false
    /// Added to each delay.
    var extraDelay: UInt64 = 0
    /// The receiver takes so many bytes at once and then looks elsewhere; `.max` for all there are.
    var readLimitBytes = Int.max

    var isFaulty: Bool { isCut || extraDelay > 0 || readLimitBytes < .max }
}
