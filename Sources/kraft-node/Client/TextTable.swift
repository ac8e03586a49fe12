/// Rows in columns as wide as their widest cell, numbers to the right.
struct TextTable {
    private var rows: [[String]]

    init(_ header: String...) { rows = [header] }

    mutating func add(_ cells: String...) {
        precondition(cells.count == rows[0].count, "a row must have the header's columns")
        rows.append(cells)
    }

    var lines: [String] {
        let widths = rows[0].indices.map { column in
            rows.map { $0[column].count }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                line += cell.first?.isNumber == true ? space + cell : cell + space
                if column + 1 < row.count { line += "  " }
            }
            while line.hasSuffix(" ") { line.removeLast() }
            return line
        }
    }
}
