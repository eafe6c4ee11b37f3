"""What an operator asks on a host: the commands as they are typed, over a machine in a directory."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from machines import settled
from pci_agent.agent.identity import Machine
from pci_agent.agent.store import Store
from pci_agent.cmd.host_commands import run
from pci_agent.discovery.sysfs import scan
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.names import identities
from pci_agent.model.state import Owner
from pci_agent.wire.messages import Token
from sysfs import FakeSysfs

PF, VF0, VF1, CARD = "0000:04:00.0", "0000:04:10.0", "0000:04:10.4", "0000:81:00.0"
INSTANCE = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"


class Commands:
    """The commands over one machine, with its configuration, proc and agent's store."""

    def __init__(self, sysfs: FakeSysfs, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.sysfs = sysfs
        self.config = folder / "pci-agent.conf"
        self.proc = folder / "proc"
        (self.proc / "net").mkdir(parents=True)
        (self.proc / "self").mkdir()
        for empty in ("net/route", "net/ipv6_route", "self/mountinfo", "swaps"):
            (self.proc / empty).write_text("")
        self.state = folder / "state"
        self._capsys = capsys
        self.offer()

    def offer(self, *specs: str) -> None:
        self.config.write_text("[pci]\n" + "".join(f"device_spec = {spec}\n" for spec in specs))

    def route_through(self, netdev: str) -> None:
        header = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        (self.proc / "net/route").write_text(f"{header}{netdev} 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n")

    def hold(
        self,
        address: str,
        owner: Owner | None = Owner(instance_uuid=INSTANCE, allocated=True),  # noqa: B008 - it is frozen
        host_use: tuple[str, ...] = (),
        name: str | None = None,
    ) -> None:
        """Let the agent's store say that an instance holds a function, or what the host uses it for."""
        devices = scan(str(self.sysfs)).devices
        names = identities(devices)
        (device,) = (each for each in devices if str(each.address) == address)
        item = TrackedDevice(
            uuid="0a0a0a0a-0000-4000-8000-000000000001",
            identity=names[device.address],
            device=device,
            owner=owner,
            host_use=host_use,
        )
        with Store.opened(str(self.state), Machine.read()) as store:
            session = store.begin_session("0" * 32)
            store.commit(settled([item]), Token(session=session.session, generation=1, digest="0" * 32))
            store.remember({} if name is None else {name: item.identity})

    def __call__(self, command: str, *arguments: str, config: bool = True) -> tuple[int, str]:
        roots = ["--sysfs-root", str(self.sysfs), "--proc-root", str(self.proc), "--state-dir", str(self.state)]
        files = ["--config-file", str(self.config)] if config else []
        code = run(command, [*roots, *files, *arguments])
        told = self._capsys.readouterr()
        self.err = told.err
        return code, told.out

    def json(self, command: str, *arguments: str) -> tuple[int, Any]:
        code, text = self(command, "-f", "json", *arguments)
        told = json.loads(text)
        return code, told[0] if command == "explain" else told


@pytest.fixture
def commands(sysfs: FakeSysfs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Commands:
    sysfs.add_pf(PF, vfs=[VF0, VF1], numa_node=1, netdev="enp4s0f0")
    sysfs.add_netdev(VF0, "enp4s0f0v0")
    sysfs.add(CARD, "10de:25b6", pci_class="30200")
    for group, address in enumerate((PF, VF0, VF1, CARD), 20):
        (sysfs.place(address) / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{group}")
    return Commands(sysfs, tmp_path, capsys)


def warned(told: dict[str, Any]) -> list[tuple[str, int | None, list[str]]]:
    return [(each["kind"], each["entry"], each["devices"]) for each in told["warnings"]]


# check-config


def test_a_whitelist_without_faults_is_fine(commands: Commands) -> None:
    commands.offer('{"devname": "enp4s0f0", "product_id": "1520", "physical_network": "physnet1"}')
    code, told = commands.json("check-config")
    assert (code, told["errors"], told["warnings"]) == (0, [], [])
    assert (told["offered"], told["functions"]) == (2, 4)


def test_every_error_is_told_at_once_and_nothing_is_said_of_the_host(commands: Commands) -> None:
    commands.offer('{"vendor_id": "x"}', '{"adress": "1"}', '{"vendor_id": "8086"}')
    code, told = commands.json("check-config")
    assert code == 2
    assert [(each["entry"], each["key"]) for each in told["errors"]] == [(1, "vendor_id"), (2, "adress")]
    assert all(each["cure"] for each in told["errors"])
    assert told["warnings"] == []


def test_an_alias_that_no_tracker_takes_is_warned_of_for_agents_do_not_read_it(commands: Commands) -> None:
    commands.config.write_text('[pci]\ndevice_spec = {"vendor_id": "8086"}\nalias = {"name": "a1"}\n')
    code, told = commands.json("check-config")
    assert (code, warned(told)) == (1, [("alias", None, [])])


def test_a_file_that_is_not_there_is_an_error(commands: Commands) -> None:
    code, text = commands("check-config", "--config-file", "/nonexistent.conf", config=False)
    assert code == 2
    assert "/nonexistent.conf" in text


def test_an_empty_whitelist_is_warned_of(commands: Commands) -> None:
    code, told = commands.json("check-config")
    assert (code, warned(told)) == (1, [("empty", None, [])])


def test_an_entry_that_matches_nothing_is_warned_of(commands: Commands) -> None:
    commands.offer('{"vendor_id": "15b3"}', '{"devname": "eth7"}')
    code, told = commands.json("check-config")
    assert (code, warned(told)) == (1, [("matches-nothing", 1, []), ("matches-nothing", 2, [])])
    assert "eth7" in told["warnings"][1]["what"]


def test_an_entry_that_earlier_ones_shadow_is_warned_of(commands: Commands) -> None:
    commands.offer(
        '{"vendor_id": "8086"}',
        '{"address": "0000:04:10.0", "physical_network": "physnet1"}',
        '{"vendor_id": "8086", "product_id": "9999"}',
    )
    _, told = commands.json("check-config")
    assert warned(told) == [("shadowed", 2, [VF0]), ("shadowed", 3, [])]
    assert "entry 1 takes all" in told["warnings"][0]["what"]


def test_an_entry_that_decides_about_something_is_not_shadowed(commands: Commands) -> None:
    commands.offer('{"product_id": "1520", "exclude": true}', '{"vendor_id": "8086"}')
    assert commands.json("check-config")[1]["warnings"] == []


def test_vfs_that_a_wildcard_leaves_behind_are_warned_of(commands: Commands) -> None:
    commands.offer('{"address": "*:04:00.*"}')
    _, told = commands.json("check-config")
    assert warned(told) == [("vfs-left-behind", 1, [VF0, VF1])]
    assert PF in told["warnings"][0]["cure"]


def test_vfs_that_are_excluded_on_purpose_are_not_left_behind(commands: Commands) -> None:
    commands.offer('{"product_id": "1520", "exclude": true}', '{"address": "*:04:00.*"}')
    assert commands.json("check-config")[1]["warnings"] == []


def test_devices_that_novas_prefix_match_alone_would_take_are_warned_of(commands: Commands) -> None:
    commands.offer('{"address": {"bus": "0", "slot": "1."}, "vendor_id": "8086"}', '{"vendor_id": "8086"}')
    _, told = commands.json("check-config")
    assert ("only-nova-takes", 1, [VF0, VF1]) in warned(told)


def test_devices_that_the_host_itself_uses_are_warned_of(commands: Commands) -> None:
    commands.route_through("enp4s0f0v0")
    commands.offer('{"vendor_id": "8086"}')
    _, told = commands.json("check-config")
    assert warned(told) == [("host-use", 1, [PF]), ("host-use", 1, [VF0])]
    assert "the default route goes through enp4s0f0v0" in told["warnings"][1]["what"]


def test_who_allows_host_use_is_not_warned_of_it(commands: Commands) -> None:
    commands.route_through("enp4s0f0v0")
    commands.offer('{"vendor_id": "8086", "allow_host_use": true}')
    assert commands.json("check-config")[0] == 0


def test_the_text_names_each_warning_with_its_cure(commands: Commands) -> None:
    commands.offer('{"vendor_id": "15b3"}')
    code, text = commands("check-config")
    assert code == 1
    assert text.splitlines()[0].startswith('warning: entry 1: no device of this host matches {"vendor_id": "15b3"}; ')
    assert text.splitlines()[-1] == "0 of 4 PCI functions offered, 1 warning"


# nova's file


def test_novas_file_serves_under_its_old_names_too(commands: Commands, tmp_path: Path) -> None:
    nova = tmp_path / "nova.conf"
    nova.write_text(
        "[DEFAULT]\ndebug = maybe\ntransport_url = $nowhere\npci_alias = {}\n"
        '[pci]\npassthrough_whitelist = {"product_id": "1520", "physical_network": "physnet1"}\n'
    )
    code, text = commands("check-config", "-f", "json", "--nova-config", str(nova), config=False)
    assert (code, json.loads(text)["offered"]) == (0, 2)


def test_a_whitelist_in_both_files_is_refused(commands: Commands, tmp_path: Path) -> None:
    nova = tmp_path / "nova.conf"
    nova.write_text('[pci]\ndevice_spec = {"vendor_id": "10de"}\n')
    commands.offer('{"vendor_id": "8086"}')
    code, told = commands.json("check-config", "--nova-config", str(nova))
    assert code == 2
    assert "--nova-config" in told["errors"][0]["what"]


def test_the_file_in_its_usual_place_is_read_once(commands: Commands, tmp_path: Path) -> None:
    commands.offer('{"vendor_id": "8086"}')
    home = tmp_path / "home/.pci-agent"
    home.mkdir(parents=True)
    commands.config.rename(home / "pci-agent.conf")
    (home / "pci-agent.conf.d").mkdir()
    (home / "pci-agent.conf.d/more.conf").write_text('[pci]\ndevice_spec = {"vendor_id": "10de"}\n')
    done = subprocess.run(
        [str(Path(sys.executable).with_name("pci-agent")), "check-config", "--sysfs-root", str(commands.sysfs)],
        env={"HOME": str(home.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "4 of 4 PCI functions offered, 0 warnings")


# explain


def judged(told: dict[str, Any]) -> list[tuple[int, bool, str | None]]:
    return [(each["number"], each["matches"], each["failed"]) for each in told["entries"]]


def test_every_entry_is_judged_in_order_with_the_first_condition_that_failed(commands: Commands) -> None:
    commands.offer(
        '{"vendor_id": "10de"}',
        '{"address": "*:04:00.0"}',
        '{"address": "0000:81:00.0"}',
        '{"devname": "enp4s0f0", "product_id": "1520", "physical_network": "physnet1"}',
        '{"vendor_id": "8086"}',
    )
    code, told = commands.json("explain", VF0)
    assert code == 0
    assert judged(told) == [
        (1, False, "its vendor_id is 8086, not 10de"),
        (
            2,
            False,
            f"its address {VF0} isn't *:04:00.0; its PF's is, but an address with wildcards takes no VFs along",
        ),
        (3, False, f"its address {VF0} isn't 0000:81:00.0, nor is its PF's, {PF}"),
        (4, True, None),
        (5, True, None),
    ]
    assert (told["decided_by"], told["offered"], told["tags"]) == (4, True, {"physical_network": "physnet1"})
    assert told["pool"] == {
        "vendor_id": "8086",
        "product_id": "1520",
        "numa_node": "1",
        "dev_type": "type-VF",
        "parent_addr": PF,
        "physical_network": "physnet1",
    }
    assert (told["status"], told["status_reason"]) == ("available", None)


def test_an_excluded_one_and_one_without_an_entry_say_what_would_offer_them(commands: Commands) -> None:
    commands.offer(f'{{"address": "{VF0}", "exclude": true}}')
    code, text = commands("explain", VF0)
    assert code == 1
    assert "outcome: not offered, for entry 1 excludes it" in text
    assert "cure: to offer it, narrow entry 1, or put" in text
    code, text = commands("explain", VF1)
    assert code == 1
    assert "outcome: not offered, for no entry matches it" in text
    assert f'cure: to offer all VFs of its PF, add {{"address": "{PF}", "product_id": "1520"}}' in text


def test_a_devname_says_who_bears_it_or_that_nobody_does(commands: Commands) -> None:
    commands.offer('{"devname": "enp4s0f0v0"}', '{"devname": "eth7"}')
    _, told = commands.json("explain", VF1)
    assert judged(told) == [
        (1, False, f"the netdev name enp4s0f0v0 is that of {VF0}: it is neither its own nor its PF's, {PF}"),
        (2, False, "no PCI function bears the netdev name eth7 itself, nor did one in this boot"),
    ]


def test_what_the_host_uses_says_how_and_what_to_do(commands: Commands) -> None:
    commands.route_through("enp4s0f0v0")
    commands.offer('{"vendor_id": "8086"}')
    code, text = commands("explain", VF0)
    assert code == 0
    assert "status: unavailable, the host uses it: the default route goes through enp4s0f0v0" in text
    assert 'add "allow_host_use": true to entry 1' in text
    assert f"its VF {VF0}: the default route goes through enp4s0f0v0" in commands("explain", PF)[1]
    assert commands.json("explain", VF1)[1]["status"] == "available"


def test_the_agents_store_says_who_holds_it(commands: Commands) -> None:
    commands.hold(VF0)
    commands.offer('{"vendor_id": "8086"}')
    _, told = commands.json("explain", VF0)
    assert (told["status"], told["status_now"]) == ("allocated", "allocated")
    assert told["holders"] == [{"instance_uuid": INSTANCE, "said_by": "the agent's store"}]


def test_several_are_explained_at_once_and_what_is_not_known_is_said_once(commands: Commands) -> None:
    commands.offer('{"product_id": "1520"}')
    code, text = commands("explain", VF0, VF1, PF)
    assert code == 1
    assert text.count("outcome: offered by entry 1") == 2
    assert text.count("not known: what the agent knows") == 1
    assert commands("explain", VF0, VF1)[0] == 0


@pytest.mark.parametrize("name", [VF0, "04:10.0", "0:4:10.0", "10.0", "pci_0000_04_10_0", "enp4s0f0v0"])
def test_a_function_may_be_named_as_any_tool_names_it(commands: Commands, name: str) -> None:
    assert commands.json("explain", name)[1]["address"] == VF0


def test_what_is_not_there_is_told_so(commands: Commands) -> None:
    commands.sysfs.add("0000:05:00.0", numa_node="banana")
    commands.offer('{"vendor_id": "8086"}')
    code, text = commands("explain", "0000:99:00.0", VF0, "0000:05:00.0")
    assert code == 1
    assert "outcome: offered by entry 1" in text
    assert "0000:99:00.0 is no PCI function of this host: pci-agent discover lists them" in commands.err
    assert "0000:05:00.0 can't be told: numa_node" in commands.err


def test_an_address_with_wildcards_is_every_function_there(commands: Commands) -> None:
    commands.offer('{"vendor_id": "8086"}')
    assert commands("explain", "*:04:10.*")[1].count("outcome: offered") == 2


def test_a_name_that_a_device_bore_before_it_went_to_vfio_is_known(commands: Commands) -> None:
    commands.hold(VF0, name="enp4s0f0v9")
    assert commands.json("explain", "enp4s0f0v9")[1]["address"] == VF0


def test_what_another_configuration_would_make_of_it_stands_beside_what_is_now(commands: Commands) -> None:
    commands.hold(VF0, owner=None, host_use=("the default route goes through enp4s0f0v0",))
    commands.route_through("enp4s0f0v0")
    commands.offer('{"vendor_id": "8086", "allow_host_use": true}')
    text = commands("explain", VF0)[1]
    assert "status: available\n" in text
    assert "status now: unavailable, the host uses it: the default route goes through enp4s0f0v0" in text


def test_a_host_that_cannot_be_looked_at_and_a_wrong_command_line_have_codes_of_their_own(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ["--config-file", str(commands.config)]
    assert run("plan", [*file, "--new-config", file[1], "--sysfs-root", "/nonexistent"]) == 3
    assert "is sysfs mounted there?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        run("check-config", ["--bogus"])
    assert ended.value.code == 64


def test_errors_are_told_where_there_is_no_sysfs_at_all(commands: Commands) -> None:
    commands.offer('{"vendor_id": "x"}')
    code = run("check-config", ["--config-file", str(commands.config), "--sysfs-root", "/nonexistent"])
    assert code == 2


def test_the_configured_roots_are_looked_at(commands: Commands) -> None:
    roots = f"[agent]\nsysfs_root = {commands.sysfs}\nproc_root = {commands.proc}\n"
    commands.config.write_text(roots + '[pci]\ndevice_spec = {"vendor_id": "10de"}\n')
    assert run("explain", [CARD, "--config-file", str(commands.config)]) == 0


def test_a_value_of_the_wrong_type_in_a_file_is_an_error_and_does_not_end_the_process(commands: Commands) -> None:
    commands.config.write_text("[DEFAULT]\ndebug = maybe\n")
    code, told = commands.json("check-config")
    assert code == 2
    assert "Invalid Boolean value: maybe" in told["errors"][0]["what"]


def test_bridges_and_what_vfio_cannot_give_are_warned_of(commands: Commands) -> None:
    commands.sysfs.add("0000:00:1c.0", "8086:a110", pci_class="60400", iommu_group=3)
    commands.sysfs.add("0000:05:00.0", "1b36:0010", iommu_group=9)
    commands.sysfs.add("0000:05:00.1", "1b36:0011", iommu_group=9)
    commands.sysfs.add("0000:06:00.0", "1b36:0012")
    commands.offer('{"vendor_id": "8086", "product_id": "a110"}', '{"product_id": "0010"}', '{"product_id": "0012"}')
    assert warned(commands.json("check-config")[1]) == [
        ("bridge", 1, ["0000:00:1c.0"]),
        ("iommu", 2, ["0000:05:00.0"]),
        ("iommu", 3, ["0000:06:00.0"]),
    ]


def test_what_cannot_be_known_is_said(commands: Commands) -> None:
    (commands.proc / "self/mountinfo").unlink()
    unknown = commands.json("explain", CARD)[1]["unknown"]
    assert any("no agent has run with this state directory" in each for each in unknown)
    assert any("mountinfo" in each for each in unknown)
    assert any("addresses" in each for each in unknown)


def test_a_store_of_a_later_version_is_said_and_not_read(commands: Commands) -> None:
    commands.hold(VF0)
    with sqlite3.connect(commands.state / "agent.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    told = commands.json("explain", VF0)[1]
    assert told["holders"] == []
    assert any("schema 99" in each for each in told["unknown"])


def test_the_store_is_read_while_an_agent_has_it(commands: Commands) -> None:
    commands.hold(VF0)
    commands.offer('{"vendor_id": "8086"}')
    with Store.opened(str(commands.state), Machine.read()):
        assert commands.json("explain", VF0)[1]["holders"] != []


# plan


def test_a_plan_says_where_the_host_s_own_use_is_in_the_way_or_given_away(commands: Commands) -> None:
    commands.route_through("enp4s0f0v0")
    reason = "the default route goes through enp4s0f0v0"
    commands.offer('{"product_id": "25b6"}')
    _, told = planned(commands, '{"product_id": "1520"}')
    assert {each["address"]: each["host_use"] for each in told["gained"]} == {VF0: [reason], VF1: []}
    commands.offer('{"product_id": "1520"}')
    _, told = planned(commands, '{"product_id": "1520", "allow_host_use": true}')
    assert [(each["address"], each["freed_from_use"]) for each in told["released"]] == [(VF0, [reason])]
    text = commands("plan", "--new-config", str(commands.config.with_name("new.conf")))[1]
    assert f"AVAILABLE TO GUESTS though the host uses it: {reason}" in text
    assert text.splitlines()[-1].endswith("1 as they are, 1 with another answer to the host's own use")


def planned(commands: Commands, *specs: str) -> tuple[int, dict[str, Any]]:
    new = commands.config.with_name("new.conf")
    new.write_text("[DEFAULT]\nhost = other\n[pci]\n" + "".join(f"device_spec = {spec}\n" for spec in specs))
    return commands.json("plan", "--new-config", str(new))


def test_a_plan_tells_what_is_gained_lost_and_retagged(commands: Commands) -> None:
    commands.offer('{"product_id": "1520", "physical_network": "physnet1"}')
    code, told = planned(
        commands,
        f'{{"address": "{VF0}", "physical_network": "physnet2"}}',
        f'{{"address": "{VF1}", "exclude": true}}',
        '{"vendor_id": "10de"}',
    )
    assert code == 0
    assert [each["address"] for each in told["gained"]] == [CARD]
    assert [each["address"] for each in told["lost"]] == [VF1]
    assert [(each["address"], each["tags_now"], each["tags_then"]) for each in told["retagged"]] == [
        (VF0, {"physical_network": "physnet1"}, {"physical_network": "physnet2"})
    ]
    assert told["kept"] == 0


def test_a_plan_that_would_strand_an_instance_names_it(commands: Commands) -> None:
    commands.hold(VF0)
    commands.offer('{"product_id": "1520"}')
    code, told = planned(commands, '{"vendor_id": "10de"}')
    assert code == 1
    assert [(each["address"], [held["instance_uuid"] for held in each["holders"]]) for each in told["lost"]] == [
        (VF0, [INSTANCE]),
        (VF1, []),
    ]
    new = commands.config.with_name("new.conf")
    text = commands("plan", "--new-config", str(new))[1]
    assert f"held by {INSTANCE} (the agent's store): it stays with its holder" in text
    assert text.splitlines()[-1] == "1 gained, 2 lost, 0 retagged, 0 as they are"


def test_a_plan_changes_nothing(commands: Commands) -> None:
    commands.hold(VF0)
    before = {file.name: file.read_bytes() for file in commands.state.iterdir()}
    planned(commands, '{"vendor_id": "10de"}')
    assert {file.name: file.read_bytes() for file in commands.state.iterdir()} == before


def test_a_new_configuration_with_errors_is_told_and_exits_with_two(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    new = commands.config.with_name("new.conf")
    new.write_text('[pci]\ndevice_spec = {"vendor_id": "x"}\n')
    assert commands("plan", "--new-config", str(new)) == (2, "")
    assert run("plan", ["--new-config", str(new), "--config-file", str(commands.config)]) == 2
    assert "[pci] device_spec entry 1, vendor_id" in capsys.readouterr().err


def test_a_captured_machine_serves_too_and_says_what_it_lacks(commands: Commands, tmp_path: Path) -> None:
    capture = tmp_path / "machine.tar.gz"
    assert run("capture", [str(capture), "--sysfs-root", str(commands.sysfs)]) == 0
    commands.offer('{"vendor_id": "8086"}')
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("pci-agent")),
            *("explain", VF0, "--config-file", str(commands.config), "--sysfs-root", str(capture)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "outcome: offered by entry 1" in done.stdout
    assert "not known: what the host itself uses" in done.stdout


def test_a_tracked_device_of_before_facts_were_told_apart_is_read_back(commands: Commands) -> None:
    commands.hold(VF0)
    with sqlite3.connect(commands.state / "agent.sqlite") as database:
        (text,) = database.execute("SELECT tracked FROM device").fetchone()
        before = {key: value for key, value in json.loads(text).items() if key not in {"owner", "host_use"}}
        before |= {"status": "available", "status_reason": None}
        before["device"]["address"] = {"domain": 0, "bus": 4, "slot": 16, "function": 0}
        database.execute("UPDATE device SET tracked = ?", (json.dumps(before),))
    with Store.opened(str(commands.state), Machine.read()) as store:
        (item,) = store.tracked().values()
    assert (item.status, item.owner, item.host_use, item.listed) == ("available", None, (), True)
