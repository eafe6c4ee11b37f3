"""
What agents of earlier versions say, as they wrote it, and what those of later ones may: a tracker takes both.

``reports`` holds what real agents said to a tracker that held nothing: a heartbeat, their first report, and the one
after a change, or with a claim's answer. ``lacks`` names the fields that came later. Never edit one of them; where a
field is added, add a file that a released agent wrote without it.
"""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import strange
from sqlalchemy import Engine

from buses import get, rest
from hosts import tell
from pci_agent import __version__
from pci_agent.tracker import database, pools
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.store import Store
from pci_agent.wire.commands import CommandAnswer
from pci_agent.wire.messages import Answer, DeviceRecord, Heartbeat, PoolRecord, Report, Verdict, unpack

FOLDER = Path(__file__).with_name("reports")
WRITTEN = sorted(file.stem for file in FOLDER.glob("*.json"))
LATER = {"attempt": 0, "used": 0, "observing": False}
"""What stands where a field is that an earlier version doesn't send."""


def said(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def read(each: dict[str, Any]) -> Heartbeat | Report:
    body = strange.packed(each["message"])
    return unpack(Report, body) if each["kind"] == "Report" else unpack(Heartbeat, body)


@pytest.fixture
def store(sqlite: Engine) -> Store:
    return Store(sqlite, host_down_s=75)


def held(store: Store) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """What a tracker holds of the one host: what is told of itself, of its devices, and of its pools."""
    (host,) = store.hypervisors()
    status = {**host["agent_status"], "observing": host["observing"]}
    rows = [{field: row[field] for field in DeviceRecord.model_fields} for row in store.devices()]
    with store._engine.connect() as connection:
        counted = [pool.model_dump(mode="json") for pool in pools.of_host(connection, host["id"])]
    assert host["pci_stats"] == sorted(counted, key=host["pci_stats"].index)
    return status, rows, counted


def completed(record: dict[str, Any], fields: Any) -> dict[str, Any]:
    """Give a record as it was written, with what came later."""
    return {field: record[field] if field in record else LATER[field] for field in fields}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_an_earlier_agent_says_is_held_as_it_said_it(store: Store, name: str) -> None:
    heartbeat, first, second = said(name)["said"]
    assert tell(store, read(heartbeat)).verdict is Verdict.HOLDS
    for report in (first, second):
        assert tell(store, read(report)).verdict is Verdict.OK
        status, rows, counted = held(store)
        message = report["message"]
        expected = {each["uuid"]: completed(each, DeviceRecord.model_fields) for each in first["message"]["devices"]}
        changed = {each["uuid"]: completed(each, DeviceRecord.model_fields) for each in message["devices"]}
        expected = {uuid: each for uuid, each in (expected | changed).items() if uuid not in message["removed"]}
        assert {row["uuid"]: row for row in rows} == expected
        for pool in message["pools"]:
            assert completed(pool, PoolRecord.model_fields) in counted
        assert status == {**first["message"]["status"], "observing": LATER["observing"]}


@pytest.mark.parametrize("name", WRITTEN)
def test_an_earlier_message_lacks_what_it_says_that_it_lacks(name: str) -> None:
    whole, lacks = json.dumps(said(name)["said"]), said(name)["lacks"]
    assert [field for field in LATER if f'"{field}"' not in whole] == [field for field in LATER if field in lacks]


@pytest.mark.parametrize("name", [name for name in WRITTEN if said(name)["answered"]])
def test_an_earlier_agents_answer_to_a_claim_is_applied_as_its_own_report(store: Store, name: str) -> None:
    heartbeat, first, second = said(name)["said"]
    for each in (heartbeat, first):
        tell(store, read(each))
    (answer,) = said(name)["answered"]
    report = unpack(CommandAnswer, strange.packed(answer["message"])).report
    assert report is not None
    assert store.accept(report).verdict is Verdict.OK
    before = held(store)
    assert tell(store, read(second)).verdict is Verdict.OK, "the row equals it already"
    assert held(store) == before
    (row,) = (row for row in store.devices() if row["status"] == "claimed")
    assert (row["project_id"], row["user_id"], row["attempt"]) == ("p1", "u1", 2)


def with_later_fields(document: Any) -> Any:
    """Write something of a later minor version into every record of a message."""
    if isinstance(document, list):
        return [with_later_fields(each) for each in document]
    if not isinstance(document, dict):
        return document
    open_ended = ("tags", "extra_info")
    fields = {key: value if key in open_ended else with_later_fields(value) for key, value in document.items()}
    return {**fields, "of_a_later_version": {"deep": [1, 2]}}


def test_what_a_later_minor_version_adds_is_passed_over_and_the_rest_is_held(store: Store, tmp_path: Path) -> None:
    for each in said("with-all")["said"]:
        message = {**with_later_fields(each["message"]), "version": "1.7"}
        tell(store, read({**each, "message": message}))
    after = held(store)
    assert "of_a_later_version" not in repr(after)
    other = database.connect(f"sqlite:///{tmp_path}/other.sqlite")
    database.upgrade(other)
    plain = Store(other, host_down_s=75)
    for each in said("with-all")["said"]:
        tell(plain, read(each))
    assert held(plain) == after
    assert plain.verify() == store.verify() == []
    other.dispose()


def test_another_major_version_is_refused_by_name_and_changes_nothing(store: Store) -> None:
    endpoint = Endpoint(store)
    for each in said("with-all")["said"]:
        body = strange.packed({**each["message"], "version": "2.0"})
        method = endpoint.report if each["kind"] == "Report" else endpoint.heartbeat
        answer = unpack(Answer, method(None, body))
        assert answer.verdict is Verdict.REFUSED
        assert answer.reason == f"{each['kind']}: version 2.0 can't be read here, 1.0 can: upgrade me"
    assert store.hypervisors() == []


@pytest.mark.parametrize(
    "answer",
    [
        {"version": "1.0", "verdict": "holds", "token": None, "reason": None},
        {"version": "1.0", "verdict": "holds", "token": None, "reason": None, "owners": []},
        {"version": "1.7", "verdict": "holds", "of_a_later_version": 7},
    ],
)
def test_an_agent_reads_the_answers_of_earlier_and_later_trackers(answer: dict[str, Any]) -> None:
    assert unpack(Answer, strange.packed(answer)) == Answer(version=answer["version"], verdict=Verdict.HOLDS)


def test_an_older_agent_is_shown_as_such_and_said_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    heartbeat, first, _ = said("with-all")["said"]
    for each in (heartbeat, first):
        each["message"]["status"]["agent_version"] = "0.0.9"
        tell(store, read(each))
    client = rest(store)

    def shown() -> list[Any]:
        (listed,) = get(client, "/v3/os-hypervisors")["hypervisors"]
        views = (listed, get(client, "/v3/os-hypervisors/compute-1")["hypervisor"])
        return [(view["agent_version"], view["agent_is_older"]) for view in views]

    assert shown() == [("0.0.9", True)] * 2
    for counter in (7, 8):
        status = {**heartbeat["message"]["status"], "counter": counter, "agent_version": __version__}
        message = {**heartbeat["message"], "token": first["message"]["token"], "status": status}
        assert tell(store, read({"kind": "Heartbeat", "message": message})).verdict is Verdict.OK
    assert shown() == [(__version__, False)] * 2
    assert [record.getMessage() for record in caplog.records if "its agent is of version" in record.getMessage()] == [
        f"compute-1: its agent is of version 0.0.9 now, older than this tracker's {__version__}: update it",
        f"compute-1: its agent is of version {__version__} now",
    ]
