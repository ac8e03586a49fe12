import KraftMultiRaft

/// Where the cluster's nodes are, as this one knows now: they come, go and move while it runs.
struct AddressBook: Sendable {
    let manager: KraftMultiRaft

    /// A node's peer port.
    func address(of node: NodeID) async -> String? {
        if node == manager.node { return manager.address }
        return await manager.peers().first { $0.node == node }?.address
    }

    /// The answer to an error, with the address of the leader that it names.
    func fault(_ error: KraftError) async -> HTTPFault {
        guard let leader = error.leader, !leader.isNone else {
            return HTTPFault(error, address: { _ in nil })
        }
        let address = await address(of: leader)
        return HTTPFault(error, address: { _ in address })
    }
}
