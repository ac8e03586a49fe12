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
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
    ],
    targets: [
        .systemLibrary(
            name: "CXXHash", path: "CSources/CXXHash", pkgConfig: "libxxhash",
            providers: [.apt(["libxxhash-dev"]), .brew(["xxhash"])]),
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
        .testTarget(name: "RaftCoreTests", dependencies: ["RaftCore"], swiftSettings: ours),
        .testTarget(
            name: "KraftRoutingTests", dependencies: ["KraftRouting"], swiftSettings: ours),
    ]
)
