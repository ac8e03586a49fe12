import Foundation

/// What standard output can do.
struct Terminal: Sendable {
    /// A terminal whose lines can be redrawn.
    var isInteractive: Bool
    var usesColor: Bool

    static let hideCursor = "\u{1B}[?25l"
    static let showCursor = "\u{1B}[?25h"
    static let eraseToEndOfLine = "\u{1B}[K"
    static let eraseBelow = "\u{1B}[J"

    static func cursorUp(_ lines: Int) -> String { lines > 0 ? "\u{1B}[\(lines)A\r" : "\r" }

    static var ofStandardOutput: Terminal {
        let environment = ProcessInfo.processInfo.environment
        let isInteractive = isatty(STDOUT_FILENO) == 1 && environment["TERM"] != "dumb"
        return Terminal(
            isInteractive: isInteractive,
            usesColor: isInteractive && environment["NO_COLOR", default: ""].isEmpty)
    }

    /// Columns and rows; a usual size where it can't be told.
    var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0
        else { return (80, 24) }
        return (Int(size.ws_col), Int(size.ws_row))
    }
}

/// A few restrained colours. Text keeps its width in columns.
enum Style: String {
    case plain = ""
    case dim = "2"
    case bold = "1"
    case good = "32"
    case warn = "33"
    case bad = "31"
}

/// A line of styled pieces, cut to a width when it is drawn.
struct StyledLine {
    private var pieces: [(text: String, style: Style)] = []

    init(_ text: String = "", _ style: Style = .plain) { add(text, style) }

    mutating func add(_ text: String, _ style: Style = .plain) { pieces.append((text, style)) }

    func adding(_ text: String, _ style: Style = .plain) -> StyledLine {
        var line = self
        line.add(text, style)
        return line
    }

    func draw(width: Int, color: Bool) -> String {
        var room = width
        var line = ""
        for (text, style) in pieces where room > 0 {
            var part = text
            if part.count > room { part = part.prefix(max(0, room - 1)) + "…" }
            room -= part.count
            line += color && style != .plain ? "\u{1B}[\(style.rawValue)m\(part)\u{1B}[0m" : part
        }
        return line
    }
}
