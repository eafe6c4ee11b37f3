"""Explain and plan over the bus: what the running agent knows, in the words of the commands on its host."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from buses import fake_bus
from hosts import Host
from pci_agent.agent.commands import Commands
from pci_agent.agent.endpoint import Endpoint
from pci_agent.cmd.agent_daemon import inquiries
from pci_agent.cmd.host_commands import run
from pci_agent.discovery.domains import Domain, Holding, How, Reading
from pci_agent.discovery.libvirtd import Libvirtd
from pci_agent.errors import ConfigurationRefused
from pci_agent.inspect.inquiries import MOST_EXPLAINED
from pci_agent.model import device_spec
from pci_agent.model.address import PciAddress
from pci_agent.model.claims import Claim, Wanted
from pci_agent.model.request import PciRequest, Spec
from pci_agent.wire import rpc
from pci_agent.wire.commands import AskCommand, ExplainCommand, InquiryAnswer, Listing, PlanCommand
from pci_agent.wire.messages import Model, pack, unpack
from sysfs import FakeSysfs

PF, VF0, VF1, CARD = "0000:04:00.0", "0000:04:10.0", "0000:04:10.4", "0000:81:00.0"
INSTANCE = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"
SPECS = (f'{{"address": "{VF1}", "exclude": true}}', '{"product_id": "1520", "physical_network": "physnet1"}')


class Asked:
    """An agent that nobody has accepted, and whoever asks it over a bus."""

    def __init__(self, host: Host, client: rpc.AgentClient) -> None:
        self.host, self._client = host, client
        self.agent_uuid = host.agent.ledger.agent_uuid

    def ask(self, verb: str, command: Model) -> InquiryAnswer:
        return self._client.call("compute-1", verb, command, InquiryAnswer)

    def explain(self, address: str) -> InquiryAnswer:
        return self.ask("explain", ExplainCommand(agent_uuid=self.agent_uuid, address=address))

    def plan(self, *specs: str) -> InquiryAnswer:
        return self.ask("plan", PlanCommand(agent_uuid=self.agent_uuid, device_specs=specs))

    def listing(self) -> Listing:
        return self._client.call("compute-1", "list_devices", AskCommand(agent_uuid=self.agent_uuid), Listing)

    def hold(self, request: str, spec: Spec) -> None:
        ledger = self.host.agent.ledger
        ledger._conversation.accepted = True
        asked = Claim(instance_uuid=INSTANCE, wanted=(Wanted(PciRequest(request_id=request, specs=(spec,)), 1),))
        assert Commands(self.host.agent).claim(ledger.agent_uuid, ledger.token.session, asked).outcome.changed
        ledger._conversation.accepted = False


def document(answer: InquiryAnswer) -> Any:
    assert answer.verdict == "ok", answer.reason
    assert answer.document is not None
    return json.loads(answer.document)


@pytest.fixture
def asked(tmp_path: Path, sysfs: FakeSysfs) -> Iterator[Asked]:
    sysfs.add_pf(PF, vfs=[VF0, VF1], netdev="enp4s0f0", numa_node=1)
    sysfs.add(CARD, "10de:25b6", pci_class="30200")
    host = Host("compute-1", sysfs, tmp_path / "agent", *SPECS)
    host.start()
    answering = (Endpoint(host.agent, lifetime_s=300), inquiries(host.agent, None))
    with fake_bus(rpc.AGENT_TOPIC, "compute-1", *answering) as bus:
        yield Asked(host, rpc.AgentClient(bus, timeout_s=3))
    host.stop()


@pytest.fixture
def command(asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command on the same host, its store and whitelist, and give its JSON."""
    config = tmp_path / "pci-agent.conf"
    config.write_text("[pci]\n" + "".join(f"device_spec = {spec}\n" for spec in SPECS))
    proc = tmp_path / "proc"
    (proc / "net").mkdir(parents=True)
    (proc / "self").mkdir()
    for empty in ("net/route", "net/ipv6_route", "self/mountinfo", "swaps"):
        (proc / empty).write_text("")
    roots = ["--sysfs-root", str(asked.host.sysfs), "--proc-root", str(proc), "--config-file", str(config)]
    roots += ["--state-dir", str(asked.host.state_dir), "--libvirt-uri", ""]

    def ran(name: str, *arguments: str) -> Any:
        run(name, [*roots, "-f", "json", *arguments])
        return json.loads(capsys.readouterr().out)

    return ran


