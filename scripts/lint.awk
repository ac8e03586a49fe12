# Rules of scripts/lint that read Swift line by line. Prints path:line: [rule] what.
# Variables: root (cut from the paths), lineLimit (lines of one file).
#
# Comments and string literals are blanked first, so that only code is judged.

function fail(rule, what) { print path ":" FNR ": [" rule "] " what }

# Whether `text` holds `word` as a whole word.
function has(text, word) {
    return match(text, "(^|[^A-Za-z0-9_])" word "($|[^A-Za-z0-9_])")
}

# Whether `text` holds a word, spaces, and one of the characters `follow`.
function has_before(text, word, follow) {
    return match(text, "(^|[^A-Za-z0-9_])" word " *[" follow "]")
}

# The line without its comment and the insides of its strings. (The formatter refuses block
# comments, so none are looked for.)
function code_of(line,    out, at) {
    out = ""
    while (line != "") {
        if (inText) {
            at = index(line, "\"\"\"")
            if (at == 0) break
            inText = 0
            line = substr(line, at + 3)
        } else if (substr(line, 1, 2) == "//") {
            break
        } else if (substr(line, 1, 3) == "\"\"\"") {
            inText = 1
            line = substr(line, 4)
        } else if (substr(line, 1, 1) == "\"") {
            # One string: up to the next quote that no backslash precedes.
            if (!match(substr(line, 2), /^([^"\\]|\\.)*"/)) break
            out = out "\"\""
            line = substr(line, 2 + RLENGTH)
        } else {
            at = match(substr(line, 2), /["\/]/)
            if (at == 0) return out line
            out = out substr(line, 1, at)
            line = substr(line, at + 1)
        }
    }
    return out
}

# Which of our modules a target may import. An empty answer means none.
function allowed(target) {
    if (target == "RaftCore") return " "
    if (target == "KraftRouting") return " CXXHash "
    if (target == "KraftEngine") return " RaftCore KraftRouting CXXHash "
    if (target == "KraftKeyValue") return " KraftEngine KraftRouting RaftCore CXXHash "
    if (target == "KraftTestKit") return " KraftEngine KraftRouting RaftCore "
    if (target == "KraftLoop") return " CKraftUV CLibuv "
    if (target == "KraftMultiRaft") return " KraftEngine KraftRouting RaftCore KraftLoop "
    if (target == "KraftAdmin")
        return " KraftMultiRaft KraftKeyValue KraftEngine KraftRouting RaftCore "
    if (target == "kraft-node")
        return " KraftAdmin KraftMultiRaft KraftKeyValue KraftEngine KraftRouting RaftCore "
    if (target == "kraft-sim")
        return " KraftTestKit KraftKeyValue KraftEngine KraftRouting RaftCore "
    if (target == "kraft-chaos") return " KraftTestKit "
    if (target == "kraft-bench")
        return " KraftMultiRaft KraftKeyValue KraftEngine KraftRouting RaftCore "
    if (target == "kraft-guard") return " KraftEngine KraftRouting RaftCore "
    return ""
}

function is_ours(module) {
    return module ~ /^(RaftCore|Kraft[A-Za-z]*|CKraftUV|CLibuv|CXXHash)$/ \
        || module ~ /^kraft_(node|bench|guard)$/
}

# Libraries that are values themselves: no IO, clock, dice or unordered iteration.
function is_value_library(module) { return module ~ /^(DequeModule)$/ }

FNR == 1 {
    path = FILENAME
    if (index(path, root "/") == 1) path = substr(path, length(root) + 2)
    parts = split(path, part, "/")
    target = (part[1] == "Sources" || part[1] == "Benchmarks") && parts > 2 ? part[2] : ""
    isValue = target ~ /^(RaftCore|KraftRouting|KraftEngine|KraftKeyValue|KraftTestKit)$/
    isOrdered = target ~ /^(RaftCore|KraftRouting|KraftEngine|KraftKeyValue)$/
    inText = 0
    marked = 0
    if (target != "" && allowed(target) == "")
        fail("import-direction", "target " target " is unknown to scripts/lint.awk")
}

FNR == lineLimit + 1 { fail("file-length", "over " lineLimit " lines: split it") }

/(fatalError|preconditionFailure)\("TODO/ { fail("todo-trap", "a part that isn't built") }

{
    # A reason on the line itself, or alone on the line before.
    ordered = ($0 ~ /\/\/ ordered: [^ ]/) || marked
    marked = ($0 ~ /^ *\/\/ ordered: [^ ]/)
    code = code_of($0)
}

{
    module = code
    sub(/^ *(@[A-Za-z_]+(\([A-Za-z, ]*\))? +)*/, "", module)
    sub(/^(public|package|internal|fileprivate|private) +/, "", module)
}

module ~ /^import / {
    sub(/^import +((struct|class|enum|protocol|func|var|let|typealias) +)?/, "", module)
    sub(/[^A-Za-z0-9_].*$/, "", module)

    if (module ~ /^(CLibuv|CKraftUV)$/ && target != "KraftLoop")
        fail("libuv", "only KraftLoop imports " module)
    else if (target != "" && is_ours(module) && !index(allowed(target), " " module " "))
        fail("import-direction", target " must not import " module)
    else if (isValue && !is_ours(module) && !is_value_library(module))
        fail("value-import", target " is made of values: it must not import " module)
    else if (target != "" && module ~ /^(Hummingbird|HummingbirdCore|HummingbirdTesting)$/ \
        && target !~ /^(KraftAdmin|kraft-node)$/)
        fail("import-direction", "Hummingbird stays in KraftAdmin and kraft-node")
}

isValue {
    n = split("Task TaskGroup async await actor DispatchQueue Thread", words, " ")
    for (i = 1; i <= n; i++) if (has(code, words[i])) fail("value-task", words[i])
    n = split("ContinuousClock SuspendingClock clock_gettime gettimeofday mach_absolute_time", \
        words, " ")
    for (i = 1; i <= n; i++) if (has(code, words[i])) fail("value-clock", words[i])
    if (has_before(code, "Date", "(")) fail("value-clock", "Date()")
    n = split("SystemRandomNumberGenerator UUID arc4random drand48 hashValue", words, " ")
    for (i = 1; i <= n; i++) if (has(code, words[i])) fail("value-random", words[i])
    if (has_before(code, "Hasher", "(")) fail("value-random", "Hasher() has a seed of each process")
    if (code ~ /[^A-Za-z0-9_](random|randomElement|shuffled?) *\( *\)/ \
        || (code ~ /[^A-Za-z0-9_]random *\(in:/ && code !~ /using:/))
        fail("value-random", "no seeded generator: say using: on the same line")
}

isOrdered && !ordered {
    if (has(code, "Dictionary")) fail("unordered", "Dictionary")
    if (has_before(code, "Set", "<(")) fail("unordered", "Set")
    if (code ~ /\[ *[A-Z][A-Za-z0-9_.]*(<[^]]*>)?[?]? *: *[A-Z(\[]/) fail("unordered", "[K: V]")
    if (code ~ /\[ *: *\]/) fail("unordered", "[:]")
}
