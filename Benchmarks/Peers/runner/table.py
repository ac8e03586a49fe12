"""The table, in Markdown that reads as plain text too."""

from statistics import median

HEADS = [
    "load", "system", "1,000 writes/s", "CPU µs a write", "p50 ms", "p99 ms", "ours: writes",
    "ours: CPU",
]


def spread(values, unit=1):
    """The median of `values` times `unit`, and between which of them it lies."""
    if not values:
        return "-"
    figures = (min(values), median(values), max(values))
    least, middle, most = (brief(figure * unit) for figure in figures)
    return f"{middle} ({least}–{most})"


def brief(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def ratio(ours, theirs, name):
    """The median of what the rounds say: only what was measured close together is compared."""
    pairs = [
        getattr(our, name) / getattr(their, name)
        for our, their in zip(ours.results, theirs.results)
        if our and their and getattr(their, name) > 0
    ]
    return f"{brief(median(pairs))} ×" if pairs else "-"


def table(lines):
    ours = {line.work: line for line in lines if line.system.name == "kraft"}
    rows = []
    for line in lines:
        row = [line.work.words, line.system.name]
        if line.missing:
            rows.append(row + [f"not measured: {line.missing}"] + [""] * 5)
            continue
        row += [
            spread(line.values("writes_per_second"), 1e-3),
            spread(line.values("cpu_us_per_write")),
            spread(line.values("p50_us"), 1e-3),
            spread(line.values("p99_us"), 1e-3),
        ]
        our = ours.get(line.work)
        if our is None or our is line:
            row += ["", ""]
        else:
            row += [ratio(our, line, "writes_per_second"), ratio(our, line, "cpu_us_per_write")]
        rows.append(row)
    return _aligned(rows)


def _aligned(rows):
    # A remark in place of figures takes as much room as it needs, not its column.
    regular = [row for row in rows if not row[2].startswith("not measured")]
    widths = [
        max([len(head)] + [len(row[place]) for row in (rows if place < 2 else regular)])
        for place, head in enumerate(HEADS)
    ]

    def show(cells):
        words = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths))
        ]
        return "| " + " | ".join(words) + " |"

    marks = [
        "-" * width if place < 2 else "-" * (width - 1) + ":" for place, width in enumerate(widths)
    ]
    return "\n".join([show(HEADS), show(marks)] + [show(row) for row in rows])
