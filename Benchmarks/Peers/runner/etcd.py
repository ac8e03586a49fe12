"""etcd: three etcd-servers, and etcd/load.c as their client."""

import http.client
import json
import os
import shutil
import subprocess
import time

from .processes import MeasureError, Place, Speaker, cpu_seconds, free_ports, wait_until
from .work import Result

MEMBERS = 3
KEYS = 1024
# One HTTP/2 connection carries many calls.
CALLS_OF_CONNECTION = 16


class Etcd:
    name = "etcd"

    def __init__(self, client):
        self.client = client
        self.executable = shutil.which("etcd")

    def missing(self):
        if not self.executable:
            return "etcd-server isn't installed"
        if not os.access(self.client, os.X_OK):
            return "our client for it wasn't built"
        return None

    def measure(self, work, settings):
        with Place(settings.data_dir) as place:
            peers, clients = free_ports(MEMBERS), free_ports(MEMBERS)
            members = self._start(place, peers, clients)
            leader = wait_until(
                "a leader of etcd", settings.limit, lambda: _leader(place, members, clients))
            load = Speaker(place, "etcd-load", [
                self.client, str(leader), str(work.in_flight),
                str(max(1, work.in_flight // CALLS_OF_CONNECTION)), str(work.payload), str(KEYS),
            ])
            load.answer(settings.limit)
            load.say("load")
            time.sleep(settings.warmup)
            before, cpu_before = _mark(load, members, settings)
            time.sleep(settings.seconds)
            after, cpu_after = _mark(load, members, settings)
            load.say("stop")
            acknowledged = load.answer(settings.limit)["acknowledged"]
            problems = _check(clients, acknowledged, settings)
        return _result(before, after, cpu_after - cpu_before, problems)

    def _start(self, place, peers, clients):
        def url(port):
            return f"http://127.0.0.1:{port}"

        cluster = ",".join(f"member{number}={url(port)}" for number, port in enumerate(peers))
        return [
            place.start(f"etcd {number}", [
                self.executable, "--name", f"member{number}",
                "--data-dir", os.path.join(place.folder, str(number)),
                "--listen-peer-urls", url(peers[number]),
                "--initial-advertise-peer-urls", url(peers[number]),
                "--listen-client-urls", url(clients[number]),
                "--advertise-client-urls", url(clients[number]),
                "--initial-cluster", cluster, "--initial-cluster-token", place.folder,
                "--logger", "zap", "--log-level", "error",
            ], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for number in range(MEMBERS)
        ]


def _ask(port, path, question):
    """Asks a member over HTTP; nothing of what is measured goes that way."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(
            "POST", path, json.dumps(question), {"Content-Type": "application/json"})
        return json.load(connection.getresponse())
    finally:
        connection.close()


def _leader(place, members, clients):
    """The client port of the member that leads, once all know it."""
    for number, member in enumerate(members):
        if member.poll() is not None:
            raise MeasureError(f"etcd {number} has ended: {place.log(f'etcd {number}')}")
    try:
        answers = [_ask(port, "/v3/maintenance/status", {}) for port in clients]
    except (OSError, ValueError, http.client.HTTPException):
        return None
    ids = [answer.get("header", {}).get("member_id") for answer in answers]
    leaders = {answer.get("leader") for answer in answers}
    if len(leaders) != 1 or not leaders <= set(ids):
        return None
    return clients[ids.index(leaders.pop())]


def _mark(load, members, settings):
    load.say("mark")
    answer = load.answer(settings.limit)
    return answer, sum(cpu_seconds(member) for member in members)


def _check(clients, acknowledged, settings):
    """Each put counts up the version of its key: all of them once, on each member."""
    problems = []
    every_key = {"key": "AA==", "range_end": "AA==", "keys_only": True, "serializable": True}
    for number, port in enumerate(clients):
        def versions(port=port):
            answer = _ask(port, "/v3/kv/range", every_key)
            return sum(int(pair["version"]) for pair in answer.get("kvs", []))

        deadline = time.monotonic() + settings.limit
        while (count := versions()) < acknowledged and time.monotonic() < deadline:
            time.sleep(0.05)
        if count != acknowledged:
            problems.append(f"etcd {number} applied {count} of {acknowledged} puts")
    return problems


def _result(before, after, cpu, problems):
    puts = after["measured"]
    if puts == 0:
        problems.append("nothing was put")
    return Result(
        writes_per_second=puts * 1e9 / (after["clock_ns"] - before["clock_ns"]),
        cpu_us_per_write=cpu * 1e6 / max(1, puts), p50_us=after["p50_us"], p99_us=after["p99_us"],
        problems=problems,
        more={"client_cpu_us_per_write": (after["cpu_us"] - before["cpu_us"]) / max(1, puts)})
