"""Which part of a list, in the words of ``openstack``: ``--limit``, ``--marker`` and ``--sort``."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any


def add_options(parser: ArgumentParser, marker: str, sort_keys: str | None = None) -> None:
    """
    Let a command line say which part of a list.

    Args:
        parser: of the command
        marker: what an item is named by
        sort_keys: what the list may be sorted by; None where it has one order
    """
    parser.add_argument("--limit", metavar="<number>", type=_limit, help="so many at most (default: all)")
    parser.add_argument("--marker", metavar=f"<{marker}>", help="begin after the one with this")
    if sort_keys is not None:
        parser.add_argument(
            "--sort",
            metavar="<key>:<direction>",
            type=_sort,
            help=f"have the API sort by one of {sort_keys}, with :asc or :desc; --sort-column sorts what was listed",
        )


def of(given: Namespace) -> dict[str, Any]:
    """Give limit and marker as a client takes them."""
    return {"limit": given.limit, "marker": given.marker}


def sorting(given: Namespace) -> dict[str, str | None]:
    """Give the order as REST takes it."""
    key, direction = given.sort or (None, None)
    return {"sort_key": key, "sort_dir": direction}


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of items: write 1 or more")
    return int(text)


def _sort(text: str) -> tuple[str, str | None]:
    key, _, direction = text.partition(":")
    if direction not in ("", "asc", "desc"):
        raise ArgumentTypeError(f"{text!r}: behind the colon stands asc or desc")
    return key, direction or None
