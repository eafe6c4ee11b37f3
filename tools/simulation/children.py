"""Processes that were started here: each is ended here, by its pid, whatever happens."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_PATIENCE_S = 30
_MB = 1024 * 1024


class Silent(Exception):
    """A process of agents doesn't answer; the text says which, and how it ended."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses: processor seconds since it began, memory in MB, threads and open files at the moment."""

    cpu_s: float
    rss_mb: float
    threads: int
    files: int


def usage(pid: int) -> Usage:
    """Tell what a running process uses."""
    process = psutil.Process(pid)
    with process.oneshot():
        times = process.cpu_times()
        return Usage(
            times.user + times.system, process.memory_info().rss / _MB, process.num_threads(), process.num_fds()
        )


class Child:
    """A program that may be killed and started again. Only the main thread should do so."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self.started_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """
        Start it, in a session of its own so that Ctrl-C is ours to heed.

        It is killed where the thread that starts it ends, so that not even ``kill -9`` of ours leaves it behind.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self.starts += 1
        self.started_s = time.monotonic()

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise Silent(f"{self.name} isn't running")
        return self._process

    @property
    def is_running(self) -> bool:
        """True where it was started, and hasn't ended by itself or otherwise."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_ended(self) -> bool:
        """True where it was started, and has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """End it at this very moment."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def end(self) -> None:
        """Ask it to end, and kill it where it doesn't."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._forget()

    def _forget(self) -> None:
        process = self._running
        process.wait(_PATIENCE_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None


class Holder(Child):
    """A process that holds agents, and answers; see holder.py."""

    def __init__(self, name: str, log: Path) -> None:
        super().__init__(name, log)
        self._heard = b""

    def ask(self, what: str, patience_s: float = _PATIENCE_S) -> Any:
        """Have it do or tell something; see agents.Agents.ask."""
        stdin = self._running.stdin
        if stdin is None:
            raise Silent(f"{self.name} has no stdin")
        try:
            stdin.write(f"{what}\n".encode())
            stdin.flush()
        except BrokenPipeError as error:
            raise self._silent() from error
        return self.hear(patience_s)

    def hear(self, patience_s: float) -> Any:
        """Read its next answer; the first one comes by itself, when it is ready."""
        stdout = self._running.stdout
        if stdout is None:
            raise Silent(f"{self.name} has no stdout")
        deadline = time.monotonic() + patience_s
        while b"\n" not in self._heard:
            ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
            said = os.read(stdout.fileno(), 1 << 20) if ready else b""
            if not said:
                raise self._silent()
            self._heard += said
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def kill(self) -> None:
        """End it at this very moment."""
        super().kill()
        self._heard = b""

    def _silent(self) -> Silent:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._running.wait(1)
        ended = f"it ended with {self._running.poll()}" if not self.is_running else "it runs"
        return Silent(f"{self.name} doesn't answer: {ended}; see {self.log}")
