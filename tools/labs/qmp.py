"""QEMU's own control socket, in JSON lines."""

import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labs.recipe import LabError

_TIMEOUT_S = 30
_BUSY = "guest is busy"  # for five seconds after a card was put in, its slot's indicator blinks


class Qmp:
    """One connection; use it in a with block."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            raise LabError(f"QEMU doesn't answer at {path} ({error}): has the lab ended?") from error
        self._lines = self._socket.makefile("rw")
        self._early: list[dict[str, Any]] = []
        self._lines.readline()
        self("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def __call__(self, command: str, **arguments: Any) -> Any:
        """Execute a command and give what it returns."""
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while True:
            answer = self._next(command)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QEMU refused {command}: {answer['error']['desc']}")
            self._early.append(answer)

    def pull(self, device: str) -> None:
        """Take a device out of its slot, as soon as the guest isn't busy with that slot, and wait until it is gone."""
        patient_until = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                self("device_del", id=device)
                break
            except LabError as refused:
                if _BUSY not in str(refused) or time.monotonic() > patient_until:
                    raise
            time.sleep(0.5)
        self.wait_for("DEVICE_DELETED", device)

    def wait_for(self, event: str, device: str) -> None:
        """Wait for an event about a device, one that came before an answer included."""
        while True:
            told = self._early.pop(0) if self._early else self._next(event)
            if told.get("event") == event and told["data"].get("device") == device:
                return

    def _next(self, what: str) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise LabError(f"QEMU said nothing of {what} for {_TIMEOUT_S} s") from None
        if not line:
            raise LabError(f"QEMU ended before {what}")
        answer: dict[str, Any] = json.loads(line)
        return answer
