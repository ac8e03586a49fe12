import Yams

extension SettingsLayer {
    /// What a YAML file says: one mapping of the flags' names to scalars. `peers` may also be a
    /// mapping of ids to addresses, `peers` and `join` also lists.
    ///
    /// An unknown key is an error, and so is one given twice.
    init(yaml: String, file: String) throws(SettingsError) {
        self.init(flags: [])
        let root: Node?
        do {
            root = try compose(yaml: yaml)
        } catch {
            throw SettingsError("\(file): not valid YAML: \(error)")
        }
        guard let root, root != Node("") else { return }
        guard let mapping = root.mapping else {
            throw SettingsError("\(file): must be a mapping of settings")
        }
        for (key, value) in mapping {
            guard let name = key.string, let field = SettingsField(rawValue: name) else {
                throw SettingsError("\(file): unknown key '\(key.string ?? "?")'")
            }
            guard entries[field] == nil else {
                throw SettingsError("\(file): \(name) is given twice")
            }
            guard let text = SettingsLayer.text(of: value, field: field) else {
                throw SettingsError("\(file): \(name) has a value of the wrong kind")
            }
            set(field, text, origin: "\(name) in \(file)")
        }
    }

    private static func text(of node: Node, field: SettingsField) -> String? {
        if let scalar = node.scalar { return scalar.string }
        if let sequence = node.sequence, field == .peers || field == .join {
            let items = sequence.compactMap(\.scalar?.string)
            return items.count == sequence.count ? items.joined(separator: ",") : nil
        }
        if let mapping = node.mapping, field == .peers {
            let items = mapping.compactMap { key, value in
                key.scalar.flatMap { key in value.scalar.map { "\(key.string)=\($0.string)" } }
            }
            return items.count == mapping.count ? items.joined(separator: ",") : nil
        }
        return nil
    }
}
