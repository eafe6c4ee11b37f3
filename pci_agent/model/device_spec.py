"""
How a whitelist is written: the grammar of ``[pci] device_spec``.

A value is a JSON dict or a list of dicts; the option repeats, and its order is the order of matching. The
grammar is nova's and that of the Juno spec "PCI SR-IOV passthrough to nova instance", with what bit its
operators refused instead of guessed at:

* a typo offers nothing: a key one edit away from a known one is refused with the right spelling, and an
  entry that constrains nothing is refused unless its address is spelled ``*:*:*.*``;
* ids are 1 to 4 hex digits with an optional ``0x``, or ``*``; no sign, no underscore;
* regular expressions match whole fields;
* tags are strings; true and false become "true" and "false"; null is for physical_network alone;
* ``device_id`` is the vendor beside a product_id, and the product beside a vendor_id;
* every error of the option is told at once, with entry, key, value and cure.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pci_agent.errors import ConfigurationRefused, Refusal
from pci_agent.model.whitelist import AddressGlob, AddressRegex, Entry, Whitelist

OPTION = "[pci] device_spec"

_CONDITIONS = ("vendor_id", "product_id", "device_id", "address", "devname")
_KNOWN = (
    *_CONDITIONS,
    "exclude",
    "physical_network",
    "managed",
    "trusted",
    "remote_managed",
    "live_migratable",
    "one_time_use",
    "resource_class",
    "traits",
)
# Names that a device, a pool or an answer has already: a tag of that name would hide one.
_OURS = frozenset(
    "id uuid status status_reason count total free used numa_node dev_type dev_id label parent_addr path class"
    " class_code revision driver iommu_group netdevs mac_address vf_index sriov_totalvfs sriov_numvfs tags"
    " subsystem_vendor_id subsystem_product_id extra_info phys_function compute_node_id hypervisor_hostname"
    " instance_uuid server_uuid request_id project_id user_id created_at updated_at deleted deleted_at hash".split()
)
_ID = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,4})", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]+", re.ASCII)
_FIELDS = {"domain": 0xFFFFFFFF, "bus": 0xFF, "slot": 0x1F, "function": 7}
_ANY_ADDRESS = "*:*:*.*"
_LSPCI = 'write it as lspci does, "0000:0a:00.1", with * or nothing for a field that may be any'


class _Wrong(Exception):
    """What is wrong with one key of one entry, and the cure."""

    def __init__(self, key: str | None, value: object, what: str, cure: str) -> None:
        super().__init__(what)
        self.key, self.value, self.what, self.cure = key, value, what, cure


def parse(values: Iterable[str]) -> Whitelist:
    """
    Read the option's values, in file order.

    >>> parse(['{"vendor_id": "8086", "physical_network": "physnet1"}']).entries[0].tags
    {'physical_network': 'physnet1'}

    Raises:
        ConfigurationRefused: with every error of every entry; nothing of the option should be used then.
    """
    entries: list[Entry] = []
    refusals: list[Refusal] = []
    number = 0
    for value in values:
        for item in _items(value):
            number += 1
            try:
                if isinstance(item, _Wrong):
                    raise item
                entries.append(_entry(number, item))
            except ExceptionGroup as wrong:
                refusals += [_refusal(number, each) for each in wrong.exceptions if isinstance(each, _Wrong)]
            except _Wrong as wrong:
                refusals.append(_refusal(number, wrong))
    if refusals:
        raise ConfigurationRefused(refusals)
    return Whitelist(tuple(entries))


def _refusal(number: int, wrong: _Wrong) -> Refusal:
    value = wrong.value if wrong.key is None else json.dumps(wrong.value, default=str)
    return Refusal(
        option=OPTION, entry=number, key=wrong.key, value=_short(str(value)), what=wrong.what, cure=wrong.cure
    )


def _short(text: str) -> str:
    most = 200
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def _items(value: str) -> list[Any]:
    """List the entries of one value, or the one thing that is wrong with it."""
    cure = 'write a JSON dict, as in {"vendor_id": "8086", "product_id": "1520"}, or a list of them'
    try:
        read = json.loads(value, object_pairs_hook=_without_repeats)
    except _Wrong as wrong:
        return [wrong]
    except (ValueError, RecursionError, TypeError) as error:
        return [_Wrong(None, value, f"this is not JSON ({error})", cure)]
    if isinstance(read, list):
        return [
            item if isinstance(item, dict) else _Wrong(None, json.dumps(item), "an entry is a JSON dict", cure)
            for item in read
        ]
    return [read if isinstance(read, dict) else _Wrong(None, value, "an entry is a JSON dict", cure)]


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for key, value in pairs:
        if key in read:
            raise _Wrong(key, value, "the key stands twice in one entry", "keep one of the two")
        read[key] = value
    return read


def _entry(number: int, item: Mapping[str, Any]) -> Entry:
    """Read one entry; an ExceptionGroup carries all that is wrong with it."""
    wrongs: list[_Wrong] = []

    def attempt(read: Any, *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except _Wrong as wrong:
            wrongs.append(wrong)
            return None

    attempt(_printable, item)
    ids = attempt(_ids, item) or {}
    vendor_id = attempt(_id, "vendor_id", ids)
    product_id = attempt(_id, "product_id", ids)
    address = attempt(_address, item.get("address"))
    devname = attempt(_devname, item)
    exclude = attempt(_exclude, item)
    tags = {}
    for key, value in item.items():
        if key not in _CONDITIONS and key != "exclude":
            tags[key] = attempt(_tag, key, value, bool(exclude))
    constrained = any(part is not None for part in (vendor_id, product_id, address, devname))
    if not wrongs and not constrained and item.get("address") != _ANY_ADDRESS:
        wrongs.append(
            _Wrong(
                None,
                json.dumps(item),
                "it constrains nothing, so it would offer every device of the host",
                f'name a vendor_id, product_id, address or devname, or say so with "address": "{_ANY_ADDRESS}"',
            )
        )
    if wrongs:
        raise ExceptionGroup("entry", wrongs)
    return Entry(
        number=number,
        vendor_id=vendor_id,
        product_id=product_id,
        address=address,
        devname=devname,
        exclude=exclude,
        tags=tags,
    )


def _printable(item: Mapping[str, Any]) -> None:
    try:
        json.dumps(item, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Wrong(None, json.dumps(item), "half a surrogate pair is no text", "write the whole character") from None


def _ids(item: Mapping[str, Any]) -> dict[str, Any]:
    """Tell vendor_id and product_id apart, where the Juno spec's device_id stands for one of them."""
    ids = {key: item[key] for key in ("vendor_id", "product_id") if key in item}
    if "device_id" not in item or item["device_id"] == "*":
        return ids
    if len(ids) != 1:
        raise _Wrong(
            "device_id",
            item["device_id"],
            "alone, or beside both vendor_id and product_id, it says neither vendor nor product",
            "write vendor_id and product_id",
        )
    missing = "product_id" if "vendor_id" in ids else "vendor_id"
    return {**ids, missing: item["device_id"]}


