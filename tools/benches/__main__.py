"""``tools/bench``: the commands."""

import argparse
import sys

from benches import agent, agent_page, document, match, match_page


def main() -> int:
    """Run the bench that is asked for; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures, and writes docs/benchmarks.md.")
    benches = parser.add_subparsers(required=True, metavar="BENCH")
    benches.add_parser("match", help="our core beside nova's; some minutes").set_defaults(bench=_match)
    benches.add_parser("agent", help="an agent on its host: scans, claims, memory; some minutes").set_defaults(
        bench=_agent
    )
    return int(parser.parse_args().bench())


def _match() -> int:
    result = match.measured()
    return _told("match", match_page.section(result), match.missed(result))


def _agent() -> int:
    result = agent.measured()
    missed = [f"{each.wanted}: {each.measured}" for each in agent.limits(result) if not each.met]
    return _told("agent", agent_page.section(result), missed)


def _told(bench: str, section: str, missed: list[str]) -> int:
    document.put(bench, section)
    print(section)
    for each in missed:
        print(f"missed: {each}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
