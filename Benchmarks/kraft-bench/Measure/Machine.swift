import Foundation

/// The machine that a measurement was made on.
struct Machine: Codable, Sendable {
    var cpu: String
    var cores: Int
    var kernel: String
    /// The file system of the data folder, and the device it is on.
    var fileSystem: String

    init(folder: String) {
        cpu = Machine.cpuModel
        cores = ProcessInfo.processInfo.activeProcessorCount
        var names = utsname()
        uname(&names)
        kernel =
            withUnsafeBytes(of: names.sysname) { Machine.text($0) }
            + " " + withUnsafeBytes(of: names.release) { Machine.text($0) }
        fileSystem = Machine.fileSystem(of: folder)
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    private static var cpuModel: String {
        for line in contents(ofFile: "/proc/cpuinfo").split(separator: "\n")
        where line.hasPrefix("model name") {
            return line.split(separator: ":").dropFirst().joined(separator: ":")
                .trimmingCharacters(in: .whitespaces)
        }
        return "unknown CPU"
    }

    /// Of the mount that lies closest above the folder.
    private static func fileSystem(of folder: String) -> String {
        var best: (point: String, words: String) = ("", "unknown file system")
        for line in contents(ofFile: "/proc/mounts").split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            guard fields.count > 2 else { continue }
            let point = fields[1]
            let isAbove = folder == point || folder.hasPrefix(point == "/" ? "/" : point + "/")
            if isAbove, point.count >= best.point.count {
                best = (point, "\(fields[2]) on \(fields[0])")
            }
        }
        return best.words
    }
}

/// How busy the whole machine is, whoever is the cause; what a host took away from it counts too.
struct MachineLoad: Sendable {
    var busyMicroseconds: UInt64 = 0
    var clock = monotonicClock()

    static func current() -> MachineLoad {
        var load = MachineLoad()
        let line = contents(ofFile: "/proc/stat").prefix { $0 != "\n" }
        let ticks = line.split(separator: " ").dropFirst().compactMap { UInt64($0) }
        // user, nice, system, idle, iowait, irq, softirq, steal
        guard ticks.count >= 8 else { return load }
        let busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]
        load.busyMicroseconds = busy * 1_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK)))
        return load
    }

    /// The part of the machine that was used by others than us, in percent.
    static func percentOfOthers(
        from start: MachineLoad, to end: MachineLoad, ourMicroseconds: UInt64, cores: Int
    ) -> Double {
        let all = Double(end.clock - start.clock) / 1_000 * Double(cores)
        let busy = Double(end.busyMicroseconds - start.busyMicroseconds)
        return max(0, (busy - Double(ourMicroseconds)) / max(1, all) * 100)
    }
}
