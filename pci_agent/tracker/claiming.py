"""
Claims devices for an instance: picks a host, claims there, tries the next.

* A request is looked for where it is already: on its row's host first, however full that is by now. What is done is
  done, and answered again, as long as its host's row shows it or can't know it yet.
* An attempt on another host is owed a free in the transaction that gives it up. On the same host the next attempt
  takes its place, and nothing is owed. Who finds that somebody else has gone on gives up what it did, and changes no
  more.
* A process may end between any two steps: whoever asks again goes on from the rows.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pydantic import ValidationError

from pci_agent.model import claims
from pci_agent.model.fit import ANYWHERE, GuestNuma
from pci_agent.model.request import PciRequest
from pci_agent.tracker import told
from pci_agent.tracker.attempts import Attempts
from pci_agent.tracker.orders import Orders
from pci_agent.tracker.scheduler import Candidate, Candidates
from pci_agent.tracker.standings import Attempt, Free, Node, Standing, State, Step, frees_of
from pci_agent.wire import asked as asked_for
from pci_agent.wire.commands import MOST_ATTEMPTS, AskedRecord, ClaimCommand, CommandAnswer, RequestRecord
from pci_agent.wire.control import AllocationAnswer, ClaimQuestion, Verdict
from pci_agent.wire.messages import DeviceRecord

_MOST_HOSTS = 10
_FIRST_HOSTS = 3  # the first one gives, as a rule: to find ten costs more than to ask it
_MOST_SILENT = 3
_MOST_AGAIN = 3
_MOST_STEPS = 100


class Finder(Protocol):
    """Knows which hosts could serve, from the rows alone; scheduler.Scheduler does."""

    def candidates(
        self,
        requests: Sequence[PciRequest],
        numa: GuestNuma = ANYWHERE,
        *,
        limit: int = 10,
        only: str | None = None,
        without: Container[str] = (),
    ) -> Candidates:
        """
        Name hosts for a set of requests.

        Args:
            requests: the set
            numa: where the guest's memory is
            limit: at most so many
            only: no other host than this, by name
            without: none of these agents, by uuid
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    What one claim asks for.

    Attributes:
        instance_uuid: for whom
        requests: all go to one host
        numa: where the guest's memory is
        project_id, user_id: the instance's
        host: only this one, by name; None for any
        lifetime_s: how long the claim lasts unless it is confirmed; None for the agent's own
    """

    instance_uuid: str
    requests: tuple[PciRequest, ...]
    numa: GuestNuma = ANYWHERE
    project_id: str | None = None
    user_id: str | None = None
    host: str | None = None
    lifetime_s: float | None = None


@dataclass(slots=True)
class Search:
    """
    How far one call for a claim has come. What must outlive the call is in the rows.

    Attributes:
        asked: the claim
        records: its requests as they travel, by request_id
        target: the host that was chosen last
        ready: True once that is written down, and it is to be asked
        mine: the attempts that this call made there and hasn't brought to an end
        kept: what was done before and is claimed along, so that it stays on one host
        tried: by agent_uuid, why that host is out
        silent: how many of them didn't answer
        again: how often a host was asked once more, with a later attempt or session
        least: what the next attempt must be above
        asked_hosts: how many were asked
        candidates: who is next; None where the scheduler wasn't asked yet
    """

    asked: Asked
    records: dict[str, AskedRecord]
    target: Node | None = None
    ready: bool = False
    mine: tuple[Attempt, ...] = ()
    kept: tuple[Attempt, ...] = ()
    tried: dict[str, str] = field(default_factory=dict)
    silent: int = 0
    again: int = 0
    least: int = 0
    asked_hosts: int = 0
    candidates: list[Candidate] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The request_ids."""
        return tuple(self.records)

    def takes(self, node: Node) -> bool:
        """True where the claim may be served there."""
        return self.asked.host in (None, node.host)

    def rule_out(self, why: str) -> None:
        """Ask the target no more."""
        if self.target is not None:
            self.tried[self.target.agent_uuid] = f"{self.target.host}: {why}"