def _id(key: str, ids: Mapping[str, Any]) -> str | None:
    value = ids.get(key, "*")
    if isinstance(value, str):
        text = value.strip()
        if text == "*":
            return None
        found = _ID.fullmatch(text)
        if found is not None:
            return found[1].lower().zfill(4)
    raise _Wrong(key, value, "this is no PCI id", 'write 1 to 4 hex digits in quotes, as in "8086", or "*"')


def _address(value: object) -> AddressGlob | AddressRegex | None:
    """Read an address condition; None where it constrains nothing."""
    if value is None or value in ("", {}, []):
        return None
    if isinstance(value, str):
        return _glob(value)
    if isinstance(value, dict):
        return _regex(value)
    raise _Wrong("address", value, "an address is text or a dict of regular expressions", _LSPCI)


def _glob(text: str) -> AddressGlob | None:
    front, _, function = text.partition(".")
    fields = front.split(":")
    if len(fields) > len(_FIELDS) - 1:
        raise _Wrong("address", text, "it has more than domain, bus and slot before the dot", _LSPCI)
    texts = [*["", "", "", *fields][-3:], function]
    glob = AddressGlob(*(_number(text, name, part) for name, part in zip(_FIELDS, texts, strict=True)))
    return None if glob == AddressGlob(None, None, None, None) else glob


