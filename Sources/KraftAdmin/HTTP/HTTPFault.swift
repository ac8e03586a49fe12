import Foundation
import KraftMultiRaft

/// An error answer: its status, its code and what else the contract lets it say.
struct HTTPFault: Error, Equatable {
    var status: Int
    var code: String
    var message: String
    /// Where the group's leader is believed to be, `host:port`.
    var leader: String?
    var group: String?
    /// Another node may be able to serve the request, and nothing was done here.
    var elsewhere: Elsewhere?

    enum Elsewhere: Equatable {
        /// Whoever holds the group.
        case anyHolder
        case node(NodeID)
    }

    /// For `overloaded`: when to come back.
    static let retryAfterSeconds = 1

    init(status: Int, code: String, message: String) {
        self.status = status
        self.code = code
        self.message = message
    }

    static func badRequest(_ message: String) -> HTTPFault {
        HTTPFault(.badRequest, message)
    }

    static func notFound(_ message: String) -> HTTPFault { HTTPFault(.notFound, message) }

    static func tooLarge(_ message: String) -> HTTPFault { HTTPFault(.tooLarge, message) }

    static func notImplemented(_ what: String) -> HTTPFault {
        HTTPFault(.notImplemented, "\(what) isn't built yet")
    }

    init(_ code: KraftError.Code, _ message: String) {
        (status, self.code) = HTTPFault.status(of: code)
        self.message = message
    }

    init(_ error: KraftError, address: (NodeID) -> String?) {
        self.init(error.code, error.message)
        group = error.group?.string
        leader = error.leader.flatMap { $0.isNone ? nil : address($0) }
    }

    /// The error that another node answered with.
    init(passedOn answer: HTTPAnswer) {
        self.init(status: answer.status, code: "unavailable", message: "status \(answer.status)")
        guard let input = try? JSONDecoder().decode(JSONInput.self, from: Data(answer.body)),
            case .object(let outer) = input, case .object(let error)? = outer["error"]
        else { return }
        func text(_ name: String) -> String? {
            if case .string(let text)? = error[name] { text } else { nil }
        }
        code = text("code") ?? code
        message = text("message") ?? message
        (leader, group) = (text("leader"), text("group"))
    }

    /// The status of an error code, and the code by which the contract knows it.
    ///
    /// Codes that the contract doesn't list, also those of later releases, promise that nothing
    /// took effect, as all but `outcomeUnknown` do: `unavailable`.
    static func status(of code: KraftError.Code) -> (Int, String) {
        switch code {
        case .badRequest: (400, code.rawValue)
        case .notFound: (404, code.rawValue)
        case .conflict, .sessionExpired: (409, KraftError.Code.conflict.rawValue)
        case .tooLarge: (413, code.rawValue)
        case .overloaded: (429, code.rawValue)
        case .notImplemented: (501, code.rawValue)
        case .outcomeUnknown: (504, code.rawValue)
        default: (503, KraftError.Code.unavailable.rawValue)
        }
    }

    var json: JSON {
        var members: [JSON.Member] = [
            .init(name: "code", value: .string(code)),
            .init(name: "message", value: .string(message)),
        ]
        if let leader { members.append(.init(name: "leader", value: .string(leader))) }
        if let group { members.append(.init(name: "group", value: .string(group))) }
        return ["error": .object(members)]
    }
}