def without_unknown(told: Any) -> Any:
    """Leave out what one of the two can't know: the commands see a directory, and its addresses are nowhere."""
    for each in told if isinstance(told, list) else [told]:
        del each["unknown"]
    return told


def test_explain_answers_what_the_command_prints(asked: Asked, command: Any) -> None:
    asked.hold("vf", Spec(product_id="1520"))
    for address in (PF, VF0, VF1, CARD, "*:04:10.*", "pci_0000_04_10_0", "enp4s0f0"):
        told = without_unknown(document(asked.explain(address)))
        assert told == without_unknown(command("explain", address))
    (held,) = document(asked.explain(VF0))
    assert (held["status"], held["decided_by"], held["tags"]) == ("claimed", 2, {"physical_network": "physnet1"})
    assert [each["instance_uuid"] for each in held["holders"]] == [INSTANCE]


def test_plan_answers_what_the_command_prints(asked: Asked, command: Any, tmp_path: Path) -> None:
    asked.hold("vf", Spec(product_id="1520"))
    specs = (f'{{"address": "{VF1}"}}', '{"vendor_id": "10de"}')
    new = tmp_path / "new.conf"
    new.write_text("[pci]\n" + "".join(f"device_spec = {spec}\n" for spec in specs))
    told = without_unknown(document(asked.plan(*specs)))
    assert told == without_unknown(command("plan", "--new-config", str(new)))
    assert [each["address"] for each in told["gained"]] == [VF1, CARD]
    assert [(each["address"], len(each["holders"])) for each in told["lost"]] == [(VF0, 1)]
    assert document(asked.plan())["gained"] == []


def test_what_is_answered_is_what_the_running_agent_knows_not_what_stands_on_disk(asked: Asked) -> None:
    asked.hold("vf", Spec(product_id="1520"))
    asked.host.uses = {VF1: "the default route goes through it"}
    held = (Holding(PciAddress.parse(CARD), How.HOSTDEV),)
    domain = Domain(uuid=INSTANCE, name="vm7", active=True, persistent=True, live=held, defined=held, complete=True)
    asked.host.reading = Reading((domain,), (), ())
    asked.host.agent.use(device_spec.parse(['{"vendor_id": "8086"}']))
    store = asked.host.state_dir / "agent.sqlite"
    store.rename(store.with_suffix(".away"))
    (told,) = document(asked.explain(VF1))
    assert (told["decided_by"], told["host_use"]) == (1, []), "the whitelist in force, the look before it"
    asked.host.agent.look()
    (told,) = document(asked.explain(VF1))
    assert told["status_reason"] == "the host uses it: the default route goes through it"
    (told,) = document(asked.explain(CARD))
    assert [each["said_by"] for each in told["holders"]] == ["libvirt: vm7, running, as hostdev"]
    store.with_suffix(".away").rename(store)


def test_what_the_agent_cannot_tell_is_said(asked: Asked) -> None:
    asked.host.agent._senses = asked.host.agent._senses.__class__(sysfs_root=str(asked.host.sysfs))
    asked.host.agent.look()
    (told,) = document(asked.explain(VF0))
    assert told["unknown"] == ["which domains hold what: libvirt isn't asked"]
    silent = inquiries(asked.host.agent, Libvirtd("test:///default", lambda: None))
    body = pack(ExplainCommand(agent_uuid=asked.agent_uuid, address=VF0))
    (told,) = document(unpack(InquiryAnswer, silent.explain(None, body)))
    assert told["unknown"] == ["which domains hold what: libvirt hasn't answered yet"]


def test_an_address_that_is_not_there_is_unknown_with_the_cure(asked: Asked) -> None:
    answer = asked.explain("0000:99:00.0")
    assert (answer.verdict, answer.document) == ("unknown", None)
    assert answer.reason == "0000:99:00.0 is no PCI function of this host: pci-agent discover lists them"


def test_one_that_cannot_be_read_says_why(asked: Asked) -> None:
    (asked.host.sysfs.add("0000:05:00.0") / "numa_node").write_text("banana\n")
    asked.host.agent.look()
    assert (asked.explain("0000:05:00.0").reason or "").startswith("0000:05:00.0 can't be told: numa_node")


