import Testing

/// Tests of real processes. These share two cores with each other: one cluster at a time keeps
/// their timing honest.
@Suite("Real processes", .serialized, .timeLimit(.minutes(3)))
enum ProcessTests {}
