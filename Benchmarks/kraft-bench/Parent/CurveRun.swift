import Foundation

/// Runs of writes that differ in one number.
struct CurvePlan: Sendable {
    var kind: CurveReport.Kind
    var points: [(x: Int, settings: WritesSettings)]

    /// By number of groups, with the same number of proposals under way.
    static func growth(
        _ groups: [Int], inFlight: Int, payloadSizeBytes: Int, seconds: Double
    ) -> CurvePlan {
        CurvePlan(
            kind: .groups,
            points: groups.map { count in
                (
                    count,
                    WritesSettings(
                        groups: count, inFlight: max(1, inFlight / count),
                        payloadSizeBytes: payloadSizeBytes, seconds: seconds,
                        warmupSeconds: min(1, seconds / 2))
                )
            })
    }

    /// By number of loops of each node.
    static func loops(
        _ loops: [Int], nodes: Int, _ settings: WritesSettings
    ) -> CurvePlan {
        CurvePlan(
            kind: nodes == 1 ? .loopsOfOneNode : .loops,
            points: loops.map { count in
                var settings = settings
                (settings.nodes, settings.loops) = (nodes, count)
                return (count, settings)
            })
    }

    /// By offered rate.
    static func rates(
        _ rates: [Int], groups: Int, payloadSizeBytes: Int, seconds: Double
    ) -> CurvePlan {
        CurvePlan(
            kind: .rates,
            points: rates.map { rate in
                (
                    rate,
                    WritesSettings(
                        groups: groups, inFlight: 0, rate: Double(rate),
                        payloadSizeBytes: payloadSizeBytes, seconds: seconds,
                        warmupSeconds: min(1, seconds / 2))
                )
            })
    }
}

/// Measures curves, all points in turn, and then all again: what the machine does meanwhile falls on
/// all alike.
struct CurveRun {
    private let plans: [CurvePlan]
    private let runs: Int
    private let folder: String
    private let remains: Remains

    init(_ plans: [CurvePlan], runs: Int, folder: String, _ remains: Remains) {
        (self.plans, self.runs) = (plans, runs)
        (self.folder, self.remains) = (folder, remains)
    }

    func measure() async throws -> CurveReport {
        var curves = plans.map { plan in
            CurveReport.Curve(
                kind: plan.kind, points: plan.points.map { .init(x: $0.x, runs: []) })
        }
        for run in 1...runs {
            for (number, plan) in plans.enumerated() {
                for (place, point) in plan.points.enumerated() {
                    progress("run \(run) of \(runs): \(point.x) \(plan.kind.rawValue)")
                    let report = try await WritesRun(point.settings, folder: folder, remains)
                        .measure()
                    curves[number].points[place].runs.append(report)
                }
            }
        }
        return CurveReport(curves: curves, machine: Machine(folder: folder))
    }
}
