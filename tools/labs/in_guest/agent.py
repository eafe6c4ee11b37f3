"""
Runs commands in the guest, one at a time, for labs.guest on the host.

Reads a JSON line {"id", "command": text, "timeout": seconds} from the serial port and writes one back: {"id",
"code", "stdout", "stderr"}; code is null where the time ran out. A line that is none, such as the rest of one
whose sender went away, is dropped.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

_UNTIL_THE_HOST_COMES_S = 0.05  # a port that nobody has open reads as empty, at once


def run(command: str, timeout: float) -> dict[str, Any]:
    """Run a command with sh; what it leaves in the background goes on."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        told = []
        for stream in (out, err):
            stream.seek(0)
            told.append(stream.read().decode(errors="replace"))
    return {"code": code, "stdout": told[0], "stderr": told[1]}


def main(port: str) -> None:
    """Answer until the host closes the port, and then again."""
    with open(port, "r+b", buffering=0) as channel:
        pending = b""
        while True:
            data = channel.read(65536)
            if not data:
                time.sleep(_UNTIL_THE_HOST_COMES_S)
                continue
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                answer(channel, line)


def answer(channel: Any, line: bytes) -> None:
    """Run what a line asks for and write the answer; a line that asks for nothing is dropped."""
    try:
        asked = json.loads(line)
    except ValueError:
        return
    told = {"id": asked["id"], **run(asked["command"], asked["timeout"])}
    rest = b"\n" + json.dumps(told).encode() + b"\n"
    while rest:
        rest = rest[channel.write(rest) :]


if __name__ == "__main__":
    main(sys.argv[1])
