import Foundation
import KraftMultiRaft

/// The body of a leadership transfer: `{"to": node}`.
struct TransferBody {
    var to: NodeID

    /// A double holds every node's number exactly, and takes what is out of range without throwing
    /// an error that would not name the field.
    private struct Fields: Decodable { var to: Double }

    init(_ body: [UInt8]) throws(HTTPFault) {
        let number: Double
        do {
            number = try JSONDecoder().decode(Fields.self, from: Data(body)).to
        } catch DecodingError.keyNotFound {
            throw .badRequest("to: missing")
        } catch DecodingError.typeMismatch(_, let context) where context.codingPath.isEmpty {
            throw .badRequest("body: must be an object")
        } catch DecodingError.dataCorrupted(let context) where context.codingPath.isEmpty {
            throw .badRequest("body: not valid JSON")
        } catch {
            throw .badRequest("to: must be a node's id")
        }
        guard let id = UInt32(exactly: number), id > 0 else {
            throw .badRequest("to: must be a node's id, from 1")
        }
        to = NodeID(id)
    }
}
