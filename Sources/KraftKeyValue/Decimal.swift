/// Signed 64-bit numbers as decimal text, the form in which `increment` keeps them.
enum Decimal {
    /// The number that the whole text spells: an optional `-`, then digits. Nil for anything else
    /// and for numbers beyond 64 bits.
    static func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
        var digits = text[...]
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative { digits.removeFirst() }
        guard !digits.isEmpty else { return nil }
        var number: Int64 = 0
        for byte in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            let digit = Int64(byte - UInt8(ascii: "0"))
            let (shifted, overflowed) = number.multipliedReportingOverflow(by: 10)
            // Summed on the negative side, where `Int64.min` fits.
            let (sum, overflowedToo) = shifted.subtractingReportingOverflow(digit)
            guard !overflowed, !overflowedToo else { return nil }
            number = sum
        }
        if isNegative { return number }
        let (positive, overflowed) = Int64(0).subtractingReportingOverflow(number)
        return overflowed ? nil : positive
    }

    /// Gives the shortest text of a number, without an allocation.
    static func withText<R>(of number: Int64, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { buffer in
            var start = 20
            var rest = number.magnitude
            repeat {
                start -= 1
                buffer[start] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            if number < 0 {
                start -= 1
                buffer[start] = UInt8(ascii: "-")
            }
            return body(UnsafeRawBufferPointer(rebasing: buffer[start...]))
        }
    }
}
