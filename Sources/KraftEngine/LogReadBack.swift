import RaftCore

/// Parts of the log that were read back from the disk, for followers that lag and machines that
/// are rebuilt. A few windows, the oldest replaced first.
struct LogReadBack {
    private struct Window {
        var start: LogPosition
        var block: Block
        var count: Int { block.count }
    }

    private struct Request {
        var id: LogRead.ID
        var start: LogPosition
        /// What was asked for, and what with it on the chance.
        var needed: Int
        var count: Int
    }

    static let windowSizeBytes = 256 << 10
    static let windowLimit = 16
    static let requestLimit = 8

    private var windows: [Window] = []
    private var requests: [Request] = []
    private var nextID: LogRead.ID = 1
    private(set) var readsDone: UInt64 = 0

    /// The payload of the record at `position`, if a window holds it whole and undamaged.
    func payload(
        at position: LogPosition, count: Int, nonce: UInt64
    ) -> UnsafeRawBufferPointer? {
        guard let window = window(position, count: LogFormat.recordHeaderSize + count) else {
            return nil
        }
        let start = position - window.start
        guard
            let record = RecordHeader.decode(
                window.block.bytes, at: start, nonce: nonce, offset: position.offset),
            record.header.kind == .entries || record.header.kind == .rewritten,
            record.payload.count == count
        else { return nil }
        return record.payload
    }

    func holds(_ position: LogPosition, count: Int) -> Bool {
        window(position, count: count) != nil
    }

    /// Bytes of a segment are on their way.
    func isReading(_ segment: UInt64) -> Bool {
        requests.contains { $0.start.segment == segment }
    }

    /// Drops what stood in segments before this one.
    mutating func forget(before segment: UInt64) {
        windows.removeAll { $0.start.segment < segment }
    }

    private func window(_ position: LogPosition, count: Int) -> Window? {
        windows.last { window in
            window.start <= position && position.segment == window.start.segment
                && position - window.start + count <= window.count
        }
    }

    /// Asks for `count` bytes and on the chance for more, up to `most`. Nil when it is on its way, or too many others are: whoever waits asks again.
    mutating func request(
        at position: LogPosition, count: Int, most: Int
    ) -> LogRead? {
        let isUnderWay = requests.contains {
            $0.start <= position && position.segment == $0.start.segment
                && position - $0.start + count <= $0.count
        }
        guard !isUnderWay, requests.count < LogReadBack.requestLimit else { return nil }
        let size = min(max(count, LogReadBack.windowSizeBytes), most)
        let request = Request(id: nextID, start: position, needed: count, count: size)
        nextID += 1
        requests.append(request)
        return LogRead(
            id: request.id, segment: position.segment, offset: position.offset, count: size)
    }

    /// False if there are fewer bytes than were asked for.
    mutating func wasRead(_ id: LogRead.ID, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let place = requests.firstIndex(where: { $0.id == id }) else { return true }
        let request = requests.remove(at: place)
        guard bytes.count >= request.needed else { return false }
        let block = Block(capacity: max(1, min(bytes.count, request.count)))
        block.load { target in
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<target.count]))
            return target.count
        }
        if windows.count == LogReadBack.windowLimit { windows.removeFirst() }
        windows.append(Window(start: request.start, block: block))
        readsDone += 1
        return true
    }
}
