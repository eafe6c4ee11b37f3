"""
Runs commands in the guest, one at a time, for labs.guest on the host.

Reads a JSON line {"command": text, "timeout": seconds} from the serial port and writes one back: {"code",
"stdout", "stderr"}; code is null where the time ran out.
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
            pending += data
            line, newline, rest = pending.partition(b"\n")
            if newline:
                pending = rest
                asked = json.loads(line)
                answer = json.dumps(run(asked["command"], asked["timeout"])).encode() + b"\n"
                while answer:
                    answer = answer[channel.write(answer) :]


if __name__ == "__main__":
    main(sys.argv[1])
