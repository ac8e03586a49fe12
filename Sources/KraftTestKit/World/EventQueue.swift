/// What is going to happen, earliest first; of the same instant, what was added first.
///
/// A binary heap keyed by (time, sequence), so that the order never depends on anything but what
/// was added. The heap moves small keys only; the elements stay where they were put.
struct EventQueue<Element> {
    private struct Key {
        var time: UInt64
        var sequence: UInt64
        /// The element's place in `elements`.
        var place: Int

        func isBefore(_ other: Key) -> Bool {
            time != other.time ? time < other.time : sequence < other.sequence
        }
    }

    private var heap: [Key] = []
    private var elements: [Element?] = []
    private var free: [Int] = []
    private var sequence: UInt64 = 0

    var count: Int { heap.count }
    var nextTime: UInt64? { heap.first?.time }

    mutating func add(_ element: Element, at time: UInt64) {
        sequence += 1
        let place: Int
        if let last = free.popLast() {
            place = last
            elements[place] = element
        } else {
            place = elements.count
            elements.append(element)
        }
        let key = Key(time: time, sequence: sequence, place: place)
        heap.append(key)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard key.isBefore(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = key
    }

    mutating func removeFirst() -> (time: UInt64, element: Element)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty { sink(last) }
        var element: Element?
        swap(&element, &elements[first.place])
        free.append(first.place)
        return element.map { (first.time, $0) }
    }

    /// Puts a key in at the top, where one was taken away.
    private mutating func sink(_ key: Key) {
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(key) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = key
    }
}
