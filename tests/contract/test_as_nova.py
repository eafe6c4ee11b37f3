"""
Nova's own code (34.0.0) and ours, given the same machines and the same ``[pci] device_spec``: they must agree.

They do on what is refused, on which entry matches which device, on tags and on pools, but for the differences that
are meant, each of which stands once in DIFFERENCES. A generated case that one of them touches is left out and counted;
each has an example, which shows that nova and we really differ there.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from as_nova import REFUSED, Comparison, Difference, Nova, Outcome, values_less
from machines import EVERYTHING, PF, VF0
from pci_agent.errors import ConfigurationRefused
from pci_agent.model.address import PciAddress
from pci_agent.model.device_spec import parse
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.names import names_of, remember
from pci_agent.model.stats import nova_pools
from whitelists import FEATURES, Case, Item, case


@pytest.fixture(scope="module")
def nova() -> Iterator[Nova]:
    started = Nova()
    yield started
    started.close()


def comparable(answer: dict[str, Any]) -> Outcome:
    """Drop the order of pools and of their keys."""
    return {**answer, "pools": sorted((sorted(pool.items()) for pool in answer["pools"]), key=repr)}


def ours(of: Case) -> Outcome:
    try:
        whitelist = parse(of.values)
    except ConfigurationRefused:
        return REFUSED
    names = names_of(of.now, remember(of.devices, {}))
    matches = [whitelist.match(device, names) for device in of.now]
    entries = [None if entry is None or entry.exclude else entry for entry in matches]
    inventory = [
        TrackedDevice(uuid=device.dev_id, identity=device.dev_id, device=device, tags=entry.tags)
        for device, entry in zip(of.now, entries, strict=True)
        if entry is not None
    ]
    return comparable(
        {
            "entries": [entry and entry.number for entry in entries],
            "tags": [entry and dict(entry.tags) for entry in entries],
            "pools": nova_pools(inventory, of.now),
        }
    )


# Which differences are meant.


def has(*keys: str) -> Callable[[Item], bool]:
    return lambda item: any(key in item for key in keys)


def _takes_all(part: str, pattern: object) -> bool:
    fields = {"domain": ("0000", "0001", "abcd", "ffff"), "bus": range(256), "slot": range(32), "function": range(8)}
    widths = {"bus": 2, "slot": 2, "function": 1}
    texts = [text if isinstance(text, str) else f"{text:0{widths[part]}x}" for text in fields.get(part, ())]
    try:
        return all(re.fullmatch(str(pattern), text, re.IGNORECASE) for text in texts)
    except re.error:
        return False


def constrains_nothing(item: Item) -> bool:
    address = item.get("address")
    any_address = not address or (
        all(_takes_all(part, value) for part, value in address.items())
        if isinstance(address, dict)
        else not str(address).strip(" *:.")
    )
    any_id = all(str(item.get(key, "*")).strip() == "*" for key in ("vendor_id", "product_id"))
    return any_address and any_id and not item.get("devname") and address != "*:*:*.*"


def has_an_odd_number(item: Item) -> bool:
    ids = [str(item.get(key)) for key in ("vendor_id", "product_id")]
    address = item["address"] if isinstance(item.get("address"), str) else ""
    return (
        any(set(text) & set("+-_") for text in (*ids, address))
        or any(re.fullmatch(r"\s*(0x)?0+[0-9a-f]{4}\s*", text, re.IGNORECASE) for text in ids)
        or "0x" in address.lower()
    )


def has_a_blank_wildcard(item: Item) -> bool:
    return bool(re.search(r"\.\s+$", str(item.get("address")))) or bool(re.search(r"\s", _id_wildcard(item)))


def _id_wildcard(item: Item) -> str:
    product_id = str(item.get("product_id"))
    return product_id if product_id.strip() == "*" else ""


def has_a_wide_domain(item: Item) -> bool:
    address = item.get("address")
    found = re.match(r"\s*([0-9a-f]+)\s*:[^:]*:[^:]*$", address, re.IGNORECASE) if isinstance(address, str) else None
    return found is not None and int(found[1], 16) > 0xFFFF


def has_an_unknown_part(item: Item) -> bool:
    address = item.get("address")
    return isinstance(address, dict) and not set(address) <= {"domain", "bus", "slot", "function"}


def reads_otherwise_as_whole_fields(of: Case) -> bool:
    places = [device.address for device in of.devices]
    patterns = [item["address"] for item in of.items if isinstance(item.get("address"), dict)]
    return any(
        is_unpadded(pattern) or any(differs(pattern.get(name), text) for name, text in fields(str(place)).items())
        for pattern in patterns
        for place in places
    )


def fields(address: str) -> dict[str, str]:
    return dict(zip(("domain", "bus", "slot", "function"), re.split(r"[:.]", address), strict=True))


def differs(pattern: object, text: str) -> bool:
    """True where a prefix in this case matches and the whole field in any case doesn't, or the other way round."""
    if not isinstance(pattern, str):
        return False
    try:
        return bool(re.match(pattern, text)) != bool(re.fullmatch(pattern, text, re.IGNORECASE | re.ASCII))
    except re.error:
        return False


