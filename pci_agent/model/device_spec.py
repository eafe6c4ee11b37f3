"""
How a whitelist is written: the grammar of ``[pci] device_spec``.

A value is a JSON dict or a list of dicts; the option repeats, and its order is the order of matching. The
grammar is nova's and that of the Juno spec "PCI SR-IOV passthrough to nova instance", with what bit its
operators refused instead of guessed at:

* a typo offers nothing: a key one edit away from a known one is refused with the right spelling, and an
  entry that constrains nothing is refused unless its address is spelled ``*:*:*.*``;
* ids are 1 to 4 hex digits with an optional ``0x``, or ``*``; no sign, no underscore;
* regular expressions match whole fields;
* tags are as vocabulary.py reads them;
* ``device_id`` is the vendor beside a product_id, and the product beside a vendor_id;
* ``exclude`` says no and carries nothing else; ``allow_host_use`` offers what the host itself uses;
* every error of the option is told at once, with entry, key, value and cure.
"""

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pci_agent.model import json_option, vocabulary
from pci_agent.model.json_option import Wrong, Wrongs
from pci_agent.model.whitelist import AddressGlob, AddressRegex, Entry, Whitelist

OPTION = "[pci] device_spec"

_CONDITIONS = ("vendor_id", "product_id", "device_id", "address", "devname")
_SWITCHES = ("exclude", "allow_host_use")
_KNOWN = (*_CONDITIONS, *_SWITCHES, *vocabulary.TAGS)
_HEX = re.compile(r"[0-9a-fA-F]+", re.ASCII)
_FIELDS = {"domain": 0xFFFFFFFF, "bus": 0xFF, "slot": 0x1F, "function": 7}
_ANY_ADDRESS = "*:*:*.*"
_LSPCI = 'write it as lspci does, "0000:0a:00.1", with * or nothing for a field that may be any'


def parse(values: Iterable[object]) -> Whitelist:
    """
    Read the option's values, in file order.

    >>> parse(['{"vendor_id": "8086", "physical_network": "physnet1"}']).entries[0].tags
    {'physical_network': 'physnet1'}

    Raises:
        ConfigurationRefused: with every error of every entry; nothing of the option should be used then.
    """
    example = '{"vendor_id": "8086", "product_id": "1520"}'
    return Whitelist(tuple(json_option.read(OPTION, values, _entry, example=example, lists=True)))


def place(text: str) -> AddressGlob | None:
    """Read where a function is as an entry's address is read; None where it says no place, or every place."""
    try:
        return _glob(text)
    except Wrong:
        return None


def written(entry: Entry) -> str:
    """Write an entry as a value of the option that reads as the same entry: fields padded, tags as they are kept."""
    item: dict[str, Any] = {}
    if entry.vendor_id is not None:
        item["vendor_id"] = entry.vendor_id
    if entry.product_id is not None:
        item["product_id"] = entry.product_id
    if isinstance(entry.address, AddressRegex):
        item["address"] = {name: getattr(entry.address, name).pattern for name in _FIELDS}
    elif entry.address is not None:
        item["address"] = str(entry.address)
    if entry.devname is not None:
        item["devname"] = entry.devname
    item = item or {"address": _ANY_ADDRESS}
    item |= {name: True for name in _SWITCHES if getattr(entry, name)}
    return json.dumps({**item, **entry.tags})


def _entry(number: int, item: Mapping[str, Any]) -> Entry:
    """Read one entry; an ExceptionGroup carries all that is wrong with it."""
    wrongs = Wrongs()
    ids = wrongs.attempt(_ids, item) or {}
    vendor_id = wrongs.attempt(vocabulary.pci_id, "vendor_id", ids.get("vendor_id", "*"))
    product_id = wrongs.attempt(vocabulary.pci_id, "product_id", ids.get("product_id", "*"))
    address = wrongs.attempt(_address, item.get("address"))
    devname = wrongs.attempt(_devname, item)
    exclude = wrongs.attempt(_switch, "exclude", item) or False
    allow_host_use = wrongs.attempt(_switch, "allow_host_use", item) or False
    for key in item:
        wrongs.attempt(_may_stand, key, item[key], exclude)
    words = [key for key in item if key not in _CONDITIONS and key not in _SWITCHES]
    tags = {key: wrongs.attempt(vocabulary.tag, key, item[key]) for key in words}
    constrained = any(part is not None for part in (vendor_id, product_id, address, devname))
    if not wrongs and not constrained and item.get("address") != _ANY_ADDRESS:
        wrongs.attempt(_refuse_all, item)
    wrongs.settle()
    return Entry(
        number=number,
        vendor_id=vendor_id,
        product_id=product_id,
        address=address,
        devname=devname,
        exclude=exclude,
        allow_host_use=allow_host_use,
        tags=tags,
    )


