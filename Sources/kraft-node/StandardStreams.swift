import Foundation

/// Writes raw bytes to standard output at once. Nobody reading is no reason to fail.
func output(_ bytes: some Sequence<UInt8>) {
    try? FileHandle.standardOutput.write(contentsOf: Data(bytes))
}

/// Words for a human on standard error.
func complain(_ message: String) {
    try? FileHandle.standardError.write(contentsOf: Data("kraft-node: \(message)\n".utf8))
}

/// Blocks until some bytes are there, and gives those; nil at the end. (`FileHandle` would wait
/// until all that was asked for is there.)
func readSome(_ handle: FileHandle) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(handle.fileDescriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        return count > 0 ? Array(buffer[..<count]) : nil
    }
}
