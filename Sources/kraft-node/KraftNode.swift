import ArgumentParser

/// The command line of `kraft-node`.
@main
struct KraftNode: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kraft-node",
        abstract: "A node of a Kraft cluster, a client for it, and a demo.",
        discussion: """
            Exit codes: 0 fine, 64 usage or configuration error, 69 the cluster could not be \
            reached or could not do it in time, 70 internal error or refused, 74 storage error.
            """,
        subcommands: [
            RunCommand.self, DemoCommand.self, StatusCommand.self, GroupCommand.self,
            KeyCommand.self, MemberCommand.self, BackupCommand.self, RestoreCommand.self,
            RecoverCommand.self, LogCommand.self, QueueCommand.self,
            VectorCommand.self, BenchCommand.self,
        ])
}
