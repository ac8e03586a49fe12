import KraftEngine

/// How often each fault and each rare branch was really reached. A fault that is never counted is
/// a fault that isn't tested.
public struct Coverage: Sendable {
    public enum Counter: Int, CaseIterable, Sendable {
        // Faults.
        case powerCuts, kills, endsInWrite, crashesBetweenDiskSteps, restarts, bootCrashes
        case pauses, resumes, partitions, oneWayCuts, heals
        case connectionResets, halfOpenConnections, resetsAtSomeByte, connectionsRefused
        case bytesLostInFlight, latencySpikes, slowLinks, growingDelays, slowReaders
        case bytesVeryLate, bytesForNobody, redialsOverOldBytes, bitsFlippedInFlight
        case strangers, strangersAnswered, strangersClosed, badFramesFound
        case leadersDeposedWhileAnswersAreUnderWay
        case slowDisks, diskStalls, diskHangs, logWriteFailures, syncFailures
        case disksFilled, writesOutOfSpace, segmentsOutOfSpace
        case failedSyncsKeptReadable, staleCachesLost, preparationFailures, logReadFailures
        case writesLostAtPowerCut, writesTornAtPowerCut, holesAtPowerCut
        case writesKeptAtPowerCut, writesCutByKill, preparationsLost, preparationsKeptAtCrash
        case skewedClocks, clockChanges, groupStops, groupStarts, transfersAsked
        case snapshotNamesLost, captureFailures, snapshotWriteFailures, snapshotReadFailures
        case snapshotsRotten, snapshotsAsked, longAbsences, logsDecayed, decaysNoticed
        case groupRemovals, groupsCreatedAnew, stepDowns, forcedElections, prioritiesSet
        case changesAsked, crashesInChange
        // What the engine did.
        case turns, sharedTurns, messagesSent, logWrites, logReads, segmentsPrepared
        case leadersElected, leadersDeposed, leadersResigned, truncations, recoveries, tornTails
        case appendsDeclined
        case connectionsReplaced, connectionsRefusedByNode, readBacks
        case entriesCommitted, commandsApplied, commandsReplayed, fencings
        case replicasInvited, replicasRemoved, configurationsCommitted
        case jointConfigurationsCommitted, changesForwarded, leaseReads, boundedReads
        case identitiesRefused, diskStallsNoticed
        case fullDisksNoticed, slowDisksNoticed, writesTriedAgain, leadersShed
        case sessionRepeats, sessionRepeatsForgotten, sessionsExpired, sessionCommandsRefused
        case snapshotsCaptured, snapshotsInstalled, snapshotsRestored, snapshotsRenewed
        case installsRefused, offersMade, offersReceived, fetchesBegun, fetchesResumed
        case fetchesHeldBack, fetchesDamaged, fetchesAbandoned, proposalsJumpedOver
        case statesLost, damagesTold, replacementsBegun, replacementsDone, repairsHeldBack
        case invitationsDoubted
        case proposalsForwarded, proposalsParked, proposalsOverwritten, readsForwarded
        // What clients saw.
        case proposals, acknowledged, refused, unknown, overloaded, staleRoutes
        case reads, readsAnswered, readsRefused, transfersDone, changesBegun, changesRefused
        case sessionsOpened, sessionTouches, sessionsClosed, sessionRetries, sessionsToldOver
        // What was checked.
        case sessionAnswersCompared
        case snapshotsCompared, checkpointsChecked
        case digestsCompared, logsMatched, disksInspected, leasesChecked, calmPhases
    }

    private var counts = [UInt64](repeating: 0, count: Counter.allCases.count)

    public init() {}

    public subscript(_ counter: Counter) -> UInt64 {
        get { counts[counter.rawValue] }
        set { counts[counter.rawValue] = newValue }
    }

    public mutating func count(_ counter: Counter, _ number: Int = 1) {
        counts[counter.rawValue] &+= UInt64(number)
    }

    mutating func count(_ rare: RareBranches) {
        self[.truncations] += rare.truncations
        self[.appendsDeclined] += rare.appendsDeclined
        self[.tornTails] += rare.tornTailsDropped
        self[.proposalsForwarded] += rare.proposalsForwarded
        self[.proposalsParked] += rare.proposalsParked
        self[.proposalsOverwritten] += rare.proposalsOverwritten
        self[.readsForwarded] += rare.readsForwarded
        self[.readBacks] += rare.readBacks
        self[.leadersResigned] += rare.leadersResigned
        self[.connectionsReplaced] += rare.connectionsReplaced
        self[.changesForwarded] += rare.changesForwarded
        self[.leaseReads] += rare.leaseReads
        self[.boundedReads] += rare.boundedReads
        self[.identitiesRefused] += rare.identitiesRefused
        self[.diskStallsNoticed] += rare.diskStalls
        self[.fullDisksNoticed] += rare.disksFull
        self[.slowDisksNoticed] += rare.disksSlow
        self[.writesTriedAgain] += rare.writesTriedAgain
        self[.leadersShed] += rare.leadersShed
        self[.sessionRepeats] += rare.sessionRepeats
        self[.sessionRepeatsForgotten] += rare.sessionRepeatsForgotten
        self[.sessionsExpired] += rare.sessionsExpired
        self[.sessionCommandsRefused] += rare.sessionsRefused
        self[.snapshotsCaptured] += rare.snapshotsCaptured
        self[.snapshotsInstalled] += rare.snapshotsInstalled
        self[.snapshotsRestored] += rare.snapshotsRestored
        self[.snapshotsRenewed] += rare.snapshotsRenewed
        self[.installsRefused] += rare.installsRefused
        self[.offersMade] += rare.offersMade
        self[.offersReceived] += rare.offersReceived
        self[.fetchesBegun] += rare.fetchesBegun
        self[.fetchesResumed] += rare.fetchesResumed
        self[.fetchesHeldBack] += rare.fetchesHeldBack
        self[.fetchesDamaged] += rare.fetchesDamaged
        self[.fetchesAbandoned] += rare.fetchesAbandoned
        self[.proposalsJumpedOver] += rare.proposalsJumpedOver
        self[.statesLost] += rare.statesLost
        self[.damagesTold] += rare.damagesTold
        self[.replacementsBegun] += rare.replacementsBegun
        self[.replacementsDone] += rare.replacementsDone
        self[.repairsHeldBack] += rare.repairsHeldBack
        self[.invitationsDoubted] += rare.invitationsDoubted
    }

    public static func += (total: inout Coverage, part: Coverage) {
        for counter in Counter.allCases { total[counter] += part[counter] }
    }

    /// One line per counter, in the order of their declaration.
    public var lines: [String] {
        Counter.allCases.map { "\($0): \(self[$0])" }
    }

    /// Those that were never reached.
    public var unreached: [Counter] { Counter.allCases.filter { self[$0] == 0 } }
}
