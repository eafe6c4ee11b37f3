import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from machines import CARD
from pci_agent.agent.conversation import State
from pci_agent.agent.identity import Machine
from pci_agent.agent.store import Store
from pci_agent.errors import StoreRefused
from pci_agent.model.inventory import TrackedDevice
from pci_agent.wire.messages import Token

ZERO = "0" * 32
HERE = Machine("0123", "abcd")
TRACKED = TrackedDevice(uuid="u1", identity="card", device=CARD, tags={"physical_network": None, "rack": "7"})


def token(session: str, generation: int = 1) -> Token:
    return Token(session=session, generation=generation, digest=f"{generation:032x}")


def test_what_was_committed_is_read_back_as_it_was(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        store.commit([TRACKED], token(store.begin_session(ZERO).session))
    with Store.opened(str(tmp_path), HERE) as store:
        assert store.tracked() == {"card": TRACKED}


def test_a_device_kept_before_cards_showed_what_they_are_is_read_back(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        store.commit([TRACKED], token(store.begin_session(ZERO).session))
    with closing(sqlite3.connect(tmp_path / "agent.sqlite")) as database, database:
        database.execute(
            "UPDATE device SET tracked = json_remove(tracked, '$.device.serial_number', '$.device.permanent_mac')"
        )
        assert "serial_number" not in database.execute("SELECT tracked FROM device").fetchone()[0]
    with Store.opened(str(tmp_path), HERE) as store:
        assert store.tracked() == {"card": TRACKED}


def test_a_device_is_kept_by_the_names_of_what_is_known_of_it(tmp_path: Path) -> None:
    item = TrackedDevice(uuid="u", identity="i", device=CARD)
    with Store.opened(str(tmp_path), HERE) as store:
        store.begin_session(ZERO)
        store.commit([item], token("s"))
    with closing(sqlite3.connect(tmp_path / "agent.sqlite")) as database:
        (vendor_id,) = database.execute("SELECT json_extract(tracked, '$.device.vendor_id') FROM device").fetchone()
    assert vendor_id == CARD.vendor_id


def test_the_agents_uuid_stays(tmp_path: Path) -> None:
    uuids = set()
    for _ in range(2):
        with Store.opened(str(tmp_path), HERE) as store:
            uuids.add(store.agent_uuid)
    assert len(uuids) == 1


def test_each_start_is_a_session_that_knows_the_last_state_of_those_before(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        first = store.begin_session(ZERO)
        store.commit([TRACKED], token(first.session, 7))
    with Store.opened(str(tmp_path), HERE) as store:
        second = store.begin_session(ZERO)
    assert first.lineage == ()
    assert second.lineage == (token(first.session, 7),)
    assert second.generation == 7
    assert second.session != first.session


def test_the_last_sixteen_sessions_travel_along(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        names = [store.begin_session(ZERO).session for _ in range(20)]
        assert [each.session for each in store.begin_session(ZERO).lineage] == names[-16:]


def test_a_state_that_only_the_tracker_knew_ends_the_lineage(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        store.begin_session(ZERO)
        assert store.begin_session(ZERO, inherited=[token("lost", 9)]).lineage[-1] == token("lost", 9)


def test_an_acknowledgement_is_kept_by_its_difference(tmp_path: Path) -> None:
    first, second = State(token("s", 1), {"a": "1", "b": "2"}), State(token("s", 2), {"b": "3", "c": "4"})
    with Store.opened(str(tmp_path), HERE) as store:
        assert store.acknowledged() is None
        store.acknowledge(first, {})
        store.acknowledge(second, first.hashes)
    with Store.opened(str(tmp_path), HERE) as store:
        assert store.acknowledged() == second


def test_names_are_remembered_within_a_boot(tmp_path: Path) -> None:
    for boot, expected in (("1", {}), ("1", {"eth0": "card"}), ("2", {}), ("1", {"eth0": "card"})):
        with Store.opened(str(tmp_path), replace(HERE, boot_id=boot)) as store:
            assert store.remembered() == expected
            if not expected and boot == "1":
                store.remember({"eth0": "card"})


def test_a_store_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        ours = store.agent_uuid
    with sqlite3.connect(tmp_path / "agent.sqlite") as database:
        database.execute("DROP TABLE netdev")
        database.execute("DROP TABLE host")
        database.execute("PRAGMA user_version = 1")
    with Store.opened(str(tmp_path), HERE) as store:
        assert (store.agent_uuid, store.remembered()) == (ours, {})


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with (
        Store.opened(str(tmp_path), HERE),
        pytest.raises(StoreRefused, match="another pci-agent is running"),
        Store.opened(str(tmp_path), HERE),
    ):
        pass


@pytest.mark.parametrize("there", [Machine("4567", None), Machine("0123", "ffff"), Machine(None, "ffff")])
def test_a_store_found_on_another_machine_is_begun_anew(tmp_path: Path, there: Machine) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        ours = store.agent_uuid
        store.commit([TRACKED], token(store.begin_session(ZERO).session))
    with Store.opened(str(tmp_path), there) as store:
        assert store.agent_uuid != ours
        assert store.tracked() == {}
        assert store.begin_session(ZERO).lineage == ()


def test_what_one_start_could_not_read_of_the_machine_the_next_learns(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), Machine("0123", None)) as store:
        ours = store.agent_uuid
    with Store.opened(str(tmp_path), HERE) as store:
        assert store.agent_uuid == ours
    with Store.opened(str(tmp_path), Machine(None, "ffff")) as store:
        assert store.agent_uuid != ours


def test_a_store_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE):
        pass
    with sqlite3.connect(tmp_path / "agent.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreRefused, match="written by a later pci-agent"), Store.opened(str(tmp_path), HERE):
        pass


def is_no_database(file: Path) -> None:
    file.write_text("this is no database, and long enough to be read as one\n" * 20)


def has_a_torn_page(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 4] = os.urandom(4096)
    file.write_bytes(content)


def is_cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: 4096 * 5 + 17])


def holds_a_device_that_is_none(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE device SET tracked = '{}'")


def lacks_a_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DROP TABLE session")


@pytest.mark.parametrize(
    "damage", [is_no_database, has_a_torn_page, is_cut_off, holds_a_device_that_is_none, lacks_a_table]
)
def test_a_damaged_file_is_moved_aside_and_named_and_the_agent_stays_itself(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        ours = store.agent_uuid
        many = [replace(TRACKED, uuid=str(number), identity=str(number)) for number in range(100)]
        store.commit(many, token(store.begin_session(ZERO).session))
    damage(tmp_path / "agent.sqlite")
    damaged = (tmp_path / "agent.sqlite").read_bytes()
    for number in (1, 2):
        with Store.opened(str(tmp_path), HERE) as store:
            assert (store.agent_uuid, store.tracked()) == (ours, {})
            assert store.begin_session(ZERO).lineage == ()
            assert store.trouble is not None
        aside = tmp_path / f"agent.sqlite.damaged-{number}"
        assert aside.read_bytes() == damaged
        assert str(aside) in store.trouble
        assert str(aside) in caplog.text
        (tmp_path / "agent.sqlite").write_bytes(damaged)


def test_a_file_that_is_gone_is_missed_and_the_agent_stays_itself(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        ours = store.agent_uuid
        assert store.trouble is None
    (tmp_path / "agent.sqlite").unlink()
    with Store.opened(str(tmp_path), HERE) as store:
        assert store.agent_uuid == ours
        assert "is gone" in (store.trouble or "")
    with Store.opened(str(tmp_path), HERE) as store:
        assert store.trouble is None


def test_a_store_of_before_the_file_beside_it_keeps_its_agent(tmp_path: Path) -> None:
    with Store.opened(str(tmp_path), HERE) as store:
        ours = store.agent_uuid
        store.commit([TRACKED], token(store.begin_session(ZERO).session))
    (tmp_path / "agent.json").unlink()
    with Store.opened(str(tmp_path), HERE) as store:
        assert (store.agent_uuid, list(store.tracked())) == (ours, ["card"])
    (tmp_path / "agent.json").write_text("{")
    with Store.opened(str(tmp_path), HERE) as store:
        assert (store.agent_uuid, list(store.tracked())) == (ours, ["card"])


def test_a_store_alone_that_came_from_another_machine_is_emptied_and_the_agent_stays_itself(tmp_path: Path) -> None:
    there = tmp_path / "there"
    with Store.opened(str(there), Machine("4567", "ffff")) as store:
        store.commit([TRACKED], token(store.begin_session(ZERO).session))
    with Store.opened(str(tmp_path / "here"), HERE) as store:
        ours = store.agent_uuid
    shutil.copy(there / "agent.sqlite", tmp_path / "here")
    with Store.opened(str(tmp_path / "here"), HERE) as store:
        assert (store.agent_uuid, store.tracked()) == (ours, {})


def test_a_place_that_cannot_be_written_is_refused_with_the_option_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused, match="state_dir"), Store.opened(str(tmp_path / "file/below"), HERE):
        pass
