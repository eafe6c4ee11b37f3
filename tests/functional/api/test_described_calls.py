"""
What OpenAPI says of REST holds, whatever is sent: schemathesis makes up calls, and judges every answer.

They go to real agents and a real database. One host of three never answers, so a documented 504 is an answer like any
other; no other 5xx is.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.coverage._operation import iter_coverage_cases

import shares
from buses import parts
from centres import Centre, centre
from pci_agent.api.app import application
from pci_agent.model.request import parse_aliases
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from services import PostgreSQL

SILENT = "compute-3"
VFS = {"compute-1": 2, "compute-2": 4, SILENT: 2}
VERBS = ("explain", "whitelist", "plan", "disable", "enable", "claim", "allocate", "free")
ALIASES = ('{"name": "nic", "product_id": "1520", "device_type": "type-VF"}',)
INSTANCES = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(3)]
REQUESTS = ["r1", "r2", "r3", "r4"]

SHARE, LONG = 700, 10_000
"""So many calls at least in every run, and in one with --long."""

# These look at calls that follow one another by links, which we have none of, or at tokens, which noauth wants none of.
UNASKED = {"use_after_free", "ensure_resource_availability", "ignored_auth", "object_level_authorization"}
UNTOLD = (
    "take it from the page before",  # a marker
    "no alias is called",
    "is another request's already",
    "it is over already",  # a time to come
    "no tag is called that",
)
"""What 400 says of values that no schema can tell from others: refusing them is no defect."""


class Calls:
    """
    Calls that were made up, and what came of them.

    Attributes:
        answered: how often each code was answered to each operation
        wrong: what was wrong, by operation, once each
    """

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()
        self.wrong: dict[tuple[str, str], str] = {}

    @property
    def number(self) -> int:
        return self.answered.total()

    def codes(self) -> set[int]:
        return {code for _, code in self.answered}

    def make(self, case: Any) -> None:
        response = case.call()
        self.answered[case.operation.label, response.status_code] += 1
        excluded = [check for check in CHECKS.get_all() if check.__name__ in self._not_for(response)]
        try:
            case.validate_response(response, excluded_checks=excluded)
        except* schemathesis.errors.SchemathesisError as odd:
            self._note(case, response, odd.exceptions)
        except* AssertionError as wrong:
            self._note(case, response, wrong.exceptions)

    def _note(self, case: Any, response: Any, wrongs: Iterable[BaseException]) -> None:
        for each in wrongs:
            told = f"{each}\n{response.text[:1000]}\n{case.as_curl_command()[:2000]}"
            self.wrong.setdefault((case.operation.label, type(each).__name__), told)

    @staticmethod
    def _not_for(response: Any) -> set[str]:
        """Name the checks that have nothing to say of an answer."""
        if response.status_code == 504:
            return {*UNASKED, "not_a_server_error"}  # that it is documented another one checks
        if response.status_code == 400:
            (fault,) = orjson.loads(response.content).values()
            if "refusals" in fault or any(each in fault["message"] for each in UNTOLD):
                return {*UNASKED, "positive_data_acceptance"}
        url = str(response.request.url)
        if "tag%3A" in url and "=null" in url:
            return {*UNASKED, "negative_data_rejection"}  # no text was meant, and a text was sent, which a tag may have
        return UNASKED


@pytest.fixture
def fleet(postgresql: PostgreSQL, tmp_path: Path) -> Iterator[Centre]:
    engine = database.connect(postgresql.database())
    database.upgrade(engine)
    with centre(tmp_path, Store(engine, host_down_s=10**8), VFS) as made:
        made.agents.lost |= {(SILENT, verb) for verb in VERBS}
        yield made
    engine.dispose()


def known(fleet: Centre) -> dict[str, st.SearchStrategy[str]]:
    """What names mean something, by the word for them in paths and parameters."""
    devices, hosts = fleet.store.devices(), fleet.store.hypervisors()
    named = [str(each[word]) for each in devices for word in ("id", "uuid", "address", "dev_id")]
    named_hosts = [str(each[word]) for each in hosts for word in ("id", "hypervisor_hostname")]
    return {
        "pci_device_id": st.sampled_from([*named, "0000:04:00.0"]),
        "hypervisor_hostname": st.sampled_from(named_hosts),
        "hypervisor": st.sampled_from(named_hosts),
        "instance_uuid": st.sampled_from(INSTANCES),
        "server_id": st.sampled_from(INSTANCES),
        "request_id": st.sampled_from(REQUESTS),
        "marker": st.sampled_from([str(each["uuid"]) for each in devices]),
    }


def bodies() -> dict[str, st.SearchStrategy[Any]]:
    """Bodies that mean something, by the end of the path that they are sent to."""
    specs = st.sampled_from([{"product_id": "1520"}, {"vendor_id": "8086", "dev_type": "type-VF"}])
    wanted = st.fixed_dictionaries({"request_id": st.sampled_from(REQUESTS), "specs": st.tuples(specs).map(list)})
    hosts = st.sampled_from([*VFS, None])
    placed = st.fixed_dictionaries({"requests": st.tuples(wanted).map(list), "hypervisor": hosts})
    entry = st.sampled_from([{"product_id": "1520"}, {"address": "0000:04:00.0"}, '{"vendor_id": "8086"}'])
    return {
        "{instance_uuid}": placed,
        "candidates": placed,
        "plan": st.fixed_dictionaries({"device_spec": st.lists(entry, max_size=3)}),
        "disable": st.just({"reason": "a test", "until": "2099-01-01T00:00:00Z"}),
    }


def meaning(case: Any, data: st.DataObject, names: Mapping[str, Any], texts: Mapping[str, Any]) -> None:
    """Let a call name what is there, now and then; made-up names are hardly ever anybody's."""
    for part in (case.path_parameters, case.query):
        for name in (part or {}).keys() & names.keys():
            if data.draw(st.integers(0, 4)):
                part[name] = data.draw(names[name])
    word = case.operation.path.rpartition("/")[2]
    if word in texts and case.operation.body and data.draw(st.booleans()):
        case.body, case.media_type = data.draw(texts[word]), "application/json"


