"""
docs/tutorial.md is done as it stands: each command in turn, in one shell, beside a real instance.

What it prints must be what the page says, but for what differs each time (uuids, ids, times, how wide a table is); a …
on the page stands for anything.
"""

import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services import as_nobody, free_port, wait_for

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/tutorial.md"
_DIFFERS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
    (re.compile(r"\b\d{7,10}\b"), "<id>"),
    (re.compile(r"-{2,}"), "--"),
    (re.compile(r"\s+"), " "),
)
_END = "that was it, with code"


@dataclass(frozen=True)
class Step:
    """A command of the page, and what the page says it prints."""

    command: str
    printed: str


def steps() -> list[Step]:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found = [each for block in blocks for each in re.split(r"^\$ ", block, flags=re.MULTILINE) if each]
    return [Step(command, printed) for command, _, printed in (each.partition("\n") for each in found)]


def plain(text: str) -> str:
    for pattern, instead in _DIFFERS:
        text = pattern.sub(instead, text)
    return text.strip()


def is_as_told(printed: str, told: str) -> bool:
    pieces = [re.escape(piece.strip()) for piece in plain(told).split("…")]
    return re.fullmatch(r"\s*.*?\s*".join(pieces), plain(printed)) is not None


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A machine such as the page's first command starts."""
    first, chosen = steps()[0], free_port()
    command = first.command.replace(".run/tutorial", str(tmp_path / "state")) + f" --port {chosen}"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command.split(), cwd=ROOT, stdout=log, stderr=log)
    told = first.printed.partition("…")[0].replace("8799", str(chosen))
    try:
        wait_for(lambda: process.poll() is not None or told in (tmp_path / "log").read_text(), first.command)
        yield chosen
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()


def done(port: int, commands: list[str]) -> list[tuple[str, str]]:
    """Do commands in one shell, and give what each printed and the code that it ended with."""
    script = "".join(f"{{ {each}\n}} 2>&1; echo; echo '{_END}' $?\n" for each in commands).replace("8799", str(port))
    ran = subprocess.run(
        ["bash"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        cwd=ROOT,
        env={**as_nobody(), "OS_ENDPOINT": f"http://127.0.0.1:{port}"},
    )
    told = ran.stdout.replace(str(port), "8799")
    return [(text, code) for text, code in re.findall(rf"(.*?)\n{_END} (\d+)\n", told, re.DOTALL)]


def test_every_command_prints_what_the_page_says(port: int) -> None:
    following = steps()[1:]
    outcomes = done(port, [each.command for each in following])
    assert len(outcomes) == len(following)
    for step, (printed, code) in zip(following, outcomes, strict=True):
        assert code == "0", f"$ {step.command}\n{printed}"
        assert is_as_told(printed, step.printed), f"$ {step.command}\n{printed}"


@pytest.mark.parametrize(
    ("printed", "told", "same"),
    [
        ("| 27986352 | a |\n+------+", "| 12345678 |   a |\n+---+\n", True),
        ('{"a": 1, "b": 2}', '{"a": 1, …}', True),
        ("free", "used", False),
        ("a b c", "a … d", False),
        ("a", "", False),
        ("3 devices", "2 devices", False),
    ],
)
def test_only_what_differs_each_time_may_differ(printed: str, told: str, same: bool) -> None:
    assert is_as_told(printed, told) is same


def test_the_tutorial_takes_each_use_case_through_rest_and_command() -> None:
    page = PAGE.read_text()
    for command, path in (
        ("pcictl server list", "/servers/"),
        ("pcictl hypervisor list", "/os-hypervisors/"),
        ("pcictl device list", "$pci/os-pci?"),
        ("pcictl device show", "$pci/os-pci/"),
    ):
        assert f"\n$ {command}" in page
        assert path in page
