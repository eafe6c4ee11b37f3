"""Measures the memory of an agent as systemd runs it, on a host's sysfs and without a libvirt or a broker."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from benches.side import PATH

_PATIENCE_S = 60
_TWO_LOOKS_S = 3


def memory(root: str, folder: str, values: list[str]) -> tuple[float, float]:
    """
    Start an agent, wait until it has looked twice, and end it.

    Returns:
        What is resident then, and the most that ever was, in MB (a million bytes).
    """
    configuration = Path(folder) / "pci-agent.conf"
    specs = "".join(f"device_spec = {value}\n" for value in values)
    configuration.write_text(
        "[DEFAULT]\nhost = bench\ntransport_url = fake://\n"
        f"[agent]\nlibvirt_uri =\nstate_dir = {folder}/state\nsysfs_root = {root}\nlook_interval_s = 1\n[pci]\n{specs}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(f"{folder}/notify")
        notified.settimeout(_PATIENCE_S)
        command = [str(Path(sys.executable).parent / "pci-agent"), "--config-file", str(configuration)]
        environment = {**os.environ, "PYTHONPATH": PATH, "NOTIFY_SOCKET": f"{folder}/notify"}
        with (
            (Path(folder) / "log").open("wb") as log,
            subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
        ):
            try:
                while b"READY=1" not in notified.recv(65536):
                    pass
                time.sleep(_TWO_LOOKS_S)
                said = Path(f"/proc/{process.pid}/status").read_text()
            finally:
                process.terminate()
    resident, most = (re.search(rf"^{name}:\s+(\d+) kB", said, re.MULTILINE) for name in ("VmRSS", "VmHWM"))
    if resident is None or most is None:
        raise RuntimeError("the kernel doesn't tell the agent's memory")
    return int(resident[1]) * 1024 / 1e6, int(most[1]) * 1024 / 1e6
