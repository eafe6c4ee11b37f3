"""
Keeps the JSON of devices, so that a list reads of a device no more than whether its row is still the same.

A row that is written anew has another stamp, and a host that is renamed another name: what was kept of them serves no
more. What was read of another row than the one that was listed, written since or in a copy of the database that lags
behind, is told and not kept. Nothing is ever told that isn't in the database. So much is kept, and the oldest goes
first.
"""

import threading
from collections.abc import Mapping, Sequence

import orjson

from pci_agent.api.view import Document, Shape
from pci_agent.tracker.lists import Listed, Lists, hash_of

MOST = 16_384
"""Devices whose JSON is kept: some 20 MB."""

_A_PIECE = 256
_PAGES = 16  # whole pages that are kept joined: some 10 MB
_Kept = tuple[int, str, bytes]  # the host's id and name, and the JSON


class Kept:
    """
    The JSON of devices as one shape shows them, by the stamps of their rows. Every method may be called by any thread.

    Args:
        lists: where devices are read from
        most: so many are kept
    """

    def __init__(self, lists: Lists, most: int = MOST) -> None:
        self._lists = lists
        self._most = most
        self._texts: dict[str, _Kept] = {}
        self._pages: dict[Sequence[str], tuple[Mapping[int, str], list[bytes]]] = {}
        self._lock = threading.Lock()

    def page(self, shape: Shape, listed: Listed) -> list[bytes]:
        """Give the same as *texts* in few pieces, with commas between the items."""
        hosts, pieces = self._pages.get(listed.rows, (None, []))
        if hosts == listed.hosts:
            return pieces
        texts = self.texts(shape, listed)
        pieces = _joined(texts)
        if len(texts) == len(listed.rows) and all(map(self._has, listed.rows, texts)):
            with self._lock:
                self._pages[listed.rows] = listed.hosts, pieces
                if len(self._pages) > _PAGES:
                    del self._pages[next(iter(self._pages))]
        return pieces

    def texts(self, shape: Shape, listed: Listed) -> list[bytes]:
        """Give the JSON of devices that are listed by their stamps, in order; one that was purged since has none."""
        hosts, kept = listed.hosts, self._texts.get
        found = [
            each[2] if (each := kept(stamp)) is not None and each[1] == hosts[each[0]] else b"" for stamp in listed.rows
        ]
        if b"" not in found:
            return found
        made = self._made(shape, [stamp for stamp, text in zip(listed.rows, found, strict=True) if not text], hosts)
        both = (text or made.get(stamp, b"") for stamp, text in zip(listed.rows, found, strict=True))
        return [text for text in both if text]

    def _has(self, stamp: str, text: bytes) -> bool:
        kept = self._texts.get(stamp)
        return kept is not None and kept[2] is text

    def _made(self, shape: Shape, stamps: Sequence[str], hosts: Mapping[int, str]) -> dict[str, bytes]:
        by_id = {int(stamp.partition(" ")[0]): stamp for stamp in stamps}
        rows = self._lists.rows(shape.columns, [*by_id])
        row_id, node, sealed = (shape.columns.index(name) for name in ("id", "compute_node_id", "hash"))
        texts = [orjson.dumps(each) for each in shape.shown(rows, hosts)]
        made = {by_id[row[row_id]]: (row[node], text) for row, text in zip(rows, texts, strict=True)}
        same = {by_id[row[row_id]] for row in rows if hash_of(by_id[row[row_id]]) == row[sealed]}
        with self._lock:
            self._texts.update({stamp: (made[stamp][0], hosts[made[stamp][0]], made[stamp][1]) for stamp in same})
            for oldest in list(self._texts)[: max(0, len(self._texts) - self._most)]:
                del self._texts[oldest]
        return {stamp: text for stamp, (_, text) in made.items()}


def document(name: str, page: Sequence[bytes], more: Document) -> list[bytes]:
    """Write a list of items and what stands beside it, in pieces that a server sends without copying all at once."""
    beside = orjson.dumps(more)[1:-1]
    return [b'{"%b":[' % name.encode(), *page, b"],%b}" % beside if beside else b"]}"]


def _joined(texts: Sequence[bytes]) -> list[bytes]:
    parts = (b",".join(texts[start : start + _A_PIECE]) for start in range(0, len(texts), _A_PIECE))
    return [b"," + part if number else part for number, part in enumerate(parts)]