def is_unpadded(pattern: Mapping[str, Any]) -> bool:
    """True of plain numbers that aren't written as the kernel writes an address."""
    texts = [str(pattern.get(name)) for name in ("domain", "bus", "slot", "function")]
    if not all(re.fullmatch(r"[0-9a-fA-F]+", text) for text in texts):
        return False
    return re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", "{}:{}:{}.{}".format(*texts)) is None


BOOLEANS = {"managed", "trusted", "remote_managed", "live_migratable", "one_time_use"}
SWITCHES = {"exclude", "allow_host_use"}
CONDITIONS = {"vendor_id", "product_id", "device_id", "address", "devname"}


def has_a_tag_that_is_no_text(item: Item) -> bool:
    plain = {key: value for key, value in item.items() if key not in CONDITIONS | SWITCHES | BOOLEANS}
    return any(
        not isinstance(value, str) and (key, value) != ("physical_network", None) for key, value in plain.items()
    )


def has_an_empty_boolean(item: Item) -> bool:
    return any(key in item and item[key] is None for key in BOOLEANS)


def has_a_boolean_left_as_written(item: Item) -> bool:
    return any(item.get(key, "true") not in ("true", "false") for key in ("trusted", "remote_managed"))


def repeats_a_key(of: Case) -> bool:
    def kept(pairs: list[tuple[str, Any]]) -> Item:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    try:
        for value in of.values:
            json.loads(value, object_pairs_hook=kept)
    except AssertionError:
        return True
    except (ValueError, RecursionError):
        pass
    return False


def asks_for_more_of_remote_managed(of: Case) -> bool:
    """True where nova wants a serial number, or an address that is no PF's, for an entry that is remote-managed."""
    yes = ("1", "t", "true", "on", "y", "yes")
    managed = [item for item in of.items if str(item.get("remote_managed")).strip().lower() in yes]
    return any(not of.serials or "devname" in item or names_one_function(item.get("address")) for item in managed)


def names_a_new_pf(of: Case) -> bool:
    return bool(of.new) and any(names_one_function(item.get("address")) for item in of.items)


def has_a_former_name(of: Case) -> bool:
    former = {netdev.name for device in of.devices if device.address in of.on_vfio for netdev in device.netdevs}
    return any(item.get("devname") in former for item in of.items if isinstance(item.get("devname"), str))


def names_one_function(address: object) -> bool:
    parts = address.values() if isinstance(address, dict) else re.split(r"[:.]", str(address))
    return len(parts) == 4 and all(re.fullmatch(r"\s*[0-9a-fA-F]+\s*", str(part)) for part in parts)


