/// An answer, before it becomes the server library's own type.
struct HTTPAnswer: Sendable, Equatable {
    var status = 200
    var headers: [Header] = []
    var body: [UInt8]

    struct Header: Sendable, Equatable {
        var name: String
        var value: String
    }

    static func json(_ json: JSON, status: Int = 200) -> HTTPAnswer {
        HTTPAnswer(
            status: status, headers: [Header(name: "Content-Type", value: "application/json")],
            body: Array(json.text.utf8))
    }

    static func text(_ text: String, contentType: String) -> HTTPAnswer {
        HTTPAnswer(
            headers: [Header(name: "Content-Type", value: contentType)], body: Array(text.utf8))
    }

    static func fault(_ fault: HTTPFault) -> HTTPAnswer {
        var answer = HTTPAnswer.json(fault.json, status: fault.status)
        if fault.status == 429 {
            answer.headers.append(
                Header(name: "Retry-After", value: "\(HTTPFault.retryAfterSeconds)"))
        }
        if fault.elsewhere != nil {
            answer.headers.append(Header(name: PassedRequest.elsewhereHeader, value: "true"))
        }
        return answer
    }

    /// The value of a header, whatever its name's case.
    func header(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }
}