def _refuse_all(item: Mapping[str, Any]) -> None:
    raise Wrong(
        None,
        json.dumps(item),
        "it constrains nothing, so it would offer every device of the host",
        f'name a vendor_id, product_id, address or devname, or say so with "address": "{_ANY_ADDRESS}"',
    )


def _ids(item: Mapping[str, Any]) -> dict[str, Any]:
    """Tell vendor_id and product_id apart, where the Juno spec's device_id stands for one of them."""
    ids = {key: item[key] for key in ("vendor_id", "product_id") if key in item}
    if "device_id" not in item or item["device_id"] == "*":
        return ids
    if len(ids) != 1:
        raise Wrong(
            "device_id",
            item["device_id"],
            "alone, or beside both vendor_id and product_id, it says neither vendor nor product",
            "write vendor_id and product_id",
        )
    missing = "product_id" if "vendor_id" in ids else "vendor_id"
    return {**ids, missing: item["device_id"]}


def _address(value: object) -> AddressGlob | AddressRegex | None:
    """Read an address condition; None where it constrains nothing."""
    if value is None or value in ("", {}, []):
        return None
    if isinstance(value, str):
        return _glob(value)
    if isinstance(value, dict):
        return _regex(value)
    raise Wrong("address", value, "an address is text or a dict of regular expressions", _LSPCI)


def _glob(text: str) -> AddressGlob | None:
    front, _, function = text.partition(".")
    fields = front.split(":")
    if len(fields) > len(_FIELDS) - 1:
        raise Wrong("address", text, "it has more than domain, bus and slot before the dot", _LSPCI)
    texts = [*["", "", "", *fields][-3:], function]
    glob = AddressGlob(*(_number(text, name, part) for name, part in zip(_FIELDS, texts, strict=True)))
    return None if glob == AddressGlob(None, None, None, None) else glob


def _number(text: str, name: str, part: str) -> int | None:
    part = part.strip()
    if part in ("", "*"):
        return None
    if _HEX.fullmatch(part) is None:
        raise Wrong("address", text, f"its {name} {part!r} is neither a hex number nor *", _LSPCI)
    number = int(part, 16)
    if number > _FIELDS[name]:
        raise Wrong("address", text, f"its {name} {part} is above {_FIELDS[name]:x}", _LSPCI)
    return number


def _regex(value: Mapping[str, Any]) -> AddressGlob | AddressRegex | None:
    unknown = sorted(set(value) - set(_FIELDS))
    if unknown:
        raise Wrong("address", value, f"{unknown[0]!r} is no part of an address", f"use {', '.join(_FIELDS)}")
    patterns = []
    for name in _FIELDS:
        text = value.get(name, ".*")
        if not isinstance(text, str):
            raise Wrong("address", value, f"its {name} is not text", 'write a regular expression, as in "0[ab]"')
        patterns.append(text)
    if all(_HEX.fullmatch(pattern) and len(pattern) == len(_WIDEST[i]) for i, pattern in enumerate(patterns)):
        return _glob("{}:{}:{}.{}".format(*patterns))
    compiled = [_pattern(value, text) for text in patterns]
    if all(pattern.fullmatch(text) for i, pattern in enumerate(compiled) for text in _every(i)):
        return None
    return AddressRegex(*compiled)


_WIDEST = ("0000", "00", "00", "0")


def _every(field: int) -> Iterator[str]:
    """Give every text that a field may have; of domains, which have no end, some."""
    if field == 0:
        yield from ("0000", "0001", "abcd", "10000", "ffffffff")
        return
    yield from (f"{number:0{len(_WIDEST[field])}x}" for number in range([0, 256, 32, 8][field]))


def _pattern(value: Mapping[str, Any], text: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python may read otherwise one day is no expression to rely on
            return re.compile(text, re.IGNORECASE | re.ASCII)
    except (re.error, ValueError, RecursionError, OverflowError, Warning) as error:
        raise Wrong(
            "address", value, f"{text!r} is no regular expression ({error})", "mend it, or use the lspci form"
        ) from None


def _devname(item: Mapping[str, Any]) -> str | None:
    value = item.get("devname")
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Wrong("devname", value, "a netdev's name is text", 'write it in quotes, as in "enp5s0f0"')
    if value.split() != [value]:
        raise Wrong("devname", value, "no netdev's name has blanks", "take them away")
    if item.get("address"):
        raise Wrong("devname", value, "an entry has an address or a devname, not both", "keep one of the two")
    return value


def _switch(key: str, item: Mapping[str, Any]) -> bool:
    value = item.get(key, False)
    if not isinstance(value, bool):
        raise Wrong(key, value, "it is true or false", "write true, without quotes")
    return value


def _may_stand(key: str, value: object, exclude: bool) -> None:
    vocabulary.tag_name(key, value, _KNOWN)
    if exclude and key not in _CONDITIONS and key != "exclude":
        raise Wrong(key, value, "an excluding entry offers nothing to tag or to allow", "take it or the exclude away")
