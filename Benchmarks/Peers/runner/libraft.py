"""libraft: three nodes of libraft/node.c, the clients on the loop of the one that leads."""

import os
import time

from .processes import Place, Speaker, free_ports, wait_until
from .work import Result

NODES = 3
# Snapshots of so small a state machine only cost libraft time, and its log fits in memory.
NO_SNAPSHOTS = 2**32 - 1


class Libraft:
    def __init__(self, executable, gathers):
        self.executable = executable
        self.gathers = gathers
        self.name = "libraft, gathered" if gathers else "libraft, one by one"

    def missing(self):
        if not os.access(self.executable, os.X_OK):
            return "libraft-dev isn't installed, or our node wasn't built"
        return None

    def measure(self, work, settings):
        with Place(settings.data_dir) as place:
            nodes = self._start(place, work)
            leader = nodes[0]
            # The only thing that it can say by itself.
            leader.answer(settings.limit)
            leader.say("load")
            time.sleep(settings.warmup)
            before = _marks(nodes, settings)
            time.sleep(settings.seconds)
            after = _marks(nodes, settings)
            leader.say("stop")
            acknowledged = leader.answer(settings.limit)["acknowledged"]

            def all_applied():
                marks = _marks(nodes, settings)
                return marks if all(mark["applied"] >= acknowledged for mark in marks) else None

            final = wait_until("a write on all nodes", settings.limit, all_applied)
        return _result(before, after, acknowledged, final)

    def _start(self, place, work):
        addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(NODES))
        return [
            Speaker(place, f"node {number}", [
                self.executable, str(number), addresses, place.make_folder(str(number)),
                str(work.in_flight), str(work.payload), "turn" if self.gathers else "one",
                str(NO_SNAPSHOTS),
            ])
            for number in range(1, NODES + 1)
        ]


def _marks(nodes, settings):
    for node in nodes:
        node.say("mark")
    return [node.answer(settings.limit) for node in nodes]


def _result(before, after, acknowledged, final):
    writes = after[0]["measured"]
    nanoseconds = after[0]["clock_ns"] - before[0]["clock_ns"]
    cpu = sum(end["cpu_us"] - start["cpu_us"] for start, end in zip(before, after))
    problems = []
    for number, mark in enumerate(final, 1):
        if mark["applied"] != acknowledged:
            problems.append(f"node {number} applied {mark['applied']} of {acknowledged} writes")
        if mark["wrong"]:
            problems.append(f"node {number} applied {mark['wrong']} writes wrongly")
    if len({mark["order"] for mark in final}) != 1:
        problems.append("the nodes applied different writes")
    if writes == 0:
        problems.append("nothing was written")
    return Result(
        writes_per_second=writes * 1e9 / nanoseconds, cpu_us_per_write=cpu / max(1, writes),
        p50_us=after[0]["p50_us"], p99_us=after[0]["p99_us"], problems=problems)
