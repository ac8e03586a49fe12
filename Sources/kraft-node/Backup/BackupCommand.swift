import ArgumentParser
import AsyncHTTPClient
import Foundation
import KraftAdmin
import KraftMultiRaft
import NIOCore

struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Writes groups' whole state to a folder.",
        discussion: """
            Everything that was acknowledged before the command began is in it; of what came during \
            it, any of it may be. One file a group, all checked as they come, and last a manifest: a \
            folder without one is no backup. --to - writes one group's file to standard output.
            """)

    @OptionGroup var options: ClusterOptions
    @Option(help: "A new or empty folder; - for standard output, with one --group.")
    var to: String

    func validate() throws {
        guard to != "-" || options.group.count == 1 else {
            throw ValidationError("to: one --group is written to standard output")
        }
    }

    func run() async throws {
        do {
            let begun = BackupCommand.unixMilliseconds
            let cluster = try await ClusterClient(
                options.node, timeoutMilliseconds: options.timeout)
            let names = try options.chosen(from: cluster.sharding.names, "in the cluster")
            if to == "-" {
                let download = BackupDownload(cluster: cluster, group: names[0])
                try await download.run { part throws(KraftError) in output(part) }
                return
            }
            let folder = BackupFolder(to)
            try folder.make()
            var items: [BackupManifest.Item] = []
            for name in names {
                let item = try await back(up: name, cluster, into: folder)
                print("\(name): up to \(item.index), \(item.bytes) bytes")
                items.append(item)
            }
            let manifest = BackupManifest(
                clusterID: cluster.info.clusterId, begunUnixMilliseconds: begun,
                endedUnixMilliseconds: BackupCommand.unixMilliseconds,
                router: cluster.sharding.router, routedGroups: cluster.sharding.names,
                groups: items)
            var draft = try folder.begin(BackupManifest.fileName)
            try draft.append(try manifest.encoded())
            try folder.finish(draft)
            print("\(items.count) groups are in \(to)")
        } catch let error as KraftError {
            complain(error.message)
            throw BackupCommand.exit(error)
        }
    }

    /// Tries again, perhaps with another leader: a file is begun anew each time.
    private func back(
        up name: String, _ cluster: ClusterClient, into folder: BackupFolder
    ) async throws -> BackupManifest.Item {
        var attempts = 0
        while true {
            attempts += 1
            do {
                var draft = try folder.begin(BackupManifest.Item.fileName(of: name))
                let download = BackupDownload(cluster: cluster, group: name)
                let facts = try await download.run { part throws(KraftError) in
                    try draft.append(part)
                }
                try folder.finish(draft)
                return BackupManifest.Item(facts)
            } catch let trouble as BackupDownload.Trouble {
                complain("\(name): \(trouble.message)")
                guard trouble.isPassing, attempts < 5 else { throw trouble.exit }
                try await Task.sleep(for: .milliseconds(300))
            }
        }
    }

    static var unixMilliseconds: Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    static func exit(_ error: KraftError) -> ExitCode {
        switch error.code {
        case .badRequest, .conflict, .notFound: NodeExit.usage
        case .storage: NodeExit.storage
        default: NodeExit.unreachable
        }
    }
}

/// One group's backup on its way from its leader.
struct BackupDownload {
    struct Trouble: Error {
        var message: String
        /// It may go better the next time.
        var isPassing: Bool
        var exit: ExitCode
    }

    let cluster: ClusterClient
    let group: String

    /// Reads it to its end, checks it, and says what it is. Throws `Trouble`, and what `take` does.
    @discardableResult
    func run(_ take: ([UInt8]) throws(KraftError) -> Void) async throws -> BackupFacts {
        let (_, client) = try await cluster.leader(of: group)
        let response = try await request(client)
        var check = BackupCheck()
        var iterator = response.body.makeAsyncIterator()
        while true {
            let part: [UInt8]?
            do {
                part = try await iterator.next().map { Array($0.readableBytesView) }
            } catch {
                throw Trouble(
                    message: "it broke off: \(error)", isPassing: true, exit: NodeExit.unreachable)
            }
            guard let part else { break }
            if let damage = part.withUnsafeBytes({ BackupDownload.add($0, to: &check) }) {
                throw BackupDownload.spoilt(damage, client)
            }
            try take(part)
        }
        do throws(SnapshotDecoder.Damage) {
            let facts = try check.finish()
            if facts.owner.name.string == group { return facts }
            throw SnapshotDecoder.Damage(offset: 0, reason: "another group's")
        } catch {
            throw BackupDownload.spoilt(error, client)
        }
    }

    private static func add(
        _ bytes: UnsafeRawBufferPointer, to check: inout BackupCheck
    ) -> SnapshotDecoder.Damage? {
        do throws(SnapshotDecoder.Damage) {
            try check.add(bytes)
            return nil
        } catch {
            return error
        }
    }

    private static func spoilt(_ damage: SnapshotDecoder.Damage, _ client: NodeClient) -> Trouble {
        Trouble(
            message: "what \(client.url) gives is \(damage)", isPassing: true,
            exit: NodeExit.storage)
    }

    private func request(_ client: NodeClient) async throws -> HTTPClientResponse {
        let path = "\(GroupCommand.path(group))/backup?timeout_ms=\(client.timeoutMilliseconds)"
        let response: HTTPClientResponse
        do {
            response = try await HTTPClient.shared.execute(
                HTTPClientRequest(url: client.url + path),
                timeout: .milliseconds(Int64(client.timeoutMilliseconds) + 2_000))
        } catch {
            throw Trouble(
                message: "\(client.url) can't be reached: \(error)", isPassing: true,
                exit: NodeExit.unreachable)
        }
        guard response.status == .ok else {
            let body = try? await response.body.collect(upTo: 1 << 20)
            let answer = NodeClient.Answer(
                status: Int(response.status.code), headers: response.headers,
                body: body.map { Array($0.readableBytesView) } ?? [])
            let error = try? answer.json(NodeClient.ErrorBody.self).error
            throw Trouble(
                message: error.map { "\($0.code): \($0.message)" } ?? "status \(answer.status)",
                isPassing: [429, 503].contains(answer.status),
                exit: NodeClient.exit(status: answer.status))
        }
        return response
    }
}