def any_item(condition: Callable[[Item], bool]) -> Callable[[Case], bool]:
    return lambda of: any(condition(item) for item in of.items)


def example(value: str, *, on_vfio: Iterable[PciAddress] = (), new: Iterable[PciAddress] = ()) -> Case:
    return Case(EVERYTHING, (value,), on_vfio=frozenset(on_vfio), new=frozenset(new))


DIFFERENCES = (
    Difference(
        "an entry that constrains nothing is refused",
        "in nova a typo offers the whole host; here that is spelt *:*:*.*",
        example('{"physical_network": "physnet1"}'),
        any_item(constrains_nothing),
    ),
    Difference(
        "a word one edit away from a known one is refused",
        "it was meant as the known one, and as a tag it would lift a condition",
        example('{"product_id": "1520", "adress": "0000:04:10.0"}'),
        any_item(has("adress", "Product_ID", "physical_netwrok", "dev_name")),
    ),
    Difference(
        "a tag named as one of our own fields is refused",
        "it would hide that field of a device or a pool; in nova it overwrites the pool's",
        example('{"vendor_id": "8086", "numa_node": "1"}'),
        any_item(has("numa_node", "Dev_Type", "count", "devices", "parent_ifname", "rp_uuid", "")),
    ),
    Difference(
        "ids and addresses are hex digits only",
        "-1, +1 and 1_0 are slips that Python's int() happens to read",
        example('{"vendor_id": "80_86"}'),
        any_item(has_an_odd_number),
    ),
    Difference(
        "a domain may have up to 32 bits",
        "Linux numbers those of Intel VMD and Hyper-V above 0xffff",
        example('{"address": "10000:04:00.0"}'),
        any_item(has_a_wide_domain),
    ),
    Difference(
        "regular expressions match whole fields, in any case",
        'a prefix takes more than was meant: "0" all buses from 00 to 0f',
        example('{"address": {"bus": "0"}}'),
        reads_otherwise_as_whole_fields,
    ),
    Difference(
        "whether a fully given address is a PF's is judged at each look",
        "nova does at its start alone, and then leaves the VFs of a card that is plugged in later",
        example('{"address": "0000:04:00.0"}', new=[PF.address]),
        names_a_new_pf,
    ),
    Difference(
        "a netdev's name counts for who bore it last in this boot",
        "else giving a device to vfio-pci would take it off the whitelist",
        example('{"devname": "enp4s0f0v0"}', on_vfio=[VF0.address]),
        has_a_former_name,
    ),
    Difference(
        "an unknown part of an address is refused",
        "it was meant to constrain, and doesn't",
        example('{"address": {"bus": "04", "func": "1"}}'),
        any_item(has_an_unknown_part),
    ),
    Difference(
        'a tag\'s value is text, JSON\'s true and false are "true" and "false", null is for physical_network alone',
        "what is no text matches no request in nova, or breaks it later on",
        example('{"vendor_id": "8086", "rack": 7}'),
        any_item(has_a_tag_that_is_no_text),
    ),
    Difference(
        "a boolean tag is not null",
        "null is for physical_network alone",
        example('{"vendor_id": "8086", "managed": null}'),
        any_item(has_an_empty_boolean),
    ),
    Difference(
        'trusted and remote_managed become "true" or "false" as the other booleans do, or are refused',
        "nova's compute finds that true isn't \"true\", and its scheduler that it is",
        example('{"vendor_id": "8086", "trusted": true}'),
        any_item(has_a_boolean_left_as_written),
    ),
    Difference(
        "resource_class and traits are not empty",
        "an empty one names nothing",
        example('{"vendor_id": "8086", "traits": ""}'),
        any_item(lambda item: "" in (item.get("resource_class"), item.get("traits"))),
    ),
    Difference(
        "device_id stands for the id that is missing",
        "the first written grammar had it; to nova it is a tag",
        example('{"vendor_id": "8086", "device_id": "1520"}'),
        any_item(has("device_id")),
    ),
    Difference(
        "exclude says no, allow_host_use offers what the host uses",
        "nova has neither: to it they are tags",
        example('{"vendor_id": "8086", "exclude": true}'),
        any_item(has(*SWITCHES)),
    ),
    Difference(
        "a key that stands twice is refused",
        "nova takes the last, whichever was meant",
        example('{"vendor_id": "8086", "vendor_id": "10de"}'),
        repeats_a_key,
    ),
    Difference(
        "a devname is text",
        "a number names no netdev, and 0 is none in nova",
        example('{"vendor_id": "8086", "devname": 0}'),
        any_item(lambda item: not isinstance(item.get("devname", ""), str | None)),
    ),
    Difference(
        "blanks beside a wildcard don't matter",
        "nova strips them in all places but two",
        example('{"address": "0000:04:00. "}'),
        any_item(has_a_blank_wildcard),
    ),
    Difference(
        "a tag has 255 characters at most, and none that can't be printed",
        "it is shown to people, and kept in columns",
        example(json.dumps({"vendor_id": "8086", "rack": "y" * 300})),
        any_item(lambda item: any(len(str(word)) > 255 for each in item.items() for word in each)),
    ),
    Difference(
        "a pool of devices without a tag isn't one of devices whose physical_network is null",
        "nova compares the number of keys and one side's values: a null there equals a key that is missing here",
        example('[{"address": "0000:04:10.0", "rack": "7"}, {"address": "0000:04:10.4", "physical_network": null}]'),
        any_item(lambda item: "physical_network" in item and item["physical_network"] is None),
        part="pools",
    ),
    Difference(
        "a remote-managed device needs no serial number, its entry may name a PF or a netdev",
        "serial numbers are not read; nova stops at one that names a PF, for it reads files that don't exist",
        example('{"address": "0000:04:00.0", "product_id": "1520", "remote_managed": "true"}'),
        asks_for_more_of_remote_managed,
    ),
)


