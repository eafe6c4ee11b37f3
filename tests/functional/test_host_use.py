"""What the host itself uses is shown and not offered, from the agent to the tracker."""

from pathlib import Path

from hosts import Host
from pci_agent.tracker.store import Store
from sysfs import FakeSysfs

PF, VF0, VF1 = "0000:04:00.0", "0000:04:10.0", "0000:04:10.4"


def shown(store: Store) -> dict[str, tuple[str, str | None]]:
    return {row["address"]: (row["status"], row["status_reason"]) for row in store.devices()}


def free(store: Store) -> dict[str, int]:
    (row,) = store.hypervisors()
    return {pool["dev_type"]: pool["free"] for pool in row["pci_stats"]}


def host(tmp_path: Path, *specs: str) -> Host:
    sysfs = FakeSysfs(tmp_path / "sys")
    sysfs.add_pf(PF, vfs=[VF0, VF1])
    return Host("compute-1", sysfs, tmp_path / "agent", *specs)


def test_a_vf_that_the_host_uses_is_unavailable_and_its_pf_too(tmp_path: Path, store: Store) -> None:
    compute = host(tmp_path)
    compute.uses = {VF0: "the default route goes through enp4s0f0v0"}
    compute.start()
    compute.report(store)
    reason = "the default route goes through enp4s0f0v0"
    assert shown(store) == {
        PF: ("unavailable", f"the host uses it: its VF {VF0}: {reason}"),
        VF0: ("unavailable", f"the host uses it: {reason}"),
        VF1: ("available", None),
    }
    assert free(store) == {"type-PF": 0, "type-VF": 1}
    compute.stop()


def test_a_pf_that_the_host_uses_still_gives_its_vfs(tmp_path: Path, store: Store) -> None:
    compute = host(tmp_path)
    compute.uses = {PF: "enp4s0f0 has the address 192.0.2.7"}
    compute.start()
    compute.report(store)
    assert free(store) == {"type-PF": 0, "type-VF": 2}
    compute.stop()


def test_use_that_comes_and_goes_is_told_though_no_device_changed(tmp_path: Path, store: Store) -> None:
    compute = host(tmp_path)
    compute.start()
    compute.report(store)
    compute.uses = {VF1: "enp4s0f0v1 is in the bridge br-ex"}
    assert compute.agent.look().changed
    compute.report(store)
    assert shown(store)[VF1] == ("unavailable", "the host uses it: enp4s0f0v1 is in the bridge br-ex")
    compute.uses = {}
    compute.restart()
    compute.report(store)
    assert free(store) == {"type-PF": 1, "type-VF": 2}
    compute.stop()


def test_a_source_that_cannot_be_read_for_a_while_offers_nothing_anew(tmp_path: Path, store: Store) -> None:
    compute = host(tmp_path)
    compute.uses = {VF0: "the default route goes through enp4s0f0v0"}
    compute.start()
    compute.report(store)
    compute.uses = {}
    compute.use_is_whole = False
    assert not compute.agent.look().changed
    assert shown(store)[VF0][0] == "unavailable"
    compute.use_is_whole = True
    assert compute.agent.look().changed
    compute.stop()


def test_an_entry_may_offer_it_all_the_same(tmp_path: Path, store: Store) -> None:
    compute = host(tmp_path, '{"product_id": "1520", "allow_host_use": true}', '{"product_id": "1521"}')
    compute.uses = {VF0: "the default route goes through enp4s0f0v0"}
    compute.start()
    compute.report(store)
    assert free(store) == {"type-PF": 0, "type-VF": 2}
    compute.stop()
