"""``tools/bench``: the commands."""

import argparse
import sys

from benches import document, match


def main() -> int:
    """Run the bench that is asked for; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures, and writes docs/benchmarks.md.")
    benches = parser.add_subparsers(required=True, metavar="BENCH")
    benches.add_parser("match", help="our core beside nova's; some minutes").set_defaults(bench=_match)
    return int(parser.parse_args().bench())


def _match() -> int:
    result = match.measured()
    section = document.section(result)
    document.put(section)
    print(section)
    missed = match.missed(result)
    for each in missed:
        print(f"missed: {each}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
