import ArgumentParser
import Foundation

/// What all commands that measure have in common: they leave nothing behind, however they end.
enum CommandRun {
    /// Measures in a folder of its own, and shows what was found. Throws an exit code.
    static func make<Result: Presentable>(
        _ common: CommonOptions, html: String? = nil,
        _ body: (_ folder: String, _ remains: Remains) async throws -> Result
    ) async throws {
        let remains = Remains()
        do {
            let folder = try remains.makeFolder(in: common.dataParent())
            let report = try await body(folder, remains)
            remains.end()
            print(try common.json ? Report.json(report) : report.table())
            if let html {
                try report.page().html().write(toFile: html, atomically: true, encoding: .utf8)
            }
            guard report.isSound else { throw BenchFailure.exitCode }
        } catch let code as ExitCode {
            throw code
        } catch {
            remains.end()
            complain("\(error)")
            throw BenchFailure.exitCode
        }
    }
}
