/// Names a change of a group's members, on every node alike.
///
/// Its text form is the group's name, `@`, and where the change's first entry stands: term and
/// index, with a dot between.
public struct ChangeID: Hashable, Sendable, CustomStringConvertible {
    public let group: GroupName
    public let position: EntryPosition

    public init(group: GroupName, position: EntryPosition) {
        self.group = group
        self.position = position
    }

    /// Nil for what `description` could not have written.
    public init?(_ text: String) {
        guard let at = text.lastIndex(of: "@"), let group = GroupName(String(text[..<at])) else {
            return nil
        }
        let numbers = text[text.index(after: at)...].split(
            separator: ".", omittingEmptySubsequences: false)
        guard numbers.count == 2, let term = UInt64(numbers[0]), let index = UInt64(numbers[1])
        else { return nil }
        self.init(group: group, position: .init(index: LogIndex(index), term: Term(term)))
    }

    public var description: String { "\(group)@\(position.term).\(position.index)" }
}
