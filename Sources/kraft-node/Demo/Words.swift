/// Numbers and times as people like to read them.
enum Words {
    /// 12345 as `12,345`.
    static func count(_ number: Int) -> String {
        let digits = String(number.magnitude)
        var text = ""
        for (position, digit) in digits.enumerated() {
            if position > 0, (digits.count - position).isMultiple(of: 3) { text += "," }
            text.append(digit)
        }
        return number < 0 ? "-" + text : text
    }

    static func milliseconds(_ span: Duration) -> Int {
        Int(span / .milliseconds(1))
    }

    /// `812 ms`, `12.3 s`.
    static func span(_ span: Duration) -> String {
        let milliseconds = milliseconds(span)
        if milliseconds < 10_000 { return "\(count(milliseconds)) ms" }
        return "\(milliseconds / 1_000).\(milliseconds % 1_000 / 100) s"
    }

    /// `1 group`, `3 groups`.
    static func many(_ number: Int, _ thing: String) -> String {
        "\(count(number)) \(thing)\(number == 1 ? "" : "s")"
    }
}
