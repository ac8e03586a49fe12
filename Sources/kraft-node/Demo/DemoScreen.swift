import Synchronization

/// Draws the demo: a block that is redrawn in place on a terminal, plain lines elsewhere.
final class DemoScreen: Sendable {
    private let terminal: Terminal
    private let drawn = Mutex(0)

    init(terminal: Terminal, cleanup: DemoCleanup) {
        self.terminal = terminal
        if terminal.isInteractive {
            cleanup.setHidesCursor()
            output(Terminal.hideCursor.utf8)
        }
    }

    /// A line that stays.
    func say(_ line: StyledLine) {
        drawn.withLock { drawn in
            let width = terminal.isInteractive ? terminal.size.columns - 1 : 10_000
            let text = line.draw(width: width, color: terminal.usesColor)
            output((erase(&drawn) + text + "\n").utf8)
        }
    }

    func say(_ text: String, _ style: Style = .plain) { say(StyledLine(text, style)) }

    /// The moving block, at most ten times a second; nothing without a terminal.
    func show(_ view: DemoView) {
        guard terminal.isInteractive else { return }
        drawn.withLock { drawn in
            let size = terminal.size
            var text = erase(&drawn)
            // A block higher than the terminal could not be erased again.
            for line in view.lines().prefix(max(1, size.rows - 2)) {
                text += line.draw(width: size.columns - 1, color: terminal.usesColor)
                text += Terminal.eraseToEndOfLine + "\n"
                drawn += 1
            }
            output(text.utf8)
        }
    }

    /// Once a second: the view as a line, where there is no terminal.
    func tell(_ view: DemoView) {
        guard !terminal.isInteractive else { return }
        output((view.summaryLine + "\n").utf8)
    }

    /// Takes the block away.
    func clear() { drawn.withLock { output(erase(&$0).utf8) } }

    private func erase(_ drawn: inout Int) -> String {
        guard drawn > 0 else { return "" }
        defer { drawn = 0 }
        return Terminal.cursorUp(drawn) + Terminal.eraseBelow
    }
}
