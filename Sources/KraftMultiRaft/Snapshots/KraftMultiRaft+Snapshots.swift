extension KraftMultiRaft {
    /// Writes a group's state on this node to a snapshot, and lets the group's log here give way to
    /// it. Returns what is the last entry in it and its size in bytes, when it is durable. A group
    /// that has not changed since its last one is given no other.
    ///
    /// Snapshots are taken by themselves too (`KraftConfiguration.snapshots`). Throws `notFound`,
    /// `conflict` where this node is a witness of the group, `unavailable` when it could not be done
    /// in time: it may still come.
    public func snapshot(
        of name: String, timeout: Duration? = nil
    ) async throws(KraftError) -> (index: LogIndex, byteCount: UInt64) {
        let name = try GroupName(checking: name)
        let deadline = Instant.after(timeout ?? configuration.requestTimeout)
        return try await runtime(of: name).result(of: SnapshotCall(group: name)) { driver, call in
            driver.snapshot(name, deadline: deadline, call: call)
        }
    }
}
