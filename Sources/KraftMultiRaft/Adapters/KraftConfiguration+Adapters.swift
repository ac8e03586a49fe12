import KraftLoop

extension KraftConfiguration {
    /// An event loop of their own for some groups: a thread, a log, a port and connections that no
    /// other group shares. `GroupOptions.adapter` puts a group there.
    ///
    /// It costs what it has for itself: one more sync for what is written at the same time, one more
    /// connection and beat for each pair of nodes. What isn't given is as in the configuration.
    public struct Adapter: Sendable {
        /// 1 to 32 of A-Z a-z 0-9 _ -; the same on all nodes. Its data is in the node's folder, below
        /// `adapters/<name>`.
        public var name: String
        /// Where its peer port listens, as `KraftConfiguration.listen`.
        public var listen: String
        /// Where this node dials this adapter of the others. Those that are in here are the voters
        /// of its groups, unless others are named.
        public var peers: [NodeID: String]
        /// Addresses of this adapter on other nodes, as `KraftConfiguration.join`.
        public var join: [String] = []
        /// The address that others are given for it; nil: its entry in `peers`, else where it listens.
        public var advertise: String?
        public var timing: EngineConfiguration.Timing?
        public var log: EngineConfiguration.LogLimits?
        public var limits: EngineConfiguration.Limits?
        public var snapshots: EngineConfiguration.Snapshots?
        public var makeTransport: (@Sendable () -> any Transport)?
        public var wireFormat: (any WireFormat)?

        public init(name: String, listen: String, peers: [NodeID: String] = [:]) {
            self.name = name
            self.listen = listen
            self.peers = peers
        }

        static func isLegal(_ name: String) -> Bool {
            (1...32).contains(name.utf8.count)
                && name.utf8.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"),
                        UInt8(ascii: "A")...UInt8(ascii: "Z"),
                        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                        true
                    default: false
                    }
                }
        }
    }

    /// What each adapter is told: the shared one, whose name is nil, then the dedicated ones.
    var parts: [(adapter: String?, configuration: KraftConfiguration)] {
        [(nil, self)] + adapters.map { ($0.name, part($0)) }
    }

    private var adaptersFolder: Folder { Folder("\(dataDirectory)/adapters") }

    /// The configuration of a node that has this adapter only. Its cluster has a name of its own, so
    /// that no connection to another adapter passes the handshake.
    private func part(_ adapter: Adapter) -> KraftConfiguration {
        var part = self
        part.adapters = []
        part.dataDirectory = adaptersFolder.path(of: adapter.name)
        part.clusterID = "\(clusterID)/\(adapter.name)"
        part.listen = adapter.listen
        part.peers = adapter.peers
        part.join = adapter.join
        part.advertise = adapter.advertise
        part.info = ""
        part.timing = adapter.timing ?? timing
        part.log = adapter.log ?? log
        part.limits = adapter.limits ?? limits
        part.snapshots = adapter.snapshots ?? snapshots
        part.makeTransport = adapter.makeTransport ?? makeTransport
        part.wireFormat = adapter.wireFormat ?? wireFormat
        part.logger[metadataKey: "adapter"] = "\(adapter.name)"
        return part
    }

    func validateAdapters() throws(KraftError) {
        var names: Set<String> = []
        var ports = [listen: "the node"]
        for adapter in adapters {
            let name = adapter.name
            try check(
                Adapter.isLegal(name),
                "adapters: a name is 1 to 32 of A-Z a-z 0-9 _ -, and '\(name)' isn't")
            try check(names.insert(name).inserted, "adapters: \(name) is there twice")
            if NetworkAddress(adapter.listen)?.port != 0,
                let owner = ports.updateValue(name, forKey: adapter.listen)
            {
                throw KraftError(
                    .configuration,
                    "adapters: \(name): listen: \(adapter.listen) is where \(owner) listens")
            }
            do throws(KraftError) { try part(adapter).validate() } catch {
                throw KraftError(.configuration, "adapters: \(name): \(error.message)")
            }
        }
    }

    /// Throws `configuration` when the data folder holds an adapter that isn't configured any more:
    /// its groups would be gone without a word.
    func refuseForgottenAdapters() throws(KraftError) {
        let found: [String]
        do throws(LoopError) { found = try adaptersFolder.names() } catch {
            guard error.isNoSuchFile else { throw KraftError(storage: error) }
            return
        }
        for name in found where Adapter.isLegal(name) {
            try check(
                adapters.contains { $0.name == name },
                "adapters: '\(name)' is missing, and \(adaptersFolder.path(of: name)) holds its data"
            )
        }
    }
}