def fuzzed(cases: st.SearchStrategy[Any], count: int, make: Callable[[Any, st.DataObject], None]) -> None:
    """Make up so many calls."""

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, data=st.data())
    def call(case: Any, data: st.DataObject) -> None:
        make(case, data)

    call()


def covered(operation: Any, methods: AbstractSet[str]) -> Iterator[Any]:
    """Give the calls at the edges of what is described, and with methods that aren't there."""
    yield from iter_coverage_cases(
        operation=operation,
        generation_modes=list(GenerationMode),
        generate_duplicate_query_parameters=True,
        unexpected_methods={"DELETE", "PATCH", "PUT", "TRACE"} - methods,
        generation_config=operation.schema.config.generation_for(operation=operation),
    )


def test_every_answer_is_one_that_is_described(fleet: Centre) -> None:
    aliases = parse_aliases(ALIASES)
    app = application(parts(fleet.store, agents=fleet.agents, aliases=aliases, most=5))
    described = schemathesis.openapi.from_wsgi("/openapi.json", app)
    operations = [found.ok() for found in described.get_all_operations() if isinstance(found, Ok)]
    wanted = LONG if shares.run.long else SHARE
    names, texts, calls = known(fleet), bodies(), Calls()

    def meant(case: Any, data: st.DataObject) -> None:
        meaning(case, data, names, texts)
        calls.make(case)

    def broken(case: Any, _data: st.DataObject) -> None:
        calls.make(case)

    methods: defaultdict[str, set[str]] = defaultdict(set)
    for operation in operations:
        methods[operation.path].add(operation.method.upper())
    for operation in operations:
        for case in islice(covered(operation, methods[operation.path]), wanted // 4 // len(operations)):
            calls.make(case)
    varied = [each for each in operations if each.path_parameters or each.query or each.body]
    count = (wanted - calls.number) // len(varied) // 2 + 1
    while calls.number < wanted and not calls.wrong:
        for operation in varied:
            fuzzed(operation.as_strategy(GenerationMode.POSITIVE), count, meant)
            if operation.query or operation.body:
                fuzzed(operation.as_strategy(GenerationMode.NEGATIVE), count, broken)
    assert calls.wrong == {}, "\n\n".join(f"{where}: {told}" for where, told in calls.wrong.items())
    assert calls.number >= wanted
    assert {200, 400, 404, 405, 409, 504} <= calls.codes()
    assert {label for label, _ in calls.answered} == {each.label for each in operations}