def test_an_address_that_names_too_many_is_refused_with_the_cure(asked: Asked) -> None:
    for number in range(MOST_EXPLAINED + 1):
        asked.host.sysfs.add(f"0000:20:{number >> 3:02x}.{number & 7}")
    asked.host.agent.look()
    answer = asked.explain("*:20:*.*")
    assert answer.verdict == "refused"
    assert answer.reason == "*:20:*.* names 65 functions, and 64 are told at once: name fewer"
    asked.host.sysfs.remove("0000:20:00.0")
    asked.host.agent.look()
    assert len(document(asked.explain("*:20:*.*"))) == MOST_EXPLAINED


def test_a_whitelist_that_cannot_be_used_is_refused_with_every_error_at_once(asked: Asked) -> None:
    specs = ('{"vendor_id": "x", "adress": "1"}', '{"vendor_id": "8086"}', "[1]", "{}")
    with pytest.raises(ConfigurationRefused) as refused:
        device_spec.parse(specs)
    answer = asked.plan(*specs)
    assert (answer.verdict, answer.reason, answer.document) == ("refused", str(refused.value), None)
    assert len(answer.refusals) == 4
    told = [(each.option, each.entry, each.key, each.value, each.what, each.cure) for each in answer.refusals]
    assert told == [
        (each.option, each.entry, each.key, each.value, each.what, each.cure) for each in refused.value.refusals
    ]


@pytest.mark.parametrize("verb", ["explain", "plan"])
def test_a_message_that_cannot_be_read_is_refused_by_name(asked: Asked, verb: str) -> None:
    answer = asked.ask(verb, AskCommand(agent_uuid=asked.agent_uuid))
    assert answer.verdict == "refused"
    assert "address" in (answer.reason or "") or "device_specs" in (answer.reason or "")


@pytest.mark.parametrize("specs", [("x" * 65_537,), ("{}",) * 1_025])
def test_a_whitelist_beyond_all_measure_is_refused_unread(asked: Asked, specs: tuple[str, ...]) -> None:
    unchecked = PlanCommand.model_construct(version="1.0", agent_uuid=asked.agent_uuid, device_specs=specs)
    answer = asked.ask("plan", unchecked)
    assert answer.verdict == "refused"
    assert (answer.reason or "").startswith("PlanCommand 1.0: device_specs")


def test_another_agents_inquiries_are_not_answered(asked: Asked) -> None:
    stranger = str(uuid4())
    assert asked.ask("explain", ExplainCommand(agent_uuid=stranger, address=VF0)).verdict == "stranger"
    assert asked.ask("plan", PlanCommand(agent_uuid=stranger, device_specs=())).verdict == "stranger"


def test_inquiries_change_nothing_and_are_answered_before_the_tracker_hears_of_the_host(asked: Asked) -> None:
    assert not asked.host.agent.ledger.serving
    statements: list[str] = []
    before = asked.listing()
    asked.host.store._database.set_trace_callback(statements.append)
    document(asked.explain(VF0))
    document(asked.plan('{"vendor_id": "10de"}'))
    assert (asked.listing(), statements) == (before, [])


def test_before_a_look_at_the_host_there_is_no_answer_yet(tmp_path: Path) -> None:
    sysfs = FakeSysfs(tmp_path / "sys")
    sysfs.entries.rename(tmp_path / "away")
    host = Host("compute-1", sysfs, tmp_path / "agent")
    host.start()
    with fake_bus(rpc.AGENT_TOPIC, "compute-1", inquiries(host.agent, None)) as bus:
        answer = Asked(host, rpc.AgentClient(bus, timeout_s=3)).explain(VF0)
    assert (answer.verdict, answer.document) == ("unavailable", None)
    host.stop()


def test_a_long_answer_holds_nobody_up(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(values: Iterable[object]) -> Any:
        begun.set()
        go_on.wait(10)
        return parse(values)

    parse = device_spec.parse
    monkeypatch.setattr("pci_agent.inspect.inquiries.device_spec.parse", slow)
    waiting = threading.Thread(target=asked.plan, args=('{"vendor_id": "10de"}',))
    waiting.start()
    assert begun.wait(3)
    since = time.monotonic()
    asked.host.agent.look()
    assert time.monotonic() - since < 1
    go_on.set()
    waiting.join(5)
