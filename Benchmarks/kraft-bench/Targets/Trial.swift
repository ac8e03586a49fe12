/// One row of the table of targets: what is run, and what is wanted of it.
struct Trial {
    /// Where and for how long.
    struct Place: Sendable {
        var folder: String
        var remains: Remains
        var seconds: Double
    }

    struct Outcome: Sendable {
        /// One for each goal.
        var values: [Double]
        var limits: MachineLimits?
        var percentUsedByOthers: Double?
        var check: ResultCheck?
    }

    var name: String
    var goals: [Goal]
    /// Takes minutes: not run as often as the others.
    var isLong = false
    var measure: (Place) async throws -> Outcome

    /// Writes, with some of their report's figures.
    static func writes(
        _ name: String, _ settings: WritesSettings,
        _ figures: [(goal: Goal, value: (WritesReport) -> Double)]
    ) -> Trial {
        Trial(name: name, goals: figures.map(\.goal)) { [values = figures.map(\.value)] place in
            var settings = settings
            settings.seconds = place.seconds
            settings.warmupSeconds = min(1, place.seconds / 2)
            let run = WritesRun(settings, folder: place.folder, place.remains)
            return Outcome(try await run.measure(), values)
        }
    }

    /// Reads, with some of their report's figures.
    static func reads(
        _ name: String, _ level: ReadLevel, _ clients: ClientKind,
        _ figures: [(goal: Goal, value: (ReadsReport) -> Double)]
    ) -> Trial {
        Trial(name: name, goals: figures.map(\.goal)) { [values = figures.map(\.value)] place in
            let settings = ReadsSettings(
                level: level, groups: 48, inFlight: 64, seconds: place.seconds,
                warmupSeconds: min(1, place.seconds / 2), clients: clients)
            let run = ReadsRun(settings, folder: place.folder, place.remains)
            return Outcome(try await run.measure(), values)
        }
    }
}

extension Trial.Outcome {
    init<Report: LoadReport>(_ report: Report, _ values: [(Report) -> Double]) {
        self.init(
            values: values.map { $0(report) }, limits: report.limits,
            percentUsedByOthers: report.percentUsedByOthers, check: report.check)
    }
}