class Claiming:
    """Carries claims out. Each public method is one step; *claim* takes them in turn."""

    def __init__(self, rows: Attempts, scheduler: Finder, orders: Orders) -> None:
        self._rows = rows
        self._scheduler = scheduler
        self._orders = orders

    def claim(self, asked: Asked) -> AllocationAnswer:
        """Claim devices for all requests on one host, or none."""
        try:
            search = Search(asked, _written(asked))
        except ValueError as wrong:
            return AllocationAnswer(verdict=Verdict.REFUSED, reason=str(wrong))
        for _ in range(_MOST_STEPS):
            answer = self.begin(search)
            if answer is None and search.ready:
                answer = self.conclude(search, self.ask(search))
            if answer is not None:
                return answer
        return self._lost(search)

    def begin(self, search: Search) -> AllocationAnswer | None:
        """
        Take the step that comes before a host is asked: choose it, write it down, owe what is given up.

        Returns:
            The answer where nobody is to be asked; None: ask the target where the search is ready, else begin again.
        """
        search.ready = False
        standings = self._rows.standings(search.names)
        if not all(_is_still(each, standings) for each in search.mine):
            return self._lost(search)
        refused = _refusal(search, standings.values())
        if refused is not None:
            return self._ended(search, *refused)
        held = [each for each in standings.values() if each.held]
        if len(held) == len(standings):
            return told.shown(held)
        target = self._target(search, standings.values(), held)
        if target is None:
            return self._nowhere(search, standings.values())
        return self._choose(search, standings.values(), target)

    def _choose(self, search: Search, standings: Iterable[Standing], target: Node) -> AllocationAnswer | None:
        steps = [_next_step(each, search, target) for each in standings if not each.held]
        if any(step.after.attempt > MOST_ATTEMPTS for step in steps):
            return self._ended(search, Verdict.CONFLICT, "it was tried too often: use another request_id")
        if self._rows.advance(steps, _left_behind(standings, target)):
            search.target, search.asked_hosts, search.ready = target, search.asked_hosts + 1, True
            search.mine = tuple(step.after for step in steps)
            search.kept = tuple(each.row for each in standings if each.held and each.row is not None)
        return None

    def ask(self, search: Search) -> CommandAnswer | str:
        """Have the target claim, and apply what it reports; the reason where it doesn't answer."""
        target, asked = search.target, search.asked
        if target is None:
            raise ValueError("begin chooses whom to ask")
        attempts = {each.request_id: each.attempt for each in (*search.mine, *search.kept)}
        command = ClaimCommand(
            agent_uuid=target.agent_uuid,
            session=target.session,
            instance_uuid=asked.instance_uuid,
            project_id=asked.project_id,
            user_id=asked.user_id,
            requests=tuple(
                RequestRecord(**record.model_dump(), attempt=attempts[name]) for name, record in search.records.items()
            ),
            lifetime_s=asked.lifetime_s,
            cells=tuple(sorted(asked.numa.cells)),
            sockets=dict(asked.numa.sockets),
        )
        return self._orders.give(target.host, "claim", command)

    def conclude(self, search: Search, answer: CommandAnswer | str) -> AllocationAnswer | None:
        """
        Take the step that an answer leads to.

        Returns:
            The answer to the controller; None: begin again.
        """
        if isinstance(answer, str):
            search.silent += 1
            search.rule_out(answer)
            return None
        if answer.verdict == claims.Verdict.OK and all(answer.devices.get(name) for name in search.names):
            return self._done(search, answer)
        reason = f"{answer.verdict}: {answer.reason}"
        if answer.verdict == claims.Verdict.CONFLICT:
            # What is there under this name is another's: a free of ours would take it.
            nowhere = (Step(each, replace(each, state=State.FAILED, agent_uuid=None)) for each in search.mine)
            self._rows.advance(nowhere)
            search.mine = ()
            return self._ended(search, Verdict.CONFLICT, reason)
        if self._may_ask_again(search, answer):
            search.again += 1
        else:
            search.rule_out(reason)
        return None

    def _may_ask_again(self, search: Search, answer: CommandAnswer) -> bool:
        """Tell whether the same host may serve a later attempt, or in another session."""
        if search.again >= _MOST_AGAIN or search.target is None:
            return False
        if answer.verdict in (claims.Verdict.FREED, claims.Verdict.STALE):
            search.least = max(search.least, min(answer.highest or 0, MOST_ATTEMPTS))
            return 0 < search.least < MOST_ATTEMPTS
        if answer.verdict == claims.Verdict.STRANGER:
            now = self._rows.node(search.target.agent_uuid)
            return now is not None and now.session != search.target.session
        return False

    def _done(self, search: Search, answer: CommandAnswer) -> AllocationAnswer:
        """Write down what was given, where the rows are still as they were when it was asked for."""
        steps = [
            Step(
                each,
                replace(
                    each,
                    state=State.DONE,
                    session=answer.token.session,
                    generation=answer.token.generation,
                    devices=answer.devices[each.request_id],
                ),
            )
            for each in search.mine
        ]
        if not self._rows.advance([*steps, *(Step(each, each) for each in search.kept)]):
            return self._lost(search)
        devices = self._devices(search, answer)
        records = [
            told.of_row(row, Verdict.OK, [devices[uuid] for uuid in answer.devices[row.request_id] if uuid in devices])
            for row in (*(step.after for step in steps), *search.kept)
        ]
        return told.told(Verdict.OK, None, records)

    def _devices(self, search: Search, answer: CommandAnswer) -> dict[str, DeviceRecord]:
        """Describe the devices that were given: as the agent just reported them, else as the rows have them."""
        uuids = {uuid for devices in answer.devices.values() for uuid in devices}
        agent = "" if search.target is None else search.target.agent_uuid
        reported = () if answer.report is None else answer.report.devices
        known = (*self._rows.devices(agent, sorted(uuids)), *reported)
        return {record.uuid: record for record in known if record.uuid in uuids}

    def _target(self, search: Search, standings: Iterable[Standing], held: Sequence[Standing]) -> Node | None:
        """Choose whom to ask: where a part is held, there or nowhere; else where it may be already; else the next."""
        if held:
            node = held[0].node
            return None if node is None or node.agent_uuid in search.tried else node
        if search.asked_hosts >= _MOST_HOSTS + search.again or search.silent >= _MOST_SILENT:
            return None
        for each in standings:
            for node in (each.node, *(shown.node for shown in each.shown)):
                if node is not None and node.up and node.agent_uuid not in search.tried and search.takes(node):
                    return node
        return self._next_candidate(search)

    def _next_candidate(self, search: Search) -> Node | None:
        """Take the scheduler's next host; where all are through, let it look once more at what has changed since."""
        asked = search.asked
        for _ in range(2):
            while search.candidates:
                each = search.candidates.pop(0)
                node = Node(each.agent_uuid, each.hypervisor_hostname, each.session, 0, up=True)
                if node.agent_uuid not in search.tried and search.takes(node):
                    return node
            if search.candidates is not None and not search.tried:
                return None
            limit = _MOST_HOSTS if search.tried else _FIRST_HOSTS
            found = self._scheduler.candidates(
                asked.requests, asked.numa, limit=limit, only=asked.host, without=frozenset(search.tried)
            )
            search.candidates = list(found.hosts)
        return None

    def _nowhere(self, search: Search, standings: Iterable[Standing]) -> AllocationAnswer | None:
        """Let what isn't held have failed: nobody else may be asked."""
        open_ = (State.CLAIMING, State.DONE)
        rows = [each.row for each in standings if each.row is not None and not each.held and each.row.state in open_]
        if not self._rows.advance([Step(row, replace(row, state=State.FAILED)) for row in rows], frees_of(rows)):
            return None
        tried = "; ".join(search.tried.values())
        reason = f"no host gave devices for all of it: {tried}" if tried else "no host that is up has devices for it"
        return self._show(search, Verdict.SILENT if search.silent else Verdict.NO_FIT, reason)

    def _lost(self, search: Search) -> AllocationAnswer:
        """Somebody else has gone on: give up what was done here, and answer what has become of it."""
        self._rows.give_up(search.mine)
        standings = self._rows.standings(search.names).values()
        refused = _refusal(search, standings)
        if refused is not None:
            return told.shown(standings, *refused)
        if all(each.held for each in standings):
            return told.shown(standings)
        return told.shown(standings, Verdict.STALE, "another call of the same request has gone on: ask again")

    def _ended(self, search: Search, verdict: Verdict, reason: str) -> AllocationAnswer:
        """Answer no, and give up what was done here."""
        self._rows.give_up(search.mine)
        return self._show(search, verdict, reason)

    def _show(self, search: Search, verdict: Verdict, reason: str) -> AllocationAnswer:
        return told.shown(self._rows.standings(search.names).values(), verdict, reason)


