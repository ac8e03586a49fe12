import Testing

@testable import KraftTestKit

@Suite("Histories as JSON lines")
struct JSONHistoryTests {
    private func lines(_ history: KeyHistory) -> [String] {
        var lines: [String] = []
        history.forEachJSONLine { lines.append($0) }
        return lines
    }

    private func parse(_ lines: [String]) throws -> KeyHistory {
        try KeyHistory(jsonLines: bytes(lines.joined(separator: "\n")))
    }

    @Test("look as documented")
    func form() throws {
        var history = KeyHistory()
        let put = history.invoke(process: 0, on: "k\"1", .put("a", if: 0), at: 5)
        let get = history.invoke(process: 1, on: "k\"1", .get, at: 6)
        history.end(put, .answered(.written(7), at: 9))
        history.end(get, .answered(.saw("a", 7), at: 10))
        let delete = history.invoke(process: 0, on: "k\"1", .delete(ifVersion: 6), at: 11)
        history.end(delete, .answered(.conflict(version: nil), at: 12))
        _ = history.invoke(process: 1, on: "k\"1", .append([0xFF, 0]), at: 11)
        let increment = history.invoke(process: 0, on: "n", .increment(by: -2), at: 13)
        history.end(increment, .answered(.sum(-2, 9), at: 14))
        let refused = history.invoke(process: 0, on: "n", .delete, at: 15)
        history.end(refused, .refused(at: 16))
        let nothing = history.invoke(process: 0, on: "n", .delete, at: 16)
        history.end(nothing, .answered(.deleted(false, 12), at: 17))
        #expect(
            lines(history) == [
                #"{"process":0,"type":"invoke","f":"put","key":"k\"1","value":"a","if_version":0,"time":5}"#,
                #"{"process":1,"type":"invoke","f":"get","key":"k\"1","value":null,"time":6}"#,
                #"{"process":0,"type":"ok","f":"put","key":"k\"1","value":"a","if_version":0,"version":7,"time":9}"#,
                #"{"process":1,"type":"ok","f":"get","key":"k\"1","value":"a","version":7,"time":10}"#,
                #"{"process":0,"type":"invoke","f":"delete","key":"k\"1","if_version":6,"time":11}"#,
                #"{"process":1,"type":"invoke","f":"append","key":"k\"1","value":"ff00","encoding":"hex","time":11}"#,
                #"{"process":0,"type":"fail","f":"delete","key":"k\"1","if_version":6,"error":"conflict","time":12}"#,
                #"{"process":0,"type":"invoke","f":"increment","key":"n","by":-2,"time":13}"#,
                #"{"process":0,"type":"ok","f":"increment","key":"n","by":-2,"value":-2,"version":9,"time":14}"#,
                #"{"process":0,"type":"invoke","f":"delete","key":"n","time":15}"#,
                #"{"process":0,"type":"fail","f":"delete","key":"n","error":"refused","time":16}"#,
                #"{"process":0,"type":"invoke","f":"delete","key":"n","time":16}"#,
                #"{"process":0,"type":"ok","f":"delete","key":"n","existed":false,"version":12,"time":17}"#,
                #"{"process":1,"type":"info","f":"append","key":"k\"1","value":"ff00","encoding":"hex","time":17}"#,
            ])
    }

    @Test("come back as they were")
    func roundTrip() throws {
        for seed in UInt64(0)..<200 {
            var source = RandomHistory(seed: seed)
            source.operations = 40
            source.lostPermille = 100
            source.hasVersions = seed % 2 == 0
            let history = source.draw()
            let parsed = try parse(lines(history))
            func sorted(_ history: KeyHistory) -> [KeyHistory.Entry] {
                history.entries.sorted { ($0.invoked, $0.process) < ($1.invoked, $1.process) }
            }
            #expect(sorted(parsed) == sorted(history), "seed \(seed)")
        }
    }

    @Test("strings come back whatever is in them")
    func strings() throws {
        for text in ["", "\"\\\n\r\t\u{0}\u{7F}", "ä€😀", "\\u0041"] {
            var line = JSONLine()
            line.add("x", text)
            #expect(try JSONLine(parsing: bytes(line.text)) == line)
        }
        let escaped = try JSONLine(parsing: bytes(#" {"x" : "\u0041\ud83d\ude00\/\b\f" } "#))
        #expect(escaped["x"] == .string("A😀/\u{8}\u{C}"))
        let numbers = try JSONLine(
            parsing: bytes(#"{"a":18446744073709551615,"b":-9223372036854775808,"c":true}"#))
        #expect(numbers["a"] == .unsigned(.max))
        #expect(numbers["b"] == .negative(.min))
        #expect(numbers["c"] == .bool(true))
    }

    @Test("an invocation without an end is open, and unknown fields don't matter")
    func tolerance() throws {
        let history = try parse([
            "", #"{"process":1,"type":"invoke","f":"put","key":"k","value":"a","time":1,"node":2}"#,
            "  ",
        ])
        #expect(history.entries.map(\.outcome) == [.open])
    }

    @Test(
        "what is no history is refused with its line",
        arguments: [
            "{", "[]", #"{"process":1}"#, #"{"process":1,"type":"invoke","f":"get","key":"k"}"#,
            #"{"process":1,"type":"invoke","f":"jump","key":"k","time":1}"#,
            #"{"process":1,"type":"invoke","f":"put","key":"k","time":1}"#,
            #"{"process":1,"type":"invoke","f":"put","key":"k","value":"0","encoding":"hex","time":1}"#,
            #"{"process":1,"type":"ok","f":"get","key":"k","value":"a","time":9}"#,
            #"{"process":0,"type":"ok","f":"put","key":"k","value":"a","time":9}"#,
            #"{"process":0,"type":"ok","f":"get","key":"k","value":"a","time":4}"#,
            #"{"process":0,"type":"ok","f":"get","key":"k","time":9}"#,
            #"{"process":0,"type":"maybe","f":"get","key":"k","time":9}"#,
            #"{"process":0,"type":"invoke","f":"get","key":"k","time":9}"#,
            #"{"process":0,"type":"ok","f":"get","key":"k","value":"a","time":1.5}"#,
            #"{"process":0,"type":"ok","f":"get","key":"k","value":"\ud800","time":9}"#,
            #"{"process":0,"type":"ok","f":"get","key":"k","value":"a","time":9} x"#,
        ])
    func malformed(_ line: String) {
        let first = #"{"process":0,"type":"invoke","f":"get","key":"k","time":5}"#
        #expect(throws: HistoryFormatError.self) { try parse([first, line]) }
        do {
            _ = try parse([first, line])
        } catch {
            #expect("\(error)".hasPrefix("line 2: "))
        }
    }
}
