import Foundation
import KraftLoop
import Testing

@Suite(.timeLimit(.minutes(1)))
struct FileTests {
    @Test func `pieces are written one behind the other and read back`() async throws {
        try await withTemporaryFolder { folder in
            let file = try File(folder.path(of: "data"), .create)
            // More pieces than one call to the kernel takes, empty ones among them.
            let pieces = (0..<2_000).map { number in
                [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: number % 7)
            }
            let flat = pieces.flatMap { $0 }
            let copies = pieces.map { piece in
                let copy = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: piece.count, alignment: 1)
                copy.copyBytes(from: piece)
                return copy
            }
            defer { for copy in copies { copy.deallocate() } }
            try file.write(copies.map { UnsafeRawBufferPointer($0) }, at: 100)
            try file.syncData()
            var back = [UInt8](repeating: 1, count: flat.count + 50)
            let count = try back.withUnsafeMutableBytes { try file.read(into: $0, at: 100) }
            #expect(count == flat.count)
            #expect(Array(back[..<count]) == flat)
        }
    }

    @Test func `a prepared file is whole, zeroed behind its header, and no rubbish stays`()
        async throws
    {
        try await withTemporaryFolder { folder in
            try folder.prepare("1.seg", sizeBytes: 3 << 20 | 5, header: [1, 2, 3])
            #expect(try folder.names() == ["1.seg"])
            let content = [UInt8](
                try Data(contentsOf: URL(filePath: folder.path(of: "1.seg"))))
            #expect(content.count == 3 << 20 | 5)
            #expect(Array(content[..<3]) == [1, 2, 3])
            #expect(content[3...].allSatisfy { $0 == 0 })
        }
    }

    @Test func `a file in the making has its name when it is whole, and not before`() async throws {
        try await withTemporaryFolder { folder in
            try File(folder.path(of: "old"), .create).write([7, 7, 7], at: 0)
            let making = FilePreparation(
                "1.seg", in: folder, sizeBytes: 1 << 20 | 5, header: [1, 2], recycling: "old")
            #expect(try folder.names() == ["old"])
            for _ in 0..<4 {
                #expect(try !making.goOn(256 << 10))
                #expect(try folder.names() == ["1.seg.tmp"])
            }
            #expect(try making.goOn(256 << 10))
            #expect(try folder.names() == ["1.seg"])
            let content = [UInt8](
                try Data(contentsOf: URL(filePath: folder.path(of: "1.seg"))))
            #expect(content.count == 1 << 20 | 5)
            #expect(content.starts(with: [1, 2]))
            #expect(content[2...].allSatisfy { $0 == 0 })
        }
    }

    @Test func `of a file that can't be made nothing stays`() async throws {
        try await withTemporaryFolder { folder in
            // What bears its name can't be replaced by a file.
            try Folder(folder.path(of: "1.seg/sub")).make()
            let making = FilePreparation("1.seg", in: folder, sizeBytes: 8_192, header: [1])
            #expect(try !making.goOn(4_096))
            #expect(throws: LoopError.self) { try making.goOn(4_096) }
            #expect(try folder.names() == ["1.seg"])
        }
    }

    @Test func `a file that nobody needs becomes a new one: zeroed, of its size, under its name`()
        async throws
    {
        try await withTemporaryFolder { folder in
            for (old, size) in [("1.seg", 1 << 20), ("2.seg", 3 << 20), ("3.seg", 8_192)] {
                let bytes = [UInt8](repeating: 7, count: size)
                try File(folder.path(of: old), .create).write(bytes, at: 0)
                try folder.prepare(
                    "9.seg", sizeBytes: 1 << 20, header: [1, 2, 3], recycling: old)
                #expect(try folder.names() == ["9.seg"])
                let content = [UInt8](
                    try Data(contentsOf: URL(filePath: folder.path(of: "9.seg"))))
                #expect(content.count == 1 << 20)
                #expect(content.starts(with: [1, 2, 3]))
                #expect(content[3...].allSatisfy { $0 == 0 })
            }
            // It need not be there.
            try folder.prepare("8.seg", sizeBytes: 4_096, header: [4], recycling: "gone.seg")
            #expect(try folder.names() == ["8.seg", "9.seg"])
        }
    }

    @Test func `trouble is an error with the path and the system's words`() async throws {
        try await withTemporaryFolder { folder in
            let error = #expect(throws: LoopError.self) {
                try File(folder.path(of: "missing"), .read)
            }
            #expect(error?.isNoSuchFile == true)
            #expect(error?.description.contains("missing: no such file") == true)
            _ = try File(folder.path(of: "plain"), .create)
            #expect(throws: LoopError.self) { try Folder(folder.path(of: "plain/sub")).make() }
            #expect(throws: LoopError.self) { try Folder(folder.path(of: "plain")).make() }
            #expect(throws: LoopError.self) {
                try Folder(folder.path(of: "gone")).prepare("1", sizeBytes: 1, header: [])
            }
        }
    }

    @Test func `folders are made with those above them`() async throws {
        try await withTemporaryFolder { folder in
            let deep = Folder(folder.path(of: "a/b/c"))
            try deep.make()
            try deep.make()
            #expect(try deep.names() == [])
            try folder.remove("never was here")
        }
    }

    @Test func `a folder is locked once, and free again when the lock is gone`() async throws {
        try await withTemporaryFolder { folder in
            var lock = try FolderLock.take(folder)
            #expect(lock != nil)
            #expect(try FolderLock.take(folder) == nil)
            lock = nil
            #expect(try FolderLock.take(folder) != nil)
        }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct DurableFileTests {
    @Test func `aligned and other writes are all there in the end`() async throws {
        try await withTemporaryFolder { folder in
            try folder.prepare("log", sizeBytes: 1 << 20, header: [9])
            let file = try DurableFile(folder.path(of: "log"))
            let block = UnsafeMutableRawBufferPointer.allocate(
                byteCount: 3 * 4_096, alignment: 4_096)
            defer { block.deallocate() }
            for position in block.indices { block[position] = UInt8(position % 251) }
            let bytes = UnsafeRawBufferPointer(block)
            let first = UnsafeRawBufferPointer(rebasing: bytes[..<4_096])
            let rest = UnsafeRawBufferPointer(rebasing: bytes[4_096...])
            try file.write([first, rest], at: 4_096)
            try file.write([UnsafeRawBufferPointer(rebasing: bytes[1..<100])], at: 40_001)
            let content = [UInt8](
                try Data(contentsOf: URL(filePath: folder.path(of: "log"))))
            #expect(content[0] == 9)
            #expect(Array(content[4_096..<16_384]) == Array(bytes))
            #expect(Array(content[40_001..<40_100]) == Array(bytes[1..<100]))
            #expect(content[16_384..<40_001].allSatisfy { $0 == 0 })
        }
    }

    @Test func `a file system that can't write past its cache does without`() throws {
        let shared = URL(filePath: "/dev/shm")
        guard FileManager.default.isWritableFile(atPath: shared.path) else { return }
        let folder = Folder(shared.appending(path: "kraft-\(UUID().uuidString)").path)
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        try folder.make()
        try folder.prepare("log", sizeBytes: 8_192, header: [1])
        let file = try DurableFile(folder.path(of: "log"))
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 4_096)
        defer { block.deallocate() }
        block.initializeMemory(as: UInt8.self, repeating: 7)
        try file.write([UnsafeRawBufferPointer(block)], at: 4_096)
        let content = [UInt8](try Data(contentsOf: URL(filePath: folder.path(of: "log"))))
        #expect(content.count == 8_192)
        #expect(content[4_096...].allSatisfy { $0 == 7 })
    }
}
