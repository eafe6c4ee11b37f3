"""``device disable`` and ``device enable``: an operator's word that a device isn't to be given."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from cliff.show import ShowOne

from pci_agent.cli.client import api
from pci_agent.cli.device import add_device
from pci_agent.cli.rows import Fields, fields

_SHOWN = ("id", "uuid", "dev_id", "hypervisor_hostname", "status", "status_reason")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class DisableDevice(ShowOne):
    """Keep a device from being given, until a time or until it is enabled; who holds it keeps it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the device, why, and how long."""
        parser = super().get_parser(prog_name)
        add_device(parser)
        parser.add_argument("--reason", metavar="<reason>", required=True, help="why, for those who wonder")
        until = parser.add_mutually_exclusive_group()
        until.add_argument("--until", metavar="<time>", type=_time, help="until then, as in 2026-12-24T18:00:00Z")
        until.add_argument("--for", dest="until", metavar="<duration>", type=_duration, help="so long: 90m, 12h, 3d")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Fields:
        """Have the host's agent note it, by REST."""
        until = {} if parsed_args.until is None else {"until": parsed_args.until}
        return _ordered(self, parsed_args, "disable", {"reason": parsed_args.reason, **until})


class EnableDevice(ShowOne):
    """Take back that a device isn't to be given."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the device."""
        parser = super().get_parser(prog_name)
        add_device(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Fields:
        """Have the host's agent note it, by REST."""
        return _ordered(self, parsed_args, "enable", None)


def _ordered(command: ShowOne, given: argparse.Namespace, verb: str, body: Any) -> Fields:
    query = {"hypervisor": given.host}
    device = api(command).send("POST", "os-pci", given.device, verb, query=query, body=body)["pci_device"]
    return fields({name: device[name] for name in _SHOWN})


def _time(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write it as 2026-12-24T18:00:00Z") from None
    return (moment if moment.tzinfo else moment.astimezone()).isoformat()  # without a zone it is this machine's


def _duration(text: str) -> str:
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write minutes, hours or days, as 90m, 12h, 3d")
    return (datetime.now(UTC) + timedelta(**{_UNITS[found[2]]: int(found[1])})).isoformat()
