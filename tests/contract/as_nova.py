"""Nova's own Python (tools/test puts it into .nova), and how what it answers is compared with what we do."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from threading import Thread
from typing import Any, Generic, TypeVar

import pytest

from services import missing

C = TypeVar("C")

PYTHON = Path(__file__).resolve().parents[2] / ".nova/bin/python"
BATCH = 1_000

Outcome = dict[str, Any]
REFUSED: Outcome = {"refused": True}


class Nova:
    """Nova, answering questions."""

    def __init__(self) -> None:
        if not PYTHON.exists():
            missing("nova (in .nova)")
        oracle = [str(PYTHON), "-W", "ignore", str(Path(__file__).with_name("nova_oracle.py"))]
        self._process = subprocess.Popen(oracle, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout

    def answers(self, questions: Sequence[Any]) -> list[dict[str, Any]]:
        writer = Thread(target=self._ask, args=(questions,))
        writer.start()
        answers = [json.loads(self._answers.readline()) for _ in questions]
        writer.join()
        return answers

    def _ask(self, questions: Sequence[Any]) -> None:
        for question in questions:
            self._questions.write(json.dumps(question) + "\n")
        self._questions.flush()

    def close(self) -> None:
        self._process.communicate(timeout=60)


@dataclass(frozen=True, slots=True)
class Difference(Generic[C]):
    """
    Something that nova does and we do otherwise on purpose.

    Attributes:
        what: what is different
        why: why we do it
        example: a case of which the outcomes differ
        touches: whether it may make a difference to a case
        part: which part of an outcome is left out of the comparison; all of it where None
    """

    what: str
    why: str
    example: C
    touches: Callable[[C], bool]
    part: str | None = None


@dataclass
class Tally:
    """What a run came across: how many cases it left out, what touched them, and what it compared."""

    cases: int
    left_out: int = 0
    meant: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Comparison(Generic[C]):
    """
    How cases of one kind are compared.

    Attributes:
        make: makes a case
        features: what was put into it
        question: asks nova for its outcome
        comparable: drops of nova's answer what needn't be equal
        ours: our outcome
        kinds: what kinds of outcome it is of
        smaller: gives cases with one thing less
        differences: what is meant
    """

    make: Callable[[Random], C]
    features: Callable[[C], Iterable[str]]
    question: Callable[[C], dict[str, Any]]
    comparable: Callable[[dict[str, Any]], Outcome]
    ours: Callable[[C], Outcome]
    kinds: Callable[[C, Outcome], Iterable[str]]
    smaller: Callable[[C], Iterator[C]]
    differences: tuple[Difference[C], ...]

    def run(self, nova: Nova, cases: int) -> Tally:
        """Compare cases at random; PCI_TESTS_SEED repeats a run."""
        seed = int(os.environ.get("PCI_TESTS_SEED") or SystemRandom().getrandbits(32))
        random, tally = Random(seed), Tally(cases)
        for _ in range(tally.cases // BATCH):
            for case, outcome in self.outcomes(nova, (self.make(random) for _ in range(BATCH))):
                self._compare(nova, case, outcome, tally, seed)
        print(f"seed {seed}: {tally}")  # noqa: T201
        return tally

    def _compare(self, nova: Nova, case: C, outcome: Outcome, tally: Tally, seed: int) -> None:
        touching = self.touching(case)
        tally.meant.update(difference.what for difference in touching)
        tally.left_out += any(difference.part is None for difference in touching)
        if self.disputed(case, outcome):
            least = self._least(nova, case)
            told = f"{least}\nnova: {self.outcome(nova, least)}\nours: {self.ours(least)}"
            pytest.fail(f"PCI_TESTS_SEED={seed}: nova and we disagree about\n{told}")
        if not touching:
            tally.kinds.update(self.kinds(case, outcome))
            tally.features.update(self.features(case))

    def outcomes(self, nova: Nova, cases: Iterable[C]) -> list[tuple[C, Outcome]]:
        """Give nova's outcome beside each case."""
        asked = list(cases)
        answers = nova.answers([self.question(case) for case in asked])
        return [
            (case, REFUSED if "refused" in answer else self.comparable(answer))
            for case, answer in zip(asked, answers, strict=True)
        ]

    def outcome(self, nova: Nova, case: C) -> Outcome:
        return self.outcomes(nova, [case])[0][1]

    def touching(self, case: C) -> list[Difference[C]]:
        return [difference for difference in self.differences if difference.touches(case)]

    def disputed(self, case: C, outcome: Outcome) -> bool:
        """True where nova and we disagree beyond what is meant."""
        parts = {difference.part for difference in self.touching(case)}
        if None in parts:
            return False
        ours = self.ours(case)
        return ours.keys() != outcome.keys() or any(ours[part] != outcome[part] for part in ours.keys() - parts)

    def _least(self, nova: Nova, case: C) -> C:
        """Take away what the disagreement doesn't need."""
        least: C | None = case
        while least is not None:
            case = least
            answered = self.outcomes(nova, self.smaller(case))
            least = next((each for each, outcome in answered if self.disputed(each, outcome)), None)
        return case


def json_less(value: Any) -> Iterator[Any]:
    """Give a JSON value with one key or one item less."""
    if isinstance(value, dict):
        yield from ({key: value[key] for key in value if key != gone} for gone in value)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield [*value[:index], *value[index + 1 :]]
            yield from ([*value[:index], each, *value[index + 1 :]] for each in json_less(item))


def values_less(values: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Give an option's values with one value, entry or key less."""
    for index, value in enumerate(values):
        before, after = values[:index], values[index + 1 :]
        yield (*before, *after)
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            continue
        yield from ((*before, json.dumps(each), *after) for each in json_less(read))
