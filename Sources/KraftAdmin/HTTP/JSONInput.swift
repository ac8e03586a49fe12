import Foundation

/// A JSON document that was sent here. Takes any well-formed one, so that each error can name the
/// field in which the sense is wrong.
enum JSONInput: Decodable, Equatable {
    case null
    case bool(Bool)
    /// Exact for whole numbers below 2^53.
    case number(Double)
    case string(String)
    case array([JSONInput])
    case object([String: JSONInput])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONInput].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONInput].self))
        }
    }

    /// The fields of a body that must be an object of these fields alone: one that is misspelt
    /// would be a wish that is passed over.
    static func object(
        _ body: [UInt8], known: [String]
    ) throws(HTTPFault) -> [String: JSONInput] {
        guard let input = try? JSONDecoder().decode(JSONInput.self, from: Data(body)) else {
            throw .badRequest("body: not valid JSON")
        }
        return try input.object("body", known: known)
    }

    func object(_ name: String, known: [String]) throws(HTTPFault) -> [String: JSONInput] {
        guard case .object(let fields) = self else {
            throw .badRequest("\(name): must be an object")
        }
        if let other = fields.keys.sorted().first(where: { !known.contains($0) }) {
            throw .badRequest("\(other.prefix(40)): no such field here")
        }
        return fields
    }

    /// A node's id.
    var node: UInt32? {
        guard case .number(let number) = self, let id = UInt32(exactly: number), id > 0 else {
            return nil
        }
        return id
    }
}
