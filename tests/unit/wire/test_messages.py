import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pci_agent.errors import MessageRefused
from pci_agent.wire import messages
from pci_agent.wire.messages import Heartbeat, Report, Token, digest, digest_after, pack, unpack
from pci_agent.wire.refused import Refused

TOKEN = Token(session="s", generation=1, digest="0" * 32)
REPORT = Report(agent_uuid="u", host="h", session="s", over=None, token=TOKEN, full=True)
POOL = {"vendor_id": "8086", "product_id": "1520", "free": 1, "total": 1}


def packed(document: object) -> str:
    return base64.b64encode(zlib.compress(json.dumps(document).encode())).decode()


def altered(**changes: object) -> str:
    return packed({**REPORT.model_dump(mode="json"), **changes})


def test_a_message_survives_the_way() -> None:
    assert unpack(Report, pack(REPORT)) == REPORT


def test_a_later_minor_version_is_read_without_what_is_new_in_it() -> None:
    assert unpack(Report, altered(version="1.7", colour="blue")).version == "1.7"


def test_another_major_version_is_refused_by_name() -> None:
    with pytest.raises(MessageRefused, match="Report: version 2.0 can't be read here, 1.0 can"):
        unpack(Report, altered(version="2.0", host=7))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "its body is no text"),
        ("hello", "can't be unpacked"),
        (base64.b64encode(b"hello").decode(), "can't be unpacked"),
        (base64.b64encode(zlib.compress(b"{}" * 999)[:-9]).decode(), "breaks off in the middle"),
        (packed({"hello": "world"}), "no version in it"),
        (packed([1]), "no version in it"),
        (altered(host=""), "host: String should have at least 1 character"),
        (altered(token={"session": "s", "generation": -1, "digest": "0" * 32}), "token.generation"),
        (altered(token={"session": "s", "generation": 1, "digest": "banana"}), "token.digest"),
    ],
)
def test_what_is_no_message_of_ours_is_refused_with_the_reason(body: object, why: str) -> None:
    with pytest.raises(MessageRefused, match=why):
        unpack(Report, body)


def test_a_message_that_grows_too_big_is_refused_before_it_is_whole() -> None:
    bomb = base64.b64encode(zlib.compress(b" " * (messages.MOST_BYTES + 1), 9)).decode()
    assert len(bomb) < 100_000
    with pytest.raises(MessageRefused, match="too big"):
        unpack(Heartbeat, bomb)
    with pytest.raises(MessageRefused, match="too big"):
        unpack(Heartbeat, "A" * (messages.MOST_BYTES + 1))


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(zlib.compress(raw)).decode()))
def test_no_body_raises_anything_but_our_refusal(body: str) -> None:
    with pytest.raises(MessageRefused):
        unpack(Report, body)


hashes = st.lists(st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"))


@given(hashes, hashes, hashes)
def test_the_digest_after_a_change_is_that_of_what_is_there_then(
    stay: list[str], gone: list[str], come: list[str]
) -> None:
    assert digest_after(digest(stay + gone), gone, come) == digest(come + stay)


def test_what_is_refused_is_counted_by_sort_and_logged_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    counted = Refused()
    assert str(counted) == ""
    for _ in range(9):
        counted.add(MessageRefused("Report: what", kind="Report", why="field"))
    counted.add(MessageRefused("call: which", kind="call", why="method"))
    assert str(counted) == "refused 10 messages (Report field 9, call method 1)"
    assert [record.getMessage().split(" of ")[0] for record in caplog.records] == [
        f"refused message {number}" for number in (1, 2, 4, 8, 1)
    ]


def test_a_refusal_is_one_short_line_whatever_names_are_in_the_message() -> None:
    with pytest.raises(MessageRefused) as refused:
        unpack(Report, altered(pools=[{**POOL, "tags": {"a\n" * 9999: 7}}]))
    told = str(refused.value)
    assert (len(told) < 300, "\n" in told, refused.value.kind, refused.value.why) == (True, False, "Report", "field")


def test_a_long_list_of_wrong_things_is_refused_at_the_first_of_them() -> None:
    for field, value in (("devices", [{}] * 1000), ("pools", [{"tags": {str(number): 7 for number in range(1000)}}])):
        with pytest.raises(ValidationError) as refused:
            Report.model_validate({**REPORT.model_dump(), field: value})
        assert refused.value.error_count() < 20
