"""``tools/fleet``: the modes."""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from pci_agent.errors import PciAgentError
from simulation import chaos, load
from simulation.agents import Settings
from simulation.children import Silent
from simulation.load import Told
from simulation.machines import MOST_DEVICES, Machine, captured, generated
from simulation.world import Plan, World, running

_INTERRUPTED = 130
_MOST_AGENTS = 2000
_MOST_SWEEPS = 5


def main() -> int:
    """Run the mode that is asked for; 1 where something isn't as it should be."""
    asked = _parser().parse_args()
    asked.seed = int(time.time()) if asked.seed is None else asked.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="pci-fleet-"))
    logging.basicConfig(filename=folder / "fleet.log", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    print(f"seed {asked.seed}", flush=True)
    try:
        told = asked.mode(asked, folder)
    except (Silent, AssertionError, PciAgentError) as error:
        told = Told((), (str(error),))
    except KeyboardInterrupt:
        print("interrupted; all that was started has ended", file=sys.stderr, flush=True)
        for _ in range(_MOST_SWEEPS):  # a thread that still asks something may put a file back
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(_INTERRUPTED)
    print(*told.lines, sep="\n")
    for failure in told.failures:
        print(f"not as it should be: {failure}", file=sys.stderr)
    if told.failures:
        print(f"logs and state are in {folder}; --seed {asked.seed} has the same happen again", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/fleet",
        description="Simulate a fleet on loopback: many real agents in few processes, real trackers, a real broker.",
    )
    modes = parser.add_subparsers(required=True, metavar="MODE")
    for name, mode, about, agents in (
        ("storm", _storm, "all agents report everything at once", 100),
        ("steady", _steady, "nothing happens", 100),
        ("churn", _churn, "devices change all the time", 100),
        ("chaos", _chaos, "broker, trackers, agents and messages fail while devices are claimed and freed", 40),
    ):
        one = modes.add_parser(name, help=about)
        one.set_defaults(mode=mode)
        one.add_argument("--agents", type=_number(1, _MOST_AGENTS), default=agents, metavar="N", help="how many")
        one.add_argument("--devices", type=_number(8, MOST_DEVICES), metavar="N", default=64, help="on a machine")
        one.add_argument("--trackers", type=_number(1, 16), default=2 if name == "chaos" else 1, metavar="N")
        one.add_argument("--a-process", type=_number(1, 100), metavar="N", help="agents that a process holds")
        one.add_argument("--postgresql", action="store_true", help="instead of SQLite")
        one.add_argument("--seed", type=int, metavar="N", help="what happens, and when; told at each run")
        if name != "storm":
            seconds = 120 if name == "chaos" else 60
            one.add_argument("--seconds", type=_number(10, 3600), default=seconds, metavar="N", help="how long")
        if name != "chaos":
            one.add_argument("--fake", action="store_true", help="all in one process on fake://, without a broker")
            one.add_argument("--captures", action="store_true", help="recorded machines instead of generated ones")
        if name == "churn":
            one.add_argument("--percent", type=float, default=10, metavar="X", help="of all devices change a minute")
    for one in modes.choices.values():
        one.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    return parser


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} isn't a number from {least} to {most}")
        return int(text)

    return number


def _plan(asked: argparse.Namespace) -> Plan:
    return Plan(
        agents=asked.agents,
        a_process=asked.a_process or 50,
        trackers=asked.trackers,
        postgresql=asked.postgresql,
        fake=asked.fake,
    )


def _machines(asked: argparse.Namespace, folder: Path) -> list[Machine]:
    if asked.captures:
        return captured(folder)
    return [each.machine for each in generated(folder, min(asked.agents, 8), asked.devices)]


def _loaded(
    asked: argparse.Namespace, folder: Path, mode: Callable[[World, list[Machine]], Told], **more: float
) -> Told:
    machines = _machines(asked, folder)
    settings = Settings(seed=str(asked.seed), **more)  # type: ignore[arg-type]
    with running(folder, _plan(asked), machines, settings) as world:
        stormed = load.storm(world)
        print(*stormed.lines, sep="\n", flush=True)
        told = mode(world, machines)
    return Told(told.lines, (*stormed.failures, *told.failures))


def _storm(asked: argparse.Namespace, folder: Path) -> Told:
    return _loaded(asked, folder, lambda _world, _machines: Told((), ()))


def _steady(asked: argparse.Namespace, folder: Path) -> Told:
    return _loaded(asked, folder, lambda world, _machines: load.steady(world, asked.seconds))


def _churn(asked: argparse.Namespace, folder: Path) -> Told:
    def churn(world: World, machines: list[Machine]) -> Told:
        return load.churn(world, machines, asked.seconds, asked.percent, Random(asked.seed))

    return _loaded(asked, folder, churn, look_interval_s=2)


def _chaos(asked: argparse.Namespace, folder: Path) -> Told:
    plan = Plan(
        agents=asked.agents,
        a_process=asked.a_process or -(-asked.agents // 4),
        trackers=asked.trackers,
        postgresql=asked.postgresql,
        steppable=True,
    )
    machines = generated(folder, min(asked.agents, 8), asked.devices)
    return chaos.chaos(folder, plan, machines, seconds=asked.seconds, seed=asked.seed)


if __name__ == "__main__":
    sys.exit(main())
