import Logging

/// What a node is told when it starts. Everything but the arguments of `init` has a default.
public struct KraftConfiguration: Sendable {
    /// This node; from 1. What is on disk must belong to the same node.
    public var node: NodeID
    /// The folder below which everything lies that the node keeps. Made if it isn't there.
    public var dataDirectory: String
    /// Where the peer port listens: `host:port` with a literal IPv4 or `[IPv6]` address or
    /// `localhost`; port 0 takes a free one.
    public var listen: String
    /// The nodes of the cluster and the addresses at which this node dials them. An entry for this
    /// node itself is its own address as the others see it, and is never dialled.
    public var peers: [NodeID: String]
    /// Peer addresses of a cluster to join: asked in turn while this node knows no peers, neither
    /// from `peers` nor from its data folder.
    public var join: [String] = []
    /// Makes the state machines of groups that take this node in while it runs; nil: such a group
    /// stores and votes here, and applies once `createGroup` has named its machine.
    public var machines: MachineProvider?
    /// Nodes of another cluster are refused at the handshake. 1 to 128 bytes.
    public var clusterID = "kraft"
    /// The address that others are given for this node; nil: its entry in `peers`, else where it
    /// listens.
    public var advertise: String?
    /// Told to every peer that connects, and shown in its `PeerStatus`: what this server's peers
    /// should know of it, the address of its HTTP port, say. At most 256 bytes.
    public var info = ""
    public var logger = Logger(label: "kraft")
    public var timing = EngineConfiguration.Timing()
    public var log = EngineConfiguration.LogLimits()
    public var limits = EngineConfiguration.Limits()
    /// When the groups' logs give way to snapshots, and how those move between nodes.
    public var snapshots = EngineConfiguration.Snapshots()
    /// How fast this node writes snapshots of its own state, in bytes a second, all together, as the
    /// log wants the disk too; nil: as fast as the disk takes them.
    public var snapshotWriteBytesPerSecond: Int? = 64 << 20
    /// How long a request may take when its call names no timeout. Above zero.
    public var requestTimeout: Duration = .seconds(5)
    /// Requests of this process that wait to be taken up by the loop, in number and bytes; more is
    /// `overloaded`.
    public var submissionLimit = 262_144
    public var submissionSizeLimitBytes = 64 << 20
    /// Inbound connections at once; more are closed as they come.
    public var inboundConnectionLimit = 1_024
    /// Makes the transport between nodes; nil is TCP on the node's own event loop.
    public var makeTransport: (@Sendable () -> any Transport)?
    /// Loops of their own for some groups, beside the one that all others share.
    public var adapters: [Adapter] = []

    /// How streams between nodes are cut into frames; the same on all nodes.
    public var wireFormat: any WireFormat = StandardWireFormat()

    public init(
        node: NodeID, dataDirectory: String, listen: String, peers: [NodeID: String] = [:]
    ) {
        self.node = node
        self.dataDirectory = dataDirectory
        self.listen = listen
        self.peers = peers
    }
}
