/// A setting of `kraft-node run`. The raw value is its name as a flag and in the file.
enum SettingsField: String, CaseIterable, Sendable {
    case id
    case dataDirectory = "data-dir"
    case listen
    case advertise
    case http
    case clusterID = "cluster-id"
    case peers
    case join
    case groups
    case router
    case leaseMilliseconds = "lease-ms"
    case catchUpMilliseconds = "catch-up-ms"
    case snapshotEntries = "snapshot-entries"
    case snapshotBytes = "snapshot-bytes"
    case snapshotMilliseconds = "snapshot-interval-ms"
    case snapshotRate = "snapshot-rate-bytes"
    case logSegmentBytes = "log-segment-bytes"
    case logBudgetBytes = "log-budget-bytes"
    case logLevel = "log-level"

    /// Its name in the environment: `data-dir` is `KRAFT_DATA_DIR`.
    var environmentName: String {
        "KRAFT_" + rawValue.uppercased().replacing("-", with: "_")
    }
}

/// A configuration that can't work. The message names the field and where it came from.
struct SettingsError: Error, Equatable, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// Settings as written down in one place, not yet understood.
struct SettingsLayer: Equatable {
    /// One setting's text, and the words for where it stands.
    struct Entry: Equatable {
        var text: String
        var origin: String
    }

    private(set) var entries: [SettingsField: Entry] = [:]

    mutating func set(_ field: SettingsField, _ text: String, origin: String) {
        entries[field] = Entry(text: text, origin: origin)
    }

    /// What the environment says. Names that aren't settings are left alone: container systems put
    /// `KRAFT_…` names of their own there.
    init(environment: [String: String]) {
        for field in SettingsField.allCases {
            if let text = environment[field.environmentName] {
                set(field, text, origin: field.environmentName)
            }
        }
    }

    init(flags: [(SettingsField, String?)]) {
        for case (let field, let text?) in flags {
            set(field, text, origin: "--\(field.rawValue)")
        }
    }

    /// The first of the layers that has the field.
    static func find(_ field: SettingsField, in layers: [SettingsLayer]) -> Entry? {
        for layer in layers {
            if let entry = layer.entries[field] { return entry }
        }
        return nil
    }
}
