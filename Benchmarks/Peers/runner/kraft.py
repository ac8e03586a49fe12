"""Ours: kraft-bench, which starts its own nodes and checks them."""

import json
import subprocess

from .processes import MeasureError, Place
from .work import Result


class Kraft:
    name = "kraft"

    def __init__(self, executable):
        self.executable = executable
        # Of the disk and the machine, as the last run told it.
        self.machine = {}

    def missing(self):
        return None

    def measure(self, work, settings):
        arguments = [
            self.executable, "writes", "--json", "--groups", str(work.groups),
            "--in-flight", str(work.in_flight), "--payload", str(work.payload),
            "--leaders", "one" if work.groups == 1 else "spread",
            "--seconds", str(settings.seconds), "--warmup", str(settings.warmup),
        ]
        with Place(settings.data_dir) as place:
            process = place.start(
                "kraft-bench", arguments + ["--data-dir", place.folder], tidies_up=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            try:
                output, _ = process.communicate(
                    timeout=settings.seconds + settings.warmup + 2 * settings.limit)
            except subprocess.TimeoutExpired:
                raise MeasureError("kraft-bench takes too long") from None
            if process.returncode != 0 and not output.strip():
                raise MeasureError(f"kraft-bench: {place.log('kraft-bench')}")
        return self._result(json.loads(output))

    def _result(self, output):
        # One run, bare or as the only one of a series.
        report = output.get("runs", [output])[0]
        self.machine = report["machine"]
        latency = report["latencyMicroseconds"]
        limits = report.get("limits")
        disk = limits["fdatasync"] if limits else report["fdatasyncMicroseconds"]
        return Result(
            writes_per_second=report["writesPerSecond"],
            cpu_us_per_write=report["cpuMicrosecondsPerWrite"],
            p50_us=latency["p50"], p99_us=latency["p99"],
            problems=list(report["check"]["problems"]),
            more={
                "fdatasync_p50_us": disk["p50"], "fdatasync_p99_us": disk["p99"],
                "percent_used_by_others": report["percentUsedByOthers"],
            })
