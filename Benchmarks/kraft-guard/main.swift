// kraft-guard CASE ITERATIONS: work to be counted by callgrind, the same instructions each time.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

guard CommandLine.arguments.count == 3, let count = Int(CommandLine.arguments[2]), count > 0,
    let guardCase = GuardCase(rawValue: CommandLine.arguments[1])
else {
    let names = GuardCase.allCases.map(\.rawValue).joined(separator: "|")
    print("usage: kraft-guard \(names) ITERATIONS")
    exit(64)
}
do {
    print("units", try guardCase.run(count))
} catch {
    print("kraft-guard: \(error)")
    exit(1)
}
