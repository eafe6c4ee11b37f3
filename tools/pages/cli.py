"""
``python -m pages.cli``: writes the reference of commands into docs/cli.md, from what each command says of itself.

What every list or every single thing takes is told there once, by hand.
"""

import argparse
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne
from setuptools.config.setupcfg import read_configuration

from pci_agent.cli.shell import Shell

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/cli.md"
_BEGIN, _END = "<!-- tools/samples: begin -->", "<!-- tools/samples: end -->"
_KINDS = ((Lister, "a list"), (ShowOne, "one thing, with all its fields"), (Command, "nothing where all is well"))


class _AnyList(Lister):
    def take_action(self, _parsed_args: argparse.Namespace) -> Any: ...


class _AnyThing(ShowOne):
    def take_action(self, _parsed_args: argparse.Namespace) -> Any: ...


class _Anything(Command):
    def take_action(self, _parsed_args: argparse.Namespace) -> Any: ...


def commands() -> dict[str, str]:
    """Give the commands that setup.cfg lists for pcictl: where each is, by its words."""
    listed = read_configuration(ROOT / "setup.cfg")["options"]["entry_points"]["pcictl.commands"]
    pairs = (line.split(" = ") for line in listed)
    return {name.replace("_", " "): where for name, where in pairs}


def reference() -> str:
    """Write every command, and what it takes, as Markdown."""
    return "\n".join(line for words, where in commands().items() for line in _command(words, where)).strip()


def _command(words: str, where: str) -> Iterator[str]:
    factory = EntryPoint(words, where, "pcictl.commands").load()
    command = factory(Shell(), None, words)
    parser = command.get_parser(words)
    common = {option for each in _common(command) for option in each.option_strings}
    own = [each for each in parser._actions if not common & set(each.option_strings)]  # noqa: SLF001 - no other way
    told = " ".join((factory.__doc__ or "").split())
    (kind,) = [name for base, name in _KINDS if isinstance(command, base)][:1]
    yield from (f"### {words}", "", f"`{' '.join([words, *_usage(own)])}`", "", f"{told} Prints {kind}.", "")
    if own:
        yield from ("| | |", "|---|---|")
        yield from (f"| {_named(each)} | {_cell(str(each.help))} |" for each in own)
        yield ""


def _common(command: Command) -> list[argparse.Action]:
    """Give what cliff adds to every command of that kind."""
    kinds = ((Lister, _AnyList), (ShowOne, _AnyThing), (Command, _Anything))
    plain = next(made for base, made in kinds if isinstance(command, base))
    actions: list[argparse.Action] = plain(Shell(), None).get_parser("")._actions  # noqa: SLF001
    return actions


def _usage(actions: list[argparse.Action]) -> Iterator[str]:
    """Name what must be given; what may be is one word."""
    yield from (f"{each.metavar}" for each in actions if not each.option_strings)
    yield from (f"{each.option_strings[0]} {each.metavar}" for each in actions if each.option_strings and each.required)
    if any(each.option_strings and not each.required for each in actions):
        yield "[options]"


def _named(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {action.metavar}"
    return f"`{(action.option_strings or [''])[0]}{value}`".replace("` ", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


def main() -> None:
    """Replace the part of the page between the two marks."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{reference()}\n\n{_END}{after}")


if __name__ == "__main__":
    main()