def _written(asked: Asked) -> dict[str, AskedRecord]:
    """
    Write the requests as they travel.

    Raises:
        ValueError: something in the claim can't be said to an agent; the text says what.
    """
    try:
        question = ClaimQuestion(
            instance_uuid=asked.instance_uuid,
            requests=tuple(asked_for.written(request) for request in asked.requests),
            cells=tuple(asked.numa.cells),
            sockets=dict(asked.numa.sockets),
            project_id=asked.project_id,
            user_id=asked.user_id,
            host=asked.host,
            lifetime_s=asked.lifetime_s,
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ValueError(": ".join([*map(str, first["loc"]), first["msg"]])) from None
    return {record.request_id: record for record in question.requests}


def _is_still(mine: Attempt, standings: Mapping[str, Standing]) -> bool:
    row = standings[mine.request_id].row
    return row is not None and row.step == mine.step


def _refusal(search: Search, standings: Iterable[Standing]) -> tuple[Verdict, str] | None:
    """Tell why a claim can't be served at all."""
    for each in standings:
        if each.instance_uuid not in (None, search.asked.instance_uuid):
            return Verdict.CONFLICT, f"{each.request_id} is another instance's, {each.instance_uuid}"
    known = [(each, each.row) for each in standings if each.row is not None]
    for each, row in known:
        if row.state in (State.FREEING, State.FREED):
            return Verdict.FREED, f"{row.request_id} was freed: use another request_id"
        if row.state is not State.FAILED and not _is_same(row, search.records[row.request_id]):
            return Verdict.CONFLICT, f"{row.request_id} is there with another content"
        if row.state is State.DONE and each.node is None:
            return Verdict.SILENT, f"nothing is heard of {row.host}, where {row.request_id} is: ask again, or free it"
    places = {row.agent_uuid: each.node for each, row in known if each.held}
    if len(places) > 1 or any(node is not None and not search.takes(node) for node in places.values()):
        return Verdict.CONFLICT, f"they are on {', '.join(node.host for node in places.values() if node)} already"
    return None


def _is_same(row: Attempt, record: AskedRecord) -> bool:
    return row.asked is None or AskedRecord(**{**row.asked, "request_id": row.request_id}) == record


def _next_step(standing: Standing, search: Search, target: Node) -> Step:
    """Make the attempt that takes the place of all that are known of a request."""
    asked = search.asked
    row = Attempt(
        request_id=standing.request_id,
        attempt=max(standing.highest, search.least) + 1,
        state=State.CLAIMING,
        instance_uuid=asked.instance_uuid,
        agent_uuid=target.agent_uuid,
        host=target.host,
        session=target.session,
        project_id=asked.project_id,
        user_id=asked.user_id,
        asked=search.records[standing.request_id].model_dump(mode="json", exclude={"request_id"}),
    )
    return Step(standing.row, row)


def _left_behind(standings: Iterable[Standing], target: Node) -> list[Free]:
    """Name what is given up by going to this host: attempts on others. What failed is owed already."""
    frees: list[Free] = []
    for each in standings:
        row = each.row
        if each.held:
            continue
        if row is not None and row.agent_uuid != target.agent_uuid and row.state is not State.FAILED:
            frees += frees_of([row])
        frees += each.elsewhere(target.agent_uuid)
    return frees
