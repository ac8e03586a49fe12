// swift-tools-version: 6.2
import PackageDescription

// What `scripts/mutate` builds: the simulator, and the tests that some mutants name. The real
// manifest's targets, without those that mutants don't concern; a mutant may give a warning.
let ours: [SwiftSetting] = [.swiftLanguageMode(.v6)]

let package = Package(
    name: "kraft-mutants",
    platforms: [.macOS(.v26)],
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", from: "1.1.0")
    ],
    targets: [
        .systemLibrary(name: "CXXHash", path: "CSources/CXXHash", pkgConfig: "libxxhash"),
        .target(name: "RaftCore", exclude: ["README.md"], swiftSettings: ours),
        .target(
            name: "KraftRouting", dependencies: ["CXXHash"], exclude: ["README.md"],
            swiftSettings: ours),
        .target(
            name: "KraftEngine",
            dependencies: [
                "RaftCore", "KraftRouting", "CXXHash",
                .product(name: "DequeModule", package: "swift-collections"),
            ], exclude: ["README.md"], swiftSettings: ours),
        .target(
            name: "KraftTestKit", dependencies: ["KraftEngine"], exclude: ["README.md"],
            swiftSettings: ours),
        .executableTarget(
            name: "kraft-sim", dependencies: ["KraftTestKit"], exclude: ["README.md"],
            swiftSettings: ours),
        .testTarget(
            name: "RaftCoreTests", dependencies: ["RaftCore"], exclude: ["Dialogues"],
            swiftSettings: ours),
        .testTarget(
            name: "KraftEngineTests", dependencies: ["KraftEngine", "KraftTestKit"],
            swiftSettings: ours),
    ]
)
