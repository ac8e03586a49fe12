/// A growing array whose elements are used where they lie.
///
/// `Array` hands out copies for reading: of a large element with references inside, each costs more
/// than the work that it is read for. Here neither a read nor a call copies, and elements may be
/// non-copyable, so that the compiler refuses a copy by mistake.
struct Slab<Element: ~Copyable>: ~Copyable {
    private var base: UnsafeMutablePointer<Element>
    private var capacity: Int
    private(set) var count = 0

    init() {
        capacity = 0
        base = .allocate(capacity: 0)
    }

    deinit {
        base.deinitialize(count: count)
        base.deallocate()
    }

    var indices: Range<Int> { 0..<count }

    subscript(place: Int) -> Element {
        @inline(__always)
        unsafeAddress {
            precondition(place >= 0 && place < count, "beyond the slab")
            return UnsafePointer(base + place)
        }
        @inline(__always)
        unsafeMutableAddress {
            precondition(place >= 0 && place < count, "beyond the slab")
            return base + place
        }
    }

    mutating func append(_ element: consuming Element) {
        if count == capacity { grow() }
        (base + count).initialize(to: element)
        count += 1
    }

    private mutating func grow() {
        capacity = max(8, capacity * 2)
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
        larger.moveInitialize(from: base, count: count)
        base.deallocate()
        base = larger
    }
}
