"""The processes that are measured. They take turns, so that what else the machine does meets all."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parents[2]
PATH = f"{ROOT / 'tools'}:{ROOT}"
"""Where Python finds the benches and what is measured: the code beside them, whatever else is installed."""

_RUNS, _RUNS_OF_THE_SLOW, _SLOW_S = 7, 3, 1.0


class Side:
    """A process that does works when it is asked."""

    def __init__(self, questions: IO[str], answers: IO[str]) -> None:
        self._questions, self._answers = questions, answers
        self.about: dict[str, str] = self._answer()

    @classmethod
    @contextmanager
    def started(cls, python: Path, module: str) -> Iterator[Self]:
        """Run a module of this package in that Python."""
        command = [str(python), "-W", "ignore", "-P", "-m", f"benches.{module}"]
        environment = {**os.environ, "PYTHONPATH": PATH}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            if process.stdin is not None and process.stdout is not None:
                yield cls(process.stdin, process.stdout)

    def load(self, asked: dict[str, Any]) -> None:
        """Have it take up a host."""
        self._ask({"load": asked})

    def run(self, work: str) -> tuple[float, int]:
        """Give the seconds that a work took, and the number that came of it."""
        answer = self._ask({"run": work})
        return answer["seconds"], answer["number"]

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._questions.write(json.dumps(question) + "\n")
        self._questions.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._answers.readline() or "null")
        if answer is None:
            raise RuntimeError("a side ended: see above")
        return answer


def take_turns(*rows: Sequence[tuple[Side, str]]) -> list[list[list[float]]]:
    """
    Run the works of all rows in turn, and see that those of one row come to the same number.

    Runs of one work lie apart, so that what disturbs the machine for a moment meets few of them.

    Returns:
        By row and then by work, the seconds of each run.
    """
    spent: list[list[list[float]]] = [[[] for _ in works] for works in rows]
    numbers: list[set[int]] = [set() for _ in rows]
    for turn in range(_RUNS):
        for works, kept, came in zip(rows, spent, numbers, strict=True):
            for (side, work), each in zip(works, kept, strict=True):
                if turn < _RUNS_OF_THE_SLOW or each[0] <= _SLOW_S:
                    seconds, number = side.run(work)
                    each.append(seconds)
                    came.add(number)
    for works, came in zip(rows, numbers, strict=True):
        if len(came) != 1:
            names = " and ".join(work for _, work in works)
            raise RuntimeError(f"{names} come to different numbers: {came}")
    return spent
