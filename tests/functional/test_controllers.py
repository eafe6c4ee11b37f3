"""What controllers ask of a tracker on the bus, as docs/rpc.md shows it."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from oslo_config import cfg
from sqlalchemy import Engine

from centres import Centre, centre, one, stop
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.control import ControlEndpoint
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.asked import written
from pci_agent.wire.commands import AskCommand, AskedRecord, SpecRecord
from pci_agent.wire.control import (
    AllocationAnswer,
    CandidatesQuestion,
    ClaimQuestion,
    ConfirmQuestion,
    DevicesQuestion,
    FreeQuestion,
    ShowQuestion,
)
from pci_agent.wire.messages import pack, unpack

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/rpc.md"
METHODS = ("candidates", "claim", "confirm", "free", "show_allocation", "list_devices")
A, B = "compute-1", "compute-2"
INSTANCE = str(uuid4())


@pytest.fixture
def fleet(tmp_path: Path, sqlite: Engine) -> Iterator[Centre]:
    """Hosts with one VF and with two, and a tracker on their bus."""
    store = Store(sqlite, host_down_s=75)
    with centre(tmp_path, store, {A: 1, B: 2}) as made:
        scheduler = Scheduler(sqlite, host_down_s=75)
        allocations = Allocations(store, scheduler, made.agents)
        endpoints = (Endpoint(store), ControlEndpoint(allocations, scheduler, store))
        server = rpc.server(made.bus, rpc.TRACKER_TOPIC, "tracker-1", *endpoints)
        server.start()
        yield made
        stop(server)


@pytest.fixture
def controller(fleet: Centre) -> rpc.ControlClient:
    return rpc.ControlClient(fleet.bus, timeout_s=30)


def asking(count: int = 1) -> tuple[AskedRecord, ...]:
    return (written(one(count=count)),)


def test_the_example_of_the_document_does_what_it_says(
    fleet: Centre, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "controller.conf").write_text("[DEFAULT]\ntransport_url = fake://\n")
    conf = cfg.ConfigOpts()
    conf(["--config-file", str(tmp_path / "controller.conf")], project="a-controller", default_config_files=[])
    example = re.search(r"```python\n(from uuid.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert example is not None
    exec(compile(example[1], "docs/rpc.md", "exec"), {"conf": conf})
    assert capsys.readouterr().out == f"{B} 0000:04:10.0 0000:04:10.1\nok\nok\n"
    assert fleet.holders() == {A: [], B: []}
    assert fleet.agents.called == [(B, "claim"), (B, "allocate"), (B, "free")]


def test_every_method_of_the_document_is_there_and_no_other() -> None:
    listed = re.findall(r"^\| `(\w+)` \| `\w+Question`", DOCUMENT.read_text(), re.MULTILINE)
    assert tuple(listed) == METHODS
    assert tuple(name for name in vars(ControlEndpoint) if not name.startswith("_")) == METHODS


def test_candidates_are_the_schedulers_and_change_nothing(fleet: Centre, controller: rpc.ControlClient) -> None:
    found = controller.candidates(CandidatesQuestion(requests=asking()))
    assert (found.verdict, [(each.hypervisor_hostname, each.free) for each in found.hosts]) == ("ok", [(A, 1), (B, 2)])
    only = controller.candidates(CandidatesQuestion(requests=asking(2), host=A))
    assert (only.verdict, only.hosts) == ("no_fit", ())
    assert [len(controller.candidates(CandidatesQuestion(requests=asking(), limit=1)).hosts)] == [1]
    assert fleet.agents.called == []


def test_an_instance_is_shown_with_what_it_claimed_and_with_what_it_holds(
    fleet: Centre, controller: rpc.ControlClient
) -> None:
    wanted = asking()
    question = ClaimQuestion(instance_uuid=INSTANCE, requests=wanted, project_id="p", user_id="u", host=B)
    claimed = controller.claim(question)
    assert controller.claim(question).allocations[0].devices == claimed.allocations[0].devices
    shown = controller.show_allocation(ShowQuestion(instance_uuid=INSTANCE))
    (allocation,) = shown.allocations
    assert (allocation.request_id, allocation.state, allocation.hypervisor_hostname) == (
        wanted[0].request_id,
        "done",
        B,
    )
    held = controller.list_devices(DevicesQuestion(instance_uuid=INSTANCE)).devices
    assert [(each.uuid, each.hypervisor_hostname, each.user_id) for each in held] == [
        (allocation.devices[0].uuid, B, "u")
    ]
    assert len(controller.list_devices(DevicesQuestion(host=B)).devices) == 2
    assert controller.list_devices(DevicesQuestion(name="nowhere")).devices == ()
    names = (wanted[0].request_id,)
    assert controller.confirm(ConfirmQuestion(instance_uuid=INSTANCE, request_ids=names)).allocations[0].confirmed
    assert controller.free(FreeQuestion(instance_uuid=INSTANCE, host=A)).allocations == ()
    assert controller.free(FreeQuestion(instance_uuid=INSTANCE, request_id=names[0])).verdict == "ok"
    assert fleet.holders() == {A: [], B: []}


def test_a_claim_that_nobody_can_serve_says_so_and_asks_nobody(fleet: Centre, controller: rpc.ControlClient) -> None:
    answer = controller.claim(ClaimQuestion(instance_uuid=INSTANCE, requests=asking(3)))
    assert (answer.verdict, answer.allocations) == ("no_fit", ())
    assert fleet.agents.called == []


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_read_is_refused_by_name_and_the_next_one_is_served(
    controller: rpc.ControlClient, method: str
) -> None:
    question = "DevicesQuestion" if method == "list_devices" else "Question"
    for body in ("hello", pack(AskCommand(agent_uuid="x"))):
        answer = unpack(AllocationAnswer, controller._calls.call(method, body))
        assert answer.verdict == "refused"
        assert question in (answer.reason or "")
    newer = AskCommand(agent_uuid="x", version="2.0")
    answer = unpack(AllocationAnswer, controller._calls.call(method, pack(newer)))
    assert "version 2.0 can't be read here" in (answer.reason or "")
    assert controller.show_allocation(ShowQuestion(instance_uuid=INSTANCE)).verdict == "ok"


def test_a_claim_that_names_a_request_twice_or_asks_for_too_much_cannot_be_asked() -> None:
    (wanted,) = asking()
    for requests in ((), (wanted, wanted), (wanted.model_copy(update={"request_id": ""}),)):
        with pytest.raises(ValueError, match="requests|request_id"):
            ClaimQuestion(instance_uuid=INSTANCE, requests=requests)
    for nowhere in ({"cells": (2**31,)}, {"sockets": {2**31: 0}}):
        with pytest.raises(ValueError, match="less than 2147483648"):
            CandidatesQuestion.model_validate({"requests": (wanted,), **nowhere})
    with pytest.raises(ValueError, match="count"):
        AskedRecord(request_id="r", count=65, specs=(SpecRecord(),))
    with pytest.raises(ValueError, match="name a host"):
        DevicesQuestion()
