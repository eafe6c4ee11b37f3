"""What the lab says when it can't: the cause, and the log's tail; nothing is left running."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from labs import recipe
from labs.guest import Lab
from labs.hardware import Hardware
from labs.recipe import LabError

TOOL = str(Path(__file__).resolve().parents[2] / "tools/lab")


def folder(name: str) -> Path:
    return recipe.CACHE / "run" / f"{name}-{os.getpid()}"


def test_hardware_that_qemu_refuses_is_told_in_its_words(lab: Lab) -> None:
    assert lab.console.exists()
    with pytest.raises(LabError, match=r"QEMU ended with 1:\n.*addr"):
        Lab.create(folder("crowded"), Hardware(pf=80, nodes=1))
    assert not folder("crowded").exists()


def test_a_guest_that_does_not_come_up_is_told_with_its_consoles_tail(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert lab.console.exists()
    nothing = tmp_path / "initrd"
    nothing.write_bytes(b"")
    built = recipe.find()
    broken = recipe.Build(built.kernel, nothing, built.image, built.python)
    monkeypatch.setattr(recipe, "find", lambda: broken)
    with pytest.raises(LabError, match=r"(?s)the guest didn't come up.*Kernel panic"):
        Lab.create(folder("broken"), Hardware(pf=0, vfs=0, nodes=1))
    assert not folder("broken").exists()


def test_a_command_that_fails_or_takes_too_long_is_told(lab: Lab) -> None:
    with pytest.raises(LabError, match="(?s)ended with 2:.*nowhere"):
        lab.run("ls /nowhere")
    with pytest.raises(LabError, match=r"took longer than 1 s"):
        lab.run("sleep 30", timeout_s=1)
    assert lab.run("echo still here") == "still here\n"


def test_a_lab_that_is_not_there_is_told_with_the_cure() -> None:
    ran = subprocess.run(
        [TOOL, "run", "--name", "nobody", "true"], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 1
    assert "tools/lab up starts one" in ran.stderr


def test_an_answer_that_nobody_waited_for_is_nobodys(lab: Lab) -> None:
    command = [TOOL, "run", "--name", lab.folder.name, "sleep 2; echo late"]
    impatient = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    impatient.send_signal(signal.SIGKILL)
    impatient.wait(10)
    for word in ("first", "second"):
        assert lab.run(f"echo {word}") == f"{word}\n"


def test_options_of_a_command_are_the_commands(lab: Lab) -> None:
    command = [TOOL, "run", "--name", lab.folder.name, "ls", "-d", "/proc"]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "/proc\n"
