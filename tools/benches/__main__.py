"""``tools/bench``: the commands."""

import argparse
import sys

from benches import agent, agent_page, candidates, document, match, match_page


def main() -> int:
    """Run the bench that is asked for; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures, and writes docs/benchmarks.md.")
    benches = parser.add_subparsers(required=True, metavar="BENCH")
    benches.add_parser("match", help="our core beside nova's; some minutes").set_defaults(bench=_match)
    benches.add_parser("agent", help="an agent on its host: scans, claims, memory; some minutes").set_defaults(
        bench=_agent
    )
    fleets = benches.add_parser("tracker", help="storms, heartbeats, finding and giving, beside placement; ten minutes")
    fleets.set_defaults(bench=_tracker)
    benches.add_parser("cli", help="how soon pcictl has listed devices; a minute").set_defaults(bench=_cli)
    pages = benches.add_parser("rest", help="a page of a thousand devices, beside placement; a minute")
    pages.set_defaults(bench=_rest)
    finding = benches.add_parser("candidates", help="finding hosts among ten thousand; some minutes")
    finding.add_argument("database", help="URL of a database for this alone: what is in it goes")
    finding.set_defaults(bench=_candidates)
    arguments = parser.parse_args()
    return int(arguments.bench(arguments))


def _candidates(arguments: argparse.Namespace) -> int:
    result = candidates.measured(arguments.database)
    print("\n".join(candidates.lines(result)))
    return _told(candidates.missed(result))


def _cli(_arguments: argparse.Namespace) -> int:
    from benches import started  # noqa: PLC0415 - it needs packages that the other benches don't

    result = started.measured()
    print("\n".join(started.lines(result)))
    return _told(started.missed(result))


def _match(_arguments: argparse.Namespace) -> int:
    result = match.measured()
    return _written("match", match_page.section(result), match.missed(result))


def _agent(_arguments: argparse.Namespace) -> int:
    result = agent.measured()
    missed = [f"{each.wanted}: {each.measured}" for each in agent.limits(result) if not each.met]
    return _written("agent", agent_page.section(result), missed)


def _tracker(_arguments: argparse.Namespace) -> int:
    from benches import servers, tracker, tracker_page  # noqa: PLC0415 - they need packages that the other benches don't

    with servers.postgresql() as server:
        result = tracker.measured(tracker.Sizes(), server, servers.rabbitmq, _say)
    missed = [f"{each.wanted}: {each.measured}" for each in tracker.limits(result) if not each.met]
    return _written("tracker", tracker_page.section(result), missed)


def _rest(_arguments: argparse.Namespace) -> int:
    from benches import rest, rest_page, servers  # noqa: PLC0415 - they need packages that the other benches don't

    with servers.postgresql() as server:
        result = rest.measured(rest.Sizes(), server, _say)
    missed = [f"{each.wanted}: {each.measured}" for each in rest.limits(result) if not each.met]
    return _written("rest", rest_page.section(result), missed)


def _say(what: str) -> None:
    print(f"-- {what}", file=sys.stderr, flush=True)


def _written(bench: str, section: str, missed: list[str]) -> int:
    document.put(bench, section)
    print(section)
    return _told(missed)


def _told(missed: list[str]) -> int:
    for each in missed:
        print(f"missed: {each}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
