/// What is going to happen, earliest first; of the same instant, what was added first.
///
/// A binary heap keyed by (time, sequence), so that the order never depends on anything but what
/// was added.
struct EventQueue<Element> {
    private struct Item {
        var time: UInt64
        var sequence: UInt64
        var element: Element

        func isBefore(_ other: Item) -> Bool {
            time != other.time ? time < other.time : sequence < other.sequence
        }
    }

    private var heap: [Item] = []
    private var sequence: UInt64 = 0

    var count: Int { heap.count }
    var nextTime: UInt64? { heap.first?.time }

    mutating func add(_ element: Element, at time: UInt64) {
        sequence += 1
        heap.append(Item(time: time, sequence: sequence, element: element))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() -> (time: UInt64, element: Element)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return (first.time, first.element) }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in (2 * parent + 1)...(2 * parent + 2) where child < heap.count {
                if heap[child].isBefore(heap[least]) { least = child }
            }
            guard least != parent else { return (first.time, first.element) }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
