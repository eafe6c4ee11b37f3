"""
One running lab: starts its QEMU, runs commands in it, pulls and puts back cards, stops it.

All that a lab has lies in its own folder, and its sockets in another one with a short name; nothing has a
fixed name, so labs run side by side. What the guest writes to its disk stays over a reboot and goes with the
lab.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from labs import recipe
from labs.hardware import Hardware, arguments, pf_device
from labs.qmp import Qmp
from labs.recipe import LabError

_BOOT_S = 120
_TAIL = 25


class Lab:
    """The lab in *folder*; made by *create* or *find*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, hardware: Hardware) -> Self:
        """Make and start a lab, and return when commands can be run in it."""
        if folder.exists():
            raise LabError(f"there is a lab in {folder} already: tools/lab down ends it, --name makes another")
        build = recipe.find()
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        if build.python != ours:
            raise LabError(f"the guest has Python {build.python} and .venv {ours}: make .venv with the same one")
        folder.mkdir(parents=True)
        lab = cls(folder)
        try:
            _make_disk(build.image, folder / "disk.qcow2")
            sockets = tempfile.mkdtemp(prefix="pci-lab-", dir="/tmp")
            lab._keep({"sockets": sockets, "hardware": hardware.as_json(), "pid": None})
            lab._start()
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def find(cls, folder: Path) -> Self:
        """Give the lab that was made in *folder* before."""
        if not (folder / "lab.json").is_file():
            raise LabError(f"there is no lab in {folder}: tools/lab up starts one")
        return cls(folder)

    # What it is

    @property
    def hardware(self) -> Hardware:
        """What the guest was started with."""
        return Hardware(**self._kept()["hardware"])

    @property
    def console(self) -> Path:
        """Everything that the guest's kernel and first process printed."""
        return self.folder / "console.log"

    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads((self.folder / "lab.json").read_text())
        return kept

    def _keep(self, kept: dict[str, Any]) -> None:
        (self.folder / "lab.json").write_text(json.dumps(kept))

    def _socket(self, name: str) -> Path:
        return Path(self._kept()["sockets"]) / name

    # Starting and stopping

    def _start(self) -> None:
        kept = self._kept()
        with (self.folder / "qemu.log").open("ab") as log:
            process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._keep({**kept, "pid": process.pid})
        self._wait(lambda: self._ready(process), f"the guest didn't come up in {_BOOT_S} s")

    def _ready(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            said = _tail(self.folder / "qemu.log") or _tail(self.console)
            raise LabError(f"the guest didn't come up, QEMU ended with {process.returncode}:\n{said}")
        lines = _tail(self.console).splitlines()
        if any("FAILED" in line or "Kernel panic" in line for line in lines):
            raise LabError(f"the guest didn't come up; {self.console} ends:\n{_tail(self.console)}")
        return any("] ready" in line for line in lines)

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _BOOT_S
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"{otherwise}; {self.console} ends:\n{_tail(self.console)}")
            time.sleep(0.1)

    def _command(self) -> list[str]:
        build, hardware = recipe.find(), self.hardware
        line = (
            "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check intel_iommu=on iommu=pt random.trust_cpu=on"
            f" lab.vfs={hardware.vfs} lab.hostname={self.folder.name}"
        )
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512"]
        command += ["-machine", "q35,kernel-irqchip=split", "-cpu", "qemu64"]
        command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-kernel", str(build.kernel), "-initrd", str(build.initrd), "-append", line]
        command += ["-drive", f"if=none,id=disk,file={self.folder}/disk.qcow2,format=qcow2,cache=unsafe"]
        command += ["-device", "virtio-blk-pci,drive=disk,bus=pcie.0"]
        command += ["-netdev", "user,id=host", "-device", "virtio-net-pci,netdev=host,bus=pcie.0"]
        command += ["-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"]
        command += ["-device", "virtio-serial-pci,bus=pcie.0"]
        command += ["-chardev", f"socket,id=lab,path={self._socket('lab')},server=on,wait=off"]
        command += ["-device", "virtserialport,chardev=lab,name=lab"]
        command += ["-qmp", f"unix:{self._socket('qmp')},server=on,wait=off"]
        for tag, place in (("project", recipe.PROJECT), ("site", _site_packages())):
            share = f"local,path={place},mount_tag={tag},security_model=none,readonly=on,multidevs=remap"
            command += ["-virtfs", share]
        return [*command, *arguments(hardware)]

    def down(self) -> None:
        """End the lab and all that it wrote, but for the console's log, which moves beside its folder."""
        if (self.folder / "lab.json").is_file():
            kept = self._kept()
            self._end(kept["pid"])
            shutil.rmtree(kept["sockets"], ignore_errors=True)
        if self.console.exists():
            shutil.copy(self.console, self.folder.with_suffix(".console.log"))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, pid: int | None) -> None:
        """End QEMU, if that is still what has this number."""
        if pid is None or str(self.folder).encode() not in _command_line(pid):
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while _command_line(pid) and time.monotonic() < deadline:
            _reap(pid)
            time.sleep(0.05)
        if _command_line(pid):
            os.kill(pid, signal.SIGKILL)
            _reap(pid)

    def reboot(self, *, card_below: bool = False) -> None:
        """Stop the guest cleanly and start it again, perhaps with one more card on a lower bus."""
        recipe.find()
        self.run("sync; mount -o remount,ro /; sync")
        kept = self._kept()
        self._end(kept["pid"])
        self.console.rename(self.folder / "console.before.log")
        hardware = replace(self.hardware, card_below=card_below)
        self._keep({**kept, "hardware": hardware.as_json(), "pid": None})
        self._start()

    # Using it

    def run(self, command: str, *, timeout_s: float = 120) -> str:
        """
        Run a command in the guest and give what it printed.

        Raises:
            LabError: it failed, or took too long; with what it said on stderr.
        """
        told = self.try_run(command, timeout_s=timeout_s)
        if told["code"] != 0:
            what = f"ended with {told['code']}" if told["code"] is not None else f"took longer than {timeout_s} s"
            raise LabError(f"{command!r} {what}:\n{told['stderr'] or told['stdout']}")
        return str(told["stdout"])

    def try_run(self, command: str, *, timeout_s: float = 120) -> dict[str, Any]:
        """Run a command in the guest; give code (None where the time ran out), stdout and stderr."""
        asked = {"id": secrets.token_hex(8), "command": command, "timeout": timeout_s}
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(timeout_s + 10)
            try:
                channel.connect(str(self._socket("lab")))
                channel.sendall(b"\n" + json.dumps(asked).encode() + b"\n")
                return self._answer(channel.makefile("rb"), asked["id"])
            except OSError as error:
                raise LabError(f"the guest doesn't answer ({error}); {self._last_words()}") from error

    def _answer(self, lines: Iterable[bytes], wanted: object) -> dict[str, Any]:
        """Find the answer among those that somebody who went away has left behind."""
        for line in lines:
            try:
                told: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            if told.get("id") == wanted:
                return told
        raise LabError(f"the guest is gone; {self._last_words()}")

    def _last_words(self) -> str:
        return f"{self.console} ends:\n{_tail(self.console)}\n{_tail(self.folder / 'qemu.log')}"

    def unplug(self, pf: int) -> None:
        """Pull a card out, without asking the guest's leave."""
        with Qmp(self._socket("qmp")) as qmp:
            qmp.pull(f"pf{pf}")

    def plug(self, pf: int) -> None:
        """Put a card that was pulled out back into its slot."""
        with Qmp(self._socket("qmp")) as qmp:
            qmp("device_add", **pf_device(pf))


def _make_disk(image: Path, disk: Path) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image), str(disk)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise LabError(f"the lab's disk can't be made: {made.stderr.strip()}")


def _site_packages() -> str:
    """Give the virtual environment's packages, which the guest's Python has to be able to load."""
    return next(path for path in sys.path if path.endswith("site-packages"))


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _tail(path: Path) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-_TAIL:])
    except OSError:
        return ""
