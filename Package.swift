// swift-tools-version: 6.2
import PackageDescription

/// Settings of every target of ours: Swift 6 language mode, and warnings are errors.
let ours: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "kraft",
    platforms: [.macOS(.v26)],
    products: [
        .library(name: "KraftMultiRaft", targets: ["KraftMultiRaft"]),
        .library(name: "KraftKeyValue", targets: ["KraftKeyValue"]),
        .library(name: "KraftTestKit", targets: ["KraftTestKit"]),
        .executable(name: "kraft-node", targets: ["kraft-node"]),
        .executable(name: "kraft-bench", targets: ["kraft-bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.10.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.25.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.1.0"),
    ],
    targets: [
        // C: system libraries, and the thin shim over libuv.
        .systemLibrary(
            name: "CLibuv", path: "CSources/CLibuv", pkgConfig: "libuv",
            providers: [.apt(["libuv1-dev"]), .brew(["libuv"])]),
        .systemLibrary(
            name: "CXXHash", path: "CSources/CXXHash", pkgConfig: "libxxhash",
            providers: [.apt(["libxxhash-dev"]), .brew(["xxhash"])]),
        .target(
            name: "CKraftUV", dependencies: ["CLibuv"], path: "CSources/CKraftUV",
            exclude: ["README.md"]),

        // Values: no IO, clock, dice or tasks.
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
            name: "KraftKeyValue", dependencies: ["KraftEngine", "CXXHash"],
            exclude: ["README.md"], swiftSettings: ours),

        // Shells: async, threads, sockets, files.
        .target(
            name: "KraftLoop", dependencies: ["CKraftUV"], exclude: ["README.md"],
            swiftSettings: ours),
        .target(
            name: "KraftMultiRaft",
            dependencies: [
                "KraftEngine", "KraftRouting", "KraftLoop",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], exclude: ["README.md"], swiftSettings: ours),
        .target(
            name: "KraftAdmin",
            dependencies: [
                "KraftMultiRaft", "KraftKeyValue",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ], exclude: ["README.md"], swiftSettings: ours),
        .executableTarget(
            name: "kraft-node",
            dependencies: [
                "KraftAdmin", "KraftMultiRaft", "KraftKeyValue", "Yams",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ], exclude: ["README.md"], swiftSettings: ours),

        // The simulator: the same engine on simulated network, disk and clock.
        .target(
            name: "KraftTestKit", dependencies: ["KraftEngine"], exclude: ["README.md"],
            swiftSettings: ours),
        .executableTarget(
            name: "kraft-sim", dependencies: ["KraftTestKit"], exclude: ["README.md"],
            swiftSettings: ours),

        // Real nodes under fire, and their history checked.
        .executableTarget(
            name: "kraft-chaos",
            dependencies: [
                "KraftTestKit",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ], exclude: ["README.md"], swiftSettings: ours),

        .executableTarget(
            name: "kraft-bench",
            dependencies: [
                "KraftMultiRaft",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            path: "Benchmarks/kraft-bench", swiftSettings: ours),
        .executableTarget(
            name: "kraft-guard", dependencies: ["KraftEngine", "KraftRouting", "RaftCore"],
            path: "Benchmarks/kraft-guard", swiftSettings: ours),

        .testTarget(
            name: "RaftCoreTests", dependencies: ["RaftCore"], exclude: ["Dialogues"],
            swiftSettings: ours),
        .testTarget(
            name: "KraftRoutingTests", dependencies: ["KraftRouting"], swiftSettings: ours),
        .testTarget(
            name: "KraftEngineTests", dependencies: ["KraftEngine", "KraftTestKit"],
            swiftSettings: ours),
        .testTarget(
            name: "KraftLoopTests", dependencies: ["KraftLoop"], exclude: ["README.md"],
            swiftSettings: ours),
        .testTarget(
            name: "KraftKeyValueTests",
            dependencies: ["KraftKeyValue", "KraftEngine", "KraftTestKit"],
            swiftSettings: ours),
        .testTarget(
            name: "KraftTestKitTests",
            dependencies: ["KraftTestKit", "KraftKeyValue", "kraft-sim"],
            swiftSettings: ours),
        .testTarget(
            name: "KraftMultiRaftTests", dependencies: ["KraftMultiRaft", "KraftKeyValue"],
            swiftSettings: ours),
        .testTarget(
            name: "KraftBenchTests",
            dependencies: [
                "kraft-bench",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: ours),
        .testTarget(
            name: "KraftNodeTests",
            dependencies: [
                "kraft-node", "kraft-chaos", "KraftAdmin", "KraftMultiRaft", "KraftTestKit",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ], swiftSettings: ours),
    ]
)
