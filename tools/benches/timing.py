"""
One side of a comparison: a process that is told what to do and answers how long it took.

Runs in our Python and in nova's, so it imports neither. A run repeats what is quick until it has taken long enough
to be measured; what a repetition needs is prepared untimed. Rubbish is collected before, and not meanwhile.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LEAST_S = 0.02
_MOST_REPETITIONS = 2000


@dataclass(frozen=True)
class Work:
    """
    Something to measure.

    Attributes:
        do: the timed part; gives a number that the other side's must equal
        prepare: makes what *do* is given
    """

    do: Callable[[Any], int]
    prepare: Callable[[], Any] = lambda: None


def timed(work: Work) -> tuple[float, int]:
    """Give seconds a repetition, and the number that came of it."""
    spent, repetitions, number = 0.0, 0, 0
    gc.collect()
    gc.disable()
    try:
        while spent < _LEAST_S and repetitions < _MOST_REPETITIONS:
            argument = work.prepare()
            since = time.perf_counter()
            number = work.do(argument)
            spent += time.perf_counter() - since
            repetitions += 1
    finally:
        gc.enable()
    return spent / repetitions, number


def serve(load: Callable[[Any], dict[str, Work]], about: dict[str, str]) -> None:
    """
    Answer on stdin and stdout until told no more: JSON lines, ``{"load": …}`` or ``{"run": <name>}``.

    Args:
        load: takes up a host and gives what can be run on it
        about: what the other side wants to know of this one
    """
    works: dict[str, Work] = {}
    gc.collect()
    gc.freeze()  # the modules needn't be gone through before each run
    _say(about)
    for line in sys.stdin:
        asked = json.loads(line)
        if "load" in asked:
            works = {}
            gc.collect()
            works = load(asked["load"])
            _say({})
        else:
            seconds, number = timed(works[asked["run"]])
            _say({"seconds": seconds, "number": number})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)
