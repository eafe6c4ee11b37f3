"""A detailed list keeps the JSON of devices, and shows nothing that isn't so any more."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from buses import get, rest
from centres import Centre, centre
from pci_agent.api.kept import Kept
from pci_agent.api.v3 import VIEW
from pci_agent.tracker.lists import Filters, Page
from pci_agent.tracker.store import Store

A, B = "compute-1", "compute-2"
LIST = "/v3/os-pci/detail"


@pytest.fixture
def fleet(tmp_path: Path, store: Store) -> Iterator[Centre]:
    with centre(tmp_path, store, {A: 1, B: 2}) as made:
        yield made


@pytest.fixture
def small(tmp_path: Path, sqlite: Engine) -> Iterator[Centre]:
    with centre(tmp_path, Store(sqlite, host_down_s=75), {A: 1, B: 2}) as made:
        yield made


def documents_read(engine: Engine) -> list[str]:
    """Note the statements that read documents."""
    read: list[str] = []

    def note(*told: Any) -> None:
        if "document" in told[2]:
            read.append(told[2])

    event.listen(engine, "before_cursor_execute", note)
    return read


def test_what_has_changed_is_shown_as_it_is_now(fleet: Centre) -> None:
    client = rest(fleet.store, agents=fleet.agents)
    before = get(client, LIST)["pci_devices"]
    assert get(client, LIST)["pci_devices"] == before
    device = f"/v3/os-pci/{before[0]['uuid']}"
    client.simulate_post(f"{device}/disable", json={"reason": "its fan is broken"})
    after = get(client, LIST)["pci_devices"]
    assert after == [get(client, f"/v3/os-pci/{each['uuid']}")["pci_device"] for each in before]
    assert [each["status"] for each in after] == ["unavailable", "available", "available"]
    client.simulate_post(f"{device}/enable")
    assert get(client, LIST)["pci_devices"][0]["status"] == "available"


def test_a_host_that_is_renamed_has_its_new_name(small: Centre) -> None:
    client = rest(small.store)
    get(client, LIST)
    with small.store._engine.begin() as connection:
        named = "UPDATE compute_nodes SET hypervisor_hostname = 'new' WHERE hypervisor_hostname"
        connection.execute(text(f"{named} = '{A}'"))
    assert [each["hypervisor_hostname"] for each in get(client, LIST)["pci_devices"]] == ["new", B, B]


def test_only_devices_that_have_changed_are_read_again(small: Centre) -> None:
    client, read = rest(small.store, agents=small.agents), documents_read(small.store._engine)
    get(client, LIST)
    assert len(read) == 1
    get(client, LIST)
    get(client, f"{LIST}?limit=1")
    get(client, f"{LIST}?hypervisor={B}&sort_key=address&sort_dir=desc")
    assert len(read) == 1
    client.simulate_post(f"/v3/os-pci/pci_0000_04_10_1/disable?hypervisor={B}", json={"reason": "a test"})
    read.clear()
    get(client, LIST)
    assert len(read) == 1
    assert read[0].count("?") == 1, "one device is asked for"


def test_no_more_is_kept_than_may_be(small: Centre) -> None:
    kept = Kept(small.store.lists, most=2)
    listed = small.store.lists.stamps(Filters(), Page(limit=10))
    for _ in range(2):
        assert len(kept.texts(VIEW.devices_in_full, listed)) == 3
        assert len(kept._texts) == 2


def test_a_device_that_is_purged_meanwhile_is_left_out(small: Centre) -> None:
    kept = Kept(small.store.lists)
    listed = small.store.lists.stamps(Filters(), Page(limit=10))
    with small.store._engine.begin() as connection:
        connection.execute(text("DELETE FROM pci_devices WHERE address = '0000:04:10.1'"))
    assert len(kept.texts(VIEW.devices_in_full, listed)) == 2


def test_what_is_read_of_another_row_than_was_listed_is_not_kept(small: Centre) -> None:
    kept = Kept(small.store.lists)
    listed = small.store.lists.stamps(Filters(), Page(limit=10))
    row_id, node, _, at = listed.rows[0].split(" ", 3)
    newer = replace(listed, rows=[f"{row_id} {node} {'0' * 32} {at}", *listed.rows[1:]])
    assert len(kept.texts(VIEW.devices_in_full, newer)) == 3
    assert set(kept._texts) == set(listed.rows[1:])


def test_an_empty_list_is_one_too(small: Centre) -> None:
    assert get(rest(small.store), f"{LIST}?hypervisor=nowhere") == {"pci_devices": []}
