"""Processes and folders that never outlive a measurement."""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
SECONDS_TO_TIDY_UP = 10
_libc = ctypes.CDLL(None, use_errno=True)


class MeasureError(Exception):
    """A measurement could not be made."""


class Place:
    """A temporary folder and the processes that work in it: `with Place(parent) as place`."""

    def __init__(self, parent):
        self.folder = tempfile.mkdtemp(prefix="kraft-peers-", dir=parent)
        self.processes = []
        # Of those, the ones that have something to tidy up.
        self.asked_to_end = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.asked_to_end:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                process.terminate()
                process.wait(timeout=SECONDS_TO_TIDY_UP)
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in self.processes:
            process.wait()
            for stream in (process.stdin, process.stdout):
                # What was still to be said to a process that is dead is of no use.
                with contextlib.suppress(OSError):
                    if stream:
                        stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_folder(self, name):
        path = os.path.join(self.folder, name)
        os.mkdir(path)
        return path

    def log(self, name):
        """The last lines that process `name` left in its log, in one."""
        with contextlib.suppress(OSError):
            with open(os.path.join(self.folder, name + ".log"), errors="replace") as file:
                return " / ".join(line.strip() for line in file.readlines()[-3:])
        return ""

    def start(self, name, arguments, tidies_up=False, **streams):
        """Starts a process; what it complains of goes into its log in the folder. One that tidies
        up is asked to end, when it's time for that, before it is ended."""
        with open(os.path.join(self.folder, name + ".log"), "wb") as log:
            process = subprocess.Popen(
                arguments, stderr=log, preexec_fn=_die_with_parent, **streams)
        self.processes.append(process)
        if tidies_up:
            self.asked_to_end.append(process)
        return process


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Speaker:
    """A process that is told orders and answers with a line of JSON: see common/orders.h."""

    def __init__(self, place, name, arguments):
        self.place = place
        self.name = name
        self.process = place.start(
            name, arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pending = b""

    def say(self, word):
        try:
            self.process.stdin.write(word.encode() + b"\n")
        except OSError as error:
            raise MeasureError(f"{self.name} has ended: {self._last_words()}") from error

    def answer(self, seconds):
        """The next answer, within `seconds`."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.pending:
                if not selector.select(max(0, deadline - time.monotonic())):
                    raise MeasureError(f"{self.name} gives no answer within {seconds:.0f} s")
                piece = os.read(self.process.stdout.fileno(), 4096)
                if not piece:
                    raise MeasureError(f"{self.name} has ended: {self._last_words()}")
                self.pending += piece
        line, self.pending = self.pending.split(b"\n", 1)
        answer = json.loads(line)
        if "error" in answer:
            raise MeasureError(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self):
        # An error that it told last may still lie in the pipe.
        with contextlib.suppress(OSError):
            self.pending += os.read(self.process.stdout.fileno(), 4096)
        words = self.pending.decode(errors="replace").strip()
        return words or self.place.log(self.name) or "it said nothing"


def free_ports(count):
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def cpu_seconds(process):
    """User and system time that a process has used, all its threads, those that ended too."""
    # What clock_getcpuclockid(3) makes of a process id on Linux.
    return time.clock_gettime((~process.pid << 3) | 2)


def wait_until(what, seconds, condition):
    """What `condition` returns once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise MeasureError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)
