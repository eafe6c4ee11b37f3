"""``tools/lab``: the commands."""

import argparse
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from labs import recipe
from labs.guest import Lab
from labs.hardware import Hardware
from labs.recipe import LabError


def main() -> int:
    """Run the command that the arguments name."""
    asked = _parser().parse_args()
    folder = recipe.CACHE / "run" / asked.name
    try:
        return int(asked.command(asked, folder) or 0)
    except (LabError, OSError) as error:
        print(f"tools/lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/lab", description="A virtual machine with SR-IOV cards.")
    parser.set_defaults(name="default")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("build", help="build kernel, initrd and image, if the recipe has changed").set_defaults(
        command=lambda _asked, _folder: _say(f"built: {recipe.build().image.parent}")
    )
    up = _with_name(commands.add_parser("up", help="start a lab"))
    up.add_argument("--pf", type=_count(0, 16), default=2, metavar="N", help="igb cards (default: %(default)s)")
    up.add_argument(
        "--vfs", type=_count(0, 7), default=4, metavar="N", help="VFs made of each PF, 0 to 7 (default: %(default)s)"
    )
    up.add_argument("--nodes", type=_count(1, 4), default=2, metavar="N", help="NUMA nodes (default: %(default)s)")
    up.add_argument("--nvme", action="store_true", help="an NVMe PF too")
    up.add_argument("--bridge", action="store_true", help="two cards behind a plain PCI bridge too")
    up.set_defaults(command=_up)
    run = _with_name(commands.add_parser("run", help="run a command in the guest"))
    run.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="default: %(default)s")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    run.set_defaults(command=_run)
    shell = _with_name(commands.add_parser("shell", help="type commands to the guest, line by line"))
    shell.set_defaults(command=_shell)
    for word, does in (("plug", "put a card back"), ("unplug", "pull a card out")):
        card = _with_name(commands.add_parser(word, help=does))
        card.add_argument("pf", type=int, help="its number, from 0")
        card.set_defaults(command=_card, word=word)
    reboot = _with_name(commands.add_parser("reboot", help="stop and start the guest"))
    reboot.add_argument("--with-card-below", action="store_true", help="one more card, on a lower bus")
    reboot.set_defaults(command=lambda asked, folder: Lab.find(folder).reboot(card_below=asked.with_card_below))
    _with_name(commands.add_parser("down", help="end a lab")).set_defaults(
        command=lambda _asked, folder: Lab.find(folder).down()
    )
    return parser


def _with_name(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--name", type=_name, default="default", help="which lab, where there are several (default: %(default)s)"
    )
    return parser


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,40}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r}: a name is letters, digits and dashes")
    return text


def _count(least: int, most: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text}: a number from {least} to {most}")
        return int(text)

    return count


def _up(asked: argparse.Namespace, folder: Path) -> None:
    hardware = Hardware(pf=asked.pf, vfs=asked.vfs, nvme=asked.nvme, nodes=asked.nodes, bridge=asked.bridge)
    lab = Lab.create(folder, hardware)
    _say(f"up; tools/lab run COMMAND runs in it, {lab.console} is its console")


def _say(text: str) -> None:
    """Tell how it goes, on stderr: stdout is for what the guest prints."""
    print(text, file=sys.stderr)


def _run(asked: argparse.Namespace, folder: Path) -> int:
    if not asked.words:
        raise LabError("name a command to run")
    command = asked.words[0] if len(asked.words) == 1 else shlex.join(asked.words)
    told = Lab.find(folder).try_run(command, timeout_s=asked.timeout)
    sys.stdout.write(told["stdout"])
    sys.stderr.write(told["stderr"])
    if told["code"] is None:
        print(f"tools/lab: the command took longer than {asked.timeout} s and was ended", file=sys.stderr)
    return 124 if told["code"] is None else int(told["code"])


def _shell(_asked: argparse.Namespace, folder: Path) -> None:
    lab = Lab.find(folder)
    while True:
        try:
            line = input(f"{folder.name}# ")
        except EOFError:
            print()
            return
        told = lab.try_run(line)
        sys.stdout.write(told["stdout"])
        sys.stderr.write(told["stderr"])


def _card(asked: argparse.Namespace, folder: Path) -> None:
    getattr(Lab.find(folder), asked.word)(asked.pf)


if __name__ == "__main__":
    sys.exit(main())
