extension Trial {
    /// The table of targets, as far as it can be measured by running nodes.
    static var all: [Trial] {
        writes + reads + [neighbour(), neighbour(isApart: true), growth, idle, startUp]
    }

    private static var writes: [Trial] {
        [
            .writes(
                "48 groups × 16 in flight, 16 B, in the loop",
                WritesSettings(groups: 48, inFlight: 16, payloadSizeBytes: 16),
                [
                    (.rate("writes", atLeast: 900_000), { $0.writesPerSecond }),
                    (.cpu(atMost: 0.9), { $0.cpuMicrosecondsPerWrite }),
                ]),
            .writes(
                "48 groups × 256 in flight, 16 B",
                WritesSettings(groups: 48, inFlight: 256, payloadSizeBytes: 16),
                [
                    (.rate("writes", atLeast: 3_000_000), { $0.writesPerSecond }),
                    (.cpu(atMost: 0.3), { $0.cpuMicrosecondsPerWrite }),
                ]),
            .writes(
                "one group × 256, 128 B",
                WritesSettings(groups: 1, inFlight: 256, payloadSizeBytes: 128),
                [
                    (.rate("writes", atLeast: 300_000), { $0.writesPerSecond }),
                    (.cpu(atMost: 2.2), { $0.cpuMicrosecondsPerWrite }),
                ]),
            async(.asyncOnLoop), async(.async), async(.asyncOnLoop, batch: 16),
            async(.async, batch: 16),
            .writes(
                "1 in flight, 128 B",
                WritesSettings(groups: 1, inFlight: 1, payloadSizeBytes: 128),
                [
                    (.times("p50 by that of fdatasync", atMost: 2.2), { $0.p50ByFdatasync }),
                    (.cpu(atMost: 200), { $0.cpuMicrosecondsPerWrite }),
                ]),
            offered(), offered(gatherMilliseconds: 4),
        ]
    }

    /// Calls of tasks that await: on the node's own loop, or on the program's threads.
    private static func async(_ clients: ClientKind, batch: Int = 1) -> Trial {
        let tasks = clients == .asyncOnLoop ? "of tasks on the node's loop" : "of tasks elsewhere"
        return .writes(
            batch == 1
                ? "async propose \(tasks), 48 groups × 64, 128 B"
                : "async propose of \(batch) at a time, \(tasks)",
            WritesSettings(
                groups: 48, inFlight: 64, payloadSizeBytes: 128, clients: clients, batch: batch),
            [
                (.rate("writes", atLeast: batch == 1 ? 400_000 : 900_000), { $0.writesPerSecond }),
                (.cpu(atMost: batch == 1 ? 2 : 1.2), { $0.cpuMicrosecondsPerWrite }),
            ])
    }

    private static func offered(gatherMilliseconds: Int = 0) -> Trial {
        let pacing = gatherMilliseconds > 0 ? ", gathering for \(gatherMilliseconds) ms" : ""
        return .writes(
            "50,000/s offered, 48 groups, 128 B\(pacing)",
            WritesSettings(
                groups: 48, inFlight: 0, rate: 50_000, payloadSizeBytes: 128,
                gatherMicroseconds: gatherMilliseconds * 1_000),
            [
                (.times("p99 by that of fdatasync", atMost: 3), { $0.p99ByFdatasync }),
                (.cpu(atMost: 4), { $0.cpuMicrosecondsPerWrite }),
            ])
    }

    private static var reads: [Trial] {
        [
            .reads(
                "linearizable reads, in the loop", .linearizable, .loop,
                [(.rate("reads", atLeast: 1_000_000), { $0.readsPerSecond })]),
            .reads(
                "lease reads, in the loop", .lease, .loop,
                [(.cpu(atMost: 0.2), { $0.cpuMicrosecondsPerRead })]),
            .reads(
                "lease reads, async", .lease, .async,
                [(.cpu(atMost: 1.2), { $0.cpuMicrosecondsPerRead })]),
        ]
    }

    /// - `isApart`: the saturated one is on a loop of its own.
    private static func neighbour(isApart: Bool = false) -> Trial {
        Trial(
            name: "255 groups, 10 writes/s each, beside a saturated one"
                + (isApart ? " on a loop of its own" : ""),
            goals: [.times("p99 by theirs alone", atMost: 3)]
        ) { place in
            let run = NeighbourRun(
                NeighbourSettings(isApart: isApart, seconds: place.seconds), folder: place.folder,
                place.remains)
            let result = try await run.measure()
            return Outcome(
                values: [Report.ratio(result.beside.p99, by: result.alone.p99)], check: result.check
            )
        }
    }

    /// A knee shows where ten times as many groups cost more than they should.
    private static var growth: Trial {
        Trial(
            name: "from 1 to 1,000 active groups, 10,000 in flight, 16 B",
            goals: [
                Goal("writes/s at ten times the groups, worst", .atLeast(0.5)) {
                    "\(Report.decimal($0)) ×"
                },
                Goal("CPU per write at ten times the groups, worst", .atMost(2)) {
                    "\(Report.decimal($0)) ×"
                },
            ]
        ) { place in
            let plan = CurvePlan.growth(
                [1, 10, 100, 1_000], inFlight: 10_000, payloadSizeBytes: 16, seconds: place.seconds)
            let report = try await CurveRun([plan], runs: 1, folder: place.folder, place.remains)
                .measure()
            let runs = report.curves.flatMap { $0.points.flatMap(\.runs) }
            var check = ResultCheck()
            for run in runs { check.add(run.check) }
            let steps = zip(runs.dropFirst(), runs)
            return Outcome(
                values: [
                    steps.map { $0.writesPerSecond / $1.writesPerSecond }.min() ?? 0,
                    steps.map { $0.cpuMicrosecondsPerWrite / $1.cpuMicrosecondsPerWrite }.max()
                        ?? 0,
                ],
                check: check)
        }
    }

    private static var idle: Trial {
        Trial(
            name: "10,000 idle groups",
            goals: [
                .percent("CPU, all nodes", atMost: 2),
                // Beats of the nodes alone are 60.
                Goal("frames between nodes", .atMost(100)) { "\(Report.count($0))/s" },
                .memory(atMost: 1_024),
                .seconds("all led again after a node's death", atMost: 3),
            ]
        ) { place in
            let idle = try await IdleRun(
                groups: 10_000, seconds: max(3, place.seconds), folder: place.folder, place.remains
            ).measure()
            let failOver = try await FailOverRun(
                groups: 10_000, folder: place.folder, place.remains
            ).measure()
            return Outcome(
                values: [
                    idle.cpuPercent, idle.framesPerSecond, idle.bytesPerGroup, failOver.maxSeconds,
                ],
                percentUsedByOthers: idle.percentUsedByOthers, check: failOver.check)
        }
    }

    private static var startUp: Trial {
        Trial(
            name: "100,000 groups",
            goals: [
                .seconds("created", atMost: 60), .percent("idle CPU, all nodes", atMost: 5),
                .memory(atMost: 1_024), .seconds("restart of a node", atMost: 20),
            ], isLong: true
        ) { place in
            let row = try await StartUpRun(
                groups: 100_000, idleSeconds: max(5, place.seconds), folder: place.folder,
                place.remains
            ).measure()
            return Outcome(
                values: [
                    row.createSeconds, row.idleCPUPercent, row.bytesPerGroup, row.serveSeconds,
                ])
        }
    }
}
