# Reads a mutant, then the file that it is for, and prints that file with the mutant applied.
#
#   awk -v field=expect -f apply.awk NAME.mutant          prints one field of its head
#   awk -f apply.awk NAME.mutant Sources/…/File.swift     prints the mutated file
#
# A mutant is a head of "field: value" lines (a value goes on where a line is indented), then
# "--- find", the whole lines to be found, "--- replace" and what stands there instead, "--- end".
# Exit 1, and the reason on standard error, unless the lines are found exactly once.

function fail(reason) {
    printf "%s: %s\n", mutant, reason | "cat >&2"
    failed = 1
    exit 1
}

BEGIN { part = "head"; find = replacement = text = "\n" }

NR != FNR { text = text $0 "\n"; next }
{ mutant = FILENAME }
/^--- (find|replace|end)$/ { part = $2; next }
part == "find" { find = find $0 "\n"; next }
part == "replace" { replacement = replacement $0 "\n"; next }
part == "head" && match($0, /^[a-z]+: */) {
    last = $0
    sub(/:.*/, "", last)
    head[last] = substr($0, RLENGTH + 1)
    next
}
part == "head" && last != "" && match($0, /^ +/) {
    head[last] = head[last] " " substr($0, RLENGTH + 1)
    next
}
$0 != "" { fail("line " FNR " is neither a field nor a part") }

END {
    if (failed) exit 1
    if (field != "") {
        print head[field]
        exit 0
    }
    if (part != "end" || find == "\n") fail("it has no --- find … --- end")
    if (find == replacement) fail("it changes nothing")
    # Searched with the line end before it, so that only whole lines are found.
    place = index(text, find)
    if (place == 0) fail("its lines are not in " head["file"])
    behind = place + length(find) - 1
    if (index(substr(text, behind), find) > 0) fail("its lines stand twice in " head["file"])
    printf "%s", substr(substr(text, 1, place - 1) replacement substr(text, behind + 1), 2)
}
