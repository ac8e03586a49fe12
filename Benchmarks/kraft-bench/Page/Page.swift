/// A report as one HTML file that needs nothing else: plots are drawn here, no script runs there.
struct Page: Sendable {
    enum Block: Sendable {
        case heading(String)
        case text(String)
        /// Names and values.
        case pairs([(String, String)])
        /// The first column to the left, the others to the right.
        case table(head: [String], rows: [[String]])
        case plot(LinePlot)
    }

    let title: String
    private var blocks: [Block]

    init(title: String, _ blocks: [Block] = []) { (self.title, self.blocks) = (title, blocks) }

    mutating func add(_ block: Block) { blocks.append(block) }

    func html() -> String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(Page.escaped(title))</title>
        <style>
        \(Page.style)
        </style>
        </head>
        <body>
        <h1>\(Page.escaped(title))</h1>
        \(blocks.map(Page.html).joined(separator: "\n"))
        </body>
        </html>

        """
    }

    /// Text that means itself in HTML, in attributes too.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for character in text {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.append(character)
            }
        }
        return escaped
    }

    private static func html(_ block: Block) -> String {
        switch block {
        case .heading(let text): return "<h2>\(escaped(text))</h2>"
        case .text(let text): return "<p>\(escaped(text))</p>"
        case .pairs(let pairs):
            let rows = pairs.filter { !$0.1.isEmpty }.map { name, value in
                let name = escaped(name.trimmingPrefix { $0 == " " }.description)
                return "<tr><th>\(name)</th><td class=\"left\">\(escaped(value))</td></tr>"
            }
            return "<table>\(rows.joined())</table>"
        case .table(let head, let rows):
            let top = head.map { "<th>\(escaped($0))</th>" }.joined()
            let body = rows.map { cells in
                "<tr>" + cells.map { "<td>\(escaped($0))</td>" }.joined() + "</tr>"
            }
            return "<div class=\"wide\"><table class=\"figures\"><thead><tr>\(top)</tr></thead>"
                + "<tbody>\(body.joined())</tbody></table></div>"
        case .plot(let plot): return plot.svg()
        }
    }

    private static let style = """
        :root { color-scheme: light dark; --back: #ffffff; --ink: #1c2430; --soft: #667085;
          --line: #d9dee7; --s0: #1f6feb; --s1: #c2410c; --s2: #15803d; --s3: #9333ea; }
        @media (prefers-color-scheme: dark) { :root { --back: #12161d; --ink: #e6e9ef;
          --soft: #98a2b3; --line: #2b3442; --s0: #6cb0ff; --s1: #ff9a62; --s2: #5fd38a;
          --s3: #cf9bff; } }
        body { background: var(--back); color: var(--ink); margin: 2rem auto; padding: 0 1rem;
          max-width: 60rem; font: 15px/1.5 system-ui, sans-serif; }
        h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
        table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
        th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line);
          text-align: left; vertical-align: top; }
        th { font-weight: 600; color: var(--soft); }
        .figures th, .figures td { text-align: right; white-space: nowrap; }
        .figures th:first-child, .figures td:first-child { text-align: left; }
        .wide { overflow-x: auto; }
        svg { display: block; width: 100%; height: auto; margin: 1.5rem 0; }
        svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
        svg .title { fill: var(--ink); font-size: 14px; font-weight: 600; }
        svg .grid { stroke: var(--line); stroke-width: 1; }
        """
}