def _number(text: str, name: str, part: str) -> int | None:
    part = part.strip()
    if part in ("", "*"):
        return None
    if _HEX.fullmatch(part) is None:
        raise _Wrong("address", text, f"its {name} {part!r} is neither a hex number nor *", _LSPCI)
    number = int(part, 16)
    if number > _FIELDS[name]:
        raise _Wrong("address", text, f"its {name} {part} is above {_FIELDS[name]:x}", _LSPCI)
    return number


def _regex(value: Mapping[str, Any]) -> AddressGlob | AddressRegex | None:
    unknown = sorted(set(value) - set(_FIELDS))
    if unknown:
        raise _Wrong("address", value, f"{unknown[0]!r} is no part of an address", f"use {', '.join(_FIELDS)}")
    patterns = []
    for name in _FIELDS:
        text = value.get(name, ".*")
        if not isinstance(text, str):
            raise _Wrong("address", value, f"its {name} is not text", 'write a regular expression, as in "0[ab]"')
        patterns.append(text)
    if all(pattern == ".*" for pattern in patterns):
        return None
    if all(_HEX.fullmatch(pattern) for pattern in patterns):
        return _glob("{}:{}:{}.{}".format(*patterns))
    return AddressRegex(*(_pattern(value, text) for text in patterns))


def _pattern(value: Mapping[str, Any], text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE | re.ASCII)
    except (re.error, ValueError, RecursionError, OverflowError) as error:
        raise _Wrong(
            "address", value, f"{text!r} is no regular expression ({error})", "mend it, or use the lspci form"
        ) from None


def _devname(item: Mapping[str, Any]) -> str | None:
    value = item.get("devname")
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _Wrong("devname", value, "a netdev's name is text", 'write it in quotes, as in "enp5s0f0"')
    if item.get("address"):
        raise _Wrong("devname", value, "an entry has an address or a devname, not both", "keep one of the two")
    return value


def _exclude(item: Mapping[str, Any]) -> bool:
    value = item.get("exclude", False)
    if not isinstance(value, bool):
        raise _Wrong("exclude", value, "it is true or false", "write true, without quotes")
    return value


def _tag(key: str, value: object, exclude: bool) -> str | None:
    _tag_name(key, value)
    if exclude:
        raise _Wrong(key, value, "an excluding entry carries no tags", "take the tag or the exclude away")
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None and key == "physical_network":
        return None
    if isinstance(value, str):
        return value
    raise _Wrong(key, value, "a tag's value is text", "write it in quotes")


def _tag_name(key: str, value: object) -> None:
    if key in _KNOWN:
        return
    if key == "allow_host_use":
        raise _Wrong(key, value, "it isn't supported yet", "leave it out: devices that the host uses are not known yet")
    if key.lower() in _OURS:
        raise _Wrong(key, value, "the name is one of pci-agent's own fields", "give the tag another name")
    plain = _plain(key)
    if not plain:
        raise _Wrong(key, value, "a tag needs a name", "name the tag")
    for known in _KNOWN:
        if _one_edit(plain, _plain(known)):
            raise _Wrong(key, value, "this looks like a slip of the pen", f"did you mean {known}?")


def _plain(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "").strip()


def _one_edit(left: str, right: str) -> bool:
    """True where one letter put in, left out, changed or swapped with its neighbour makes the two equal."""
    if left == right:
        return True
    if abs(len(left) - len(right)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    if len(left) == len(right):
        swapped = left[start : start + 2] == right[start : start + 2][::-1] and left[start + 2 :] == right[start + 2 :]
        return swapped or left[start + 1 :] == right[start + 1 :]
    longer, shorter = (left, right) if len(left) > len(right) else (right, left)
    return longer[start + 1 :] == shorter[start:]
