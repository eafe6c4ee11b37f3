"""Whenever an agent is killed, what it answered holds, and what it didn't is wholly done or wholly not."""

import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import shares
from pci_agent.agent.identity import Machine
from pci_agent.agent.store import Store
from sysfs import FakeSysfs

LOAD = Path(__file__).with_name("claim_load.py")


class Book:
    """What the answers promise: who holds which devices, by request."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, bool, list[str]]] = {}

    def take_in(self, line: dict[str, Any]) -> None:
        verb, request, attempt = line["verb"], line["request"], line["attempt"]
        if line["verdict"] != "ok":
            return
        if verb == "claim":
            allocated = request in self.held and self.held[request][1]
            self.held[request] = (attempt, allocated, line["devices"])
        elif verb == "allocate":
            self.held[request] = (attempt, True, self.held[request][2])
        elif verb == "free":
            self.held.pop(request, None)


def found(state: Path) -> dict[str, tuple[int, bool, list[str]]]:
    """What the store says after the kill."""
    held: dict[str, tuple[int, bool, list[str]]] = {}
    with Store.opened(str(state), Machine("machine", None, "boot")) as store:
        for item in store.tracked().values():
            if item.owner is not None and item.owner.request_id is not None:
                owner = item.owner
                devices = [*held.get(owner.request_id or "", (0, False, []))[2], item.uuid]
                held[owner.request_id or ""] = (owner.attempt, owner.allocated, sorted(devices))
    return held


def test_every_answer_holds_after_kill_9_at_any_moment(tmp_path: Path) -> None:
    sysfs = FakeSysfs(tmp_path / "sys")
    sysfs.add_pf("0000:04:00.0", vfs=[f"0000:04:10.{number}" for number in range(7)])
    chance, state, book = Random(4), tmp_path / "state", Book()
    answered = 0
    for kill in range(500 if shares.run.long else 50):
        load = subprocess.Popen(
            [sys.executable, str(LOAD), str(state), str(sysfs), str(kill)], stdout=subprocess.PIPE, text=True
        )
        assert load.stdout is not None
        lines = [load.stdout.readline()]  # the first command is under way
        time.sleep(chance.uniform(0, 0.05))
        load.kill()
        lines += load.stdout.readlines()
        load.wait()
        said = [json.loads(line) for line in lines if line.endswith("\n")]
        for line in said:
            if line["word"] == "answered":
                answered += 1
                book.take_in(line)
        now = found(state)
        last = said[-1]
        if last["word"] == "begins":
            before, after = dict(book.held), now.get(last["request"])
            assert {name: each for name, each in now.items() if name != last["request"]} == {
                name: each for name, each in before.items() if name != last["request"]
            }
            wholly_not = before.get(last["request"])
            if after != wholly_not:
                assert_wholly_done(last, wholly_not, after)
            book.held = now
        assert now == book.held
    assert answered > 200


def assert_wholly_done(
    line: dict[str, Any], before: tuple[int, bool, list[str]] | None, after: tuple[int, bool, list[str]] | None
) -> None:
    """What a command that wasn't answered has done, is all that it does."""
    if line["verb"] == "free":
        assert after is None
        return
    assert after is not None
    assert after[0] == line["attempt"]
    if line["verb"] == "allocate":
        assert before is not None
        assert (after[1], after[2]) == (True, before[2])
    elif before is not None:
        assert after[2] == before[2]
