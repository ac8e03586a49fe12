/// Runs all trials, round by round, so that what the machine does meanwhile falls on all alike.
struct TargetsRun {
    private let trials: [Trial]
    private let runs: Int
    /// Of those that are long.
    private let longRuns: Int
    private let place: Trial.Place

    init(_ trials: [Trial], runs: Int, longRuns: Int, _ place: Trial.Place) {
        (self.trials, self.runs, self.longRuns, self.place) = (trials, runs, longRuns, place)
    }

    func measure() async -> TargetsReport {
        var outcomes = trials.map { _ in [Trial.Outcome]() }
        var failures = trials.map { _ in String?.none }
        for run in 1...runs {
            for (number, trial) in trials.enumerated() where !trial.isLong || run <= longRuns {
                progress("round \(run) of \(runs): \(trial.name)")
                do {
                    outcomes[number].append(try await trial.measure(place))
                } catch is CancellationError {
                    failures[number] = "interrupted"
                } catch {
                    // One that can't be measured doesn't keep the others from it.
                    failures[number] = "\(error)"
                }
                place.remains.endProcesses()
            }
        }
        return TargetsReport(
            trials, outcomes, failures: failures, machine: Machine(folder: place.folder))
    }
}
