import Testing

@testable import KraftRouting

@Suite("Range router")
struct RangeRouterTests {
    private let a = name("a")
    private let b = name("b")
    private let c = name("c")

    @Test("Every key lies where a linear scan of the ranges finds it")
    func againstLinearScan() throws {
        var random = SplitMix64(seed: 10)
        for _ in 0..<300 {
            let groups = names(Int.random(in: 1...5, using: &random))
            var borders = (0..<Int.random(in: 0...20, using: &random)).map { _ in
                random.key(upTo: 11)
            }
            borders.sort { $0.lexicographicallyPrecedes($1) }
            let starts = borders.reduce(into: [[UInt8]()]) { if $0.last != $1 { $0.append($1) } }
            let ranges = starts.indices.map { index in
                KeyRange(
                    start: starts[index], end: index + 1 < starts.count ? starts[index + 1] : nil,
                    group: groups.randomElement(using: &random)!)
            }
            let router = try Router.range(ranges.shuffled(using: &random))
            for key in starts + (0..<50).map({ _ in random.key(upTo: 12) }) {
                let expected = ranges.last { !key.lexicographicallyPrecedes($0.start) }
                #expect(router.route(key).group == expected?.group, "\(key)")
            }
        }
    }

    @Test("The start is inside, the end is not, and no end is infinity")
    func borders() throws {
        let router = try Router.range([
            KeyRange("", to: "m", group: a), KeyRange("m", to: nil, group: b),
        ])
        #expect(router.route("").group == a)
        #expect(router.route("lzzz").group == a)
        #expect(router.route("m").group == b)
        #expect(router.route("m\0").group == b)
        #expect(router.route([UInt8](repeating: 0xFF, count: 5000)).group == b)
    }

    @Test("Keys with the same first eight bytes are told apart by the rest")
    func longCommonHeads() throws {
        let head = [UInt8](repeating: 0x61, count: 8)
        let router = try Router.range([
            KeyRange(start: [], end: head, group: a),
            KeyRange(start: head, end: head + [0], group: b),
            KeyRange(start: head + [0], end: head + [0, 0], group: c),
            KeyRange(start: head + [0, 0], end: head + [1], group: a),
            KeyRange(start: head + [1], end: nil, group: b),
        ])
        #expect(router.route([UInt8](head.dropLast())).group == a)
        #expect(router.route(head).group == b)
        #expect(router.route(head + [0]).group == c)
        #expect(router.route(head + [0, 0]).group == a)
        #expect(router.route(head + [0, 0xFF]).group == a)
        #expect(router.route(head + [1]).group == b)
    }

    @Test("Neighbouring ranges of one group become one, distant ones stay apart")
    func oneGroupSeveralRanges() throws {
        let router = try Router.range([
            KeyRange("", to: "d", group: a), KeyRange("d", to: "h", group: a),
            KeyRange("h", to: "p", group: b), KeyRange("p", to: nil, group: a),
        ])
        #expect(router.intervalCount == 3)
        #expect(
            router.shares == [
                Share(
                    group: a, epoch: .first, extent: .range(start: [], end: Array("h".utf8))),
                Share(
                    group: b, epoch: .first,
                    extent: .range(start: Array("h".utf8), end: Array("p".utf8))),
                Share(
                    group: a, epoch: .first, extent: .range(start: Array("p".utf8), end: nil)),
            ])
    }

    @Test("Thousands of ranges, one for each group", arguments: [1, 8, 5000])
    func manyRanges(count: Int) throws {
        let groups = names(count)
        let router = try Router.range(evenRanges(among: groups))
        #expect(router.intervalCount == count)
        #expect(router.route([]).group == groups[0])
        #expect(router.route([0xFF, 0xFF, 0xFF]).group == groups[count - 1])
        if count == 8 {
            #expect(router.route([0x20]).group == groups[0])
            #expect(router.route([0x20, 0, 0]).group == groups[1])
        }
    }

    @Test("Bad ranges are refused with their own code")
    func refusals() {
        func refusal(_ ranges: [KeyRange]) -> RoutingError.Code? {
            code { () throws(RoutingError) in try Router.range(ranges) }
        }
        let whole = KeyRange("", to: nil, group: a)
        #expect(refusal([]) == .noGroup)
        #expect(refusal([whole]) == nil)
        #expect(refusal([whole, whole]) == .overlap)
        #expect(
            refusal([KeyRange("", to: "m", group: a), KeyRange("k", to: nil, group: b)]) == .overlap
        )
        #expect(refusal([whole, KeyRange("k", to: "l", group: b)]) == .overlap)
        #expect(refusal([KeyRange("b", to: nil, group: a)]) == .gap)
        #expect(refusal([KeyRange("", to: "m", group: a)]) == .gap)
        #expect(
            refusal([KeyRange("", to: "m", group: a), KeyRange("n", to: nil, group: b)]) == .gap)
        #expect(refusal([KeyRange("m", to: "m", group: a), whole]) == .emptyRange)
        #expect(refusal([KeyRange("n", to: "m", group: a), whole]) == .emptyRange)
        #expect(refusal([KeyRange(start: [], end: [], group: a)]) == .emptyRange)
        let long = [UInt8](repeating: 1, count: RoutingLimits.borderBytes + 1)
        #expect(
            refusal([
                KeyRange(start: [], end: long, group: a), KeyRange(start: long, end: nil, group: b),
            ]) == .outOfBounds)
    }

    @Test("Borders beyond the bytes of a table are refused, not overflowed")
    func tooManyBytes() {
        // One border more of 4,096 bytes than 2^28 bytes hold.
        let count = RoutingLimits.tableBytes / RoutingLimits.borderBytes + 1
        let filler = [UInt8](repeating: 0, count: RoutingLimits.borderBytes - 4)
        func border(_ index: Int) -> [UInt8] {
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: index >> $0) } + filler
        }
        #expect(
            code { () throws(RoutingError) in
                var table = IntervalTable()
                try table.append(start: [], owner: 0)
                for index in 1...count {
                    try table.append(start: border(index), owner: UInt32(index))
                }
                return table.count
            } == .outOfBounds)
    }
}
