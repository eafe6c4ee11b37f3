"""Plays runs by hand: SCENARIO SEED, or SCENARIO FIRST LAST; prints the shortest trace of each that fails."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import nullcontext

from adversary.ablations import ABLATIONS
from adversary.runs import play, shortest, told
from adversary.scenarios import SCENARIOS


def main() -> int:
    parser = ArgumentParser(prog="adversary", description=__doc__)
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"])
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, nargs="?")
    parser.add_argument("--long-traces", action="store_true", help="don't shorten")
    parser.add_argument("--without", choices=ABLATIONS, help="switch this rule off")
    asked = parser.parse_args()
    with ABLATIONS[asked.without]() if asked.without else nullcontext():
        return _play(asked)


def _play(asked: Namespace) -> int:
    kinds: Counter[str] = Counter()
    began = time.monotonic()
    for name in SCENARIOS if asked.scenario == "all" else [asked.scenario]:
        for seed in range(asked.first, (asked.last if asked.last is not None else asked.first) + 1):
            run = play(SCENARIOS[name], seed)
            kinds[run.kind or "kept"] += 1
            if run.violation is not None and kinds[run.kind] == 1:
                print(told(name, seed, run if asked.long_traces else shortest(SCENARIOS[name], run)), flush=True)
    print(f"{dict(kinds)} in {time.monotonic() - began:.1f} s")
    return 1 if set(kinds) - {"kept"} else 0


if __name__ == "__main__":
    sys.exit(main())