KINDS = ("refused", "nothing matches", "one entry matches", "several entries match", "VFs without their PF")


def kinds_of(of: Case, outcome: Outcome) -> Iterator[str]:
    if outcome == REFUSED:
        yield "refused"
        return
    numbers = set(outcome["entries"]) - {None}
    yield ("nothing matches", "one entry matches", "several entries match")[min(len(numbers), 2)]
    matched = {device.address for device, number in zip(of.devices, outcome["entries"], strict=True) if number}
    if any(device.parent_addr not in {None, *matched} for device in of.devices if device.address in matched):
        yield "VFs without their PF"


def smaller(of: Case) -> Iterator[Case]:
    """Give cases with one thing less: a value, an entry, a key, a function with its VFs."""
    yield from (replace(of, values=values) for values in values_less(of.values))
    for gone in of.devices:
        rest = [device for device in of.devices if gone.address not in (device.address, device.parent_addr)]
        yield replace(of, devices=tuple(rest))


COMPARISON = Comparison(
    make=case,
    features=lambda of: of.features,
    question=lambda of: {"offered": {"machine": of.machine, "specs": of.values}},
    comparable=comparable,
    ours=ours,
    kinds=kinds_of,
    smaller=smaller,
    differences=DIFFERENCES,
)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.what)
def test_nova_and_we_really_differ_where_it_is_meant(nova: Nova, difference: Difference[Case]) -> None:
    assert COMPARISON.touching(difference.example) == [difference]
    assert COMPARISON.outcome(nova, difference.example) != ours(difference.example)


def test_nova_and_we_agree_but_where_it_is_meant(nova: Nova, request: pytest.FixtureRequest) -> None:
    tally = COMPARISON.run(nova, 100_000 if request.config.getoption("--long") else 3_000)
    assert tally.left_out < 0.2 * tally.cases
    assert not FEATURES - tally.features.keys()
    assert min(tally.kinds[kind] for kind in KINDS) > 0.03 * tally.cases
