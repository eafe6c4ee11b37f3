"""
Nova's own code (34.0.0) and ours, given the same aliases, flavors and ports: they must ask for the same.

That is: what is refused, how many devices are asked for and of which kind and policy, and whether a device may serve.
Which of those that may are then taken is fit's part, which does it otherwise.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from aliases import FEATURES, Item, Wish, wish
from as_nova import REFUSED, Comparison, Difference, Nova, Outcome, values_less
from machines import CARD, VF0
from pci_agent.errors import ConfigurationRefused, RequestRefused
from pci_agent.model.device import DevType
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.request import (
    EXTRA_SPEC,
    NUMA_EXTRA_SPEC,
    NumaPolicy,
    PciRequest,
    Spec,
    from_extra_specs,
    from_port,
    parse_aliases,
)
from pci_agent.model.stats import nova_pools


@pytest.fixture(scope="module")
def nova() -> Iterator[Nova]:
    started = Nova()
    yield started
    started.close()


def question(of: Wish) -> dict[str, Any]:
    everything = [device for device, _ in of.devices]
    pools = [
        nova_pools([TrackedDevice(uuid="", identity="", device=device, tags=tags)], everything)[0]
        for device, tags in of.devices
    ]
    asked = {"aliases": of.aliases, "flavor": of.flavor, "policy": of.policy, "ports": of.ports, "pools": pools}
    return {"asked": asked}


def comparable(answer: dict[str, Any]) -> Outcome:
    """Tell ports from aliases, and drop what nova itself passes over when it matches."""
    asked = list(zip(answer["requests"], answer["takes"], strict=True))
    for request, _ in asked:
        request["policy"] = request["policy"] or "legacy"
        request["specs"] = [
            {key: folded(spec[key]) for key in spec if key not in PLACEMENT} for spec in request["specs"]
        ]
    return {
        "aliases": [request for request, _ in asked if request["alias"]],
        "aliases take": [takes for request, takes in asked if request["alias"]],
        "ports": [(request["count"], request["policy"]) for request, _ in asked if not request["alias"]],
        "ports take": [takes for request, takes in asked if not request["alias"]],
    }


PLACEMENT = ("resource_class", "traits")


def folded(value: str | None) -> str | None:
    return value if value is None or value.startswith("type-") else value.lower()


def ours(of: Wish) -> Outcome:
    numbers = count()
    extra_specs = {EXTRA_SPEC: of.flavor, NUMA_EXTRA_SPEC: of.policy}
    try:
        asked = from_extra_specs(
            {name: text for name, text in extra_specs.items() if text is not None},
            parse_aliases(of.aliases),
            lambda: str(next(numbers)),
        )
    except (ConfigurationRefused, RequestRefused):
        return REFUSED
    ports = [request for port in of.ports if (request := ours_of_port(*port)) is not None]
    return {
        "aliases": [
            {
                "alias": request.alias_name,
                "count": request.count,
                "policy": request.numa_policy,
                "specs": [written(spec) for spec in request.specs],
            }
            for request in asked
        ],
        "aliases take": [taken(request, of) for request in asked],
        "ports": [(request.count, request.numa_policy) for request in ports],
        "ports take": [taken(request, of) for request in ports],
    }


def ours_of_port(vnic_type: str, network: str | None, trusted: bool | None, policy: str | None) -> PciRequest | None:
    numa_policy = None if policy is None else NumaPolicy(policy)
    return from_port(vnic_type, network, request_id="", trusted=trusted, numa_policy=numa_policy)


def written(spec: Spec) -> dict[str, str | None]:
    plain = {"vendor_id": spec.vendor_id, "product_id": spec.product_id, "dev_type": spec.dev_type}
    return {**{name: text for name, text in plain.items() if text is not None}, **spec.tags}


def taken(request: PciRequest, of: Wish) -> list[bool]:
    return [request.asks_for(device, tags) and request.takes(device, tags) for device, tags in of.devices]


# Which differences are meant.


def any_item(condition: Callable[[Item], bool]) -> Callable[[Wish], bool]:
    return lambda of: any(condition(item) for item in of.items)


def alias(**item: Any) -> str:
    return json.dumps({"name": "a1", "vendor_id": "8086", "product_id": "1520", **item})


def example(*values: str, flavor: str = "a1:1") -> Wish:
    return Wish(((VF0, {}),), values, flavor)


def asks_for_a_tag(item: Item) -> bool:
    plain = {"name", "vendor_id", "product_id", "device_type", "numa_policy", "capability_type", "live_migratable"}
    return not set(item) <= plain | set(PLACEMENT)


def has_another_id(item: Item) -> bool:
    ids = [item.get("vendor_id"), item.get("product_id")]
    return any(text is None or re.fullmatch(r"[0-9a-fA-F]{4}", str(text)) is None for text in ids)


def names_an_alias_twice_without_type(of: Wish) -> bool:
    names = [str(item.get("name")).strip() for item in of.items if "device_type" not in item]
    others = [str(item.get("name")).strip() for item in of.items]
    return any(others.count(name) > 1 for name in names)


def has_an_unusable_name(item: Item) -> bool:
    name = item.get("name")
    return isinstance(name, str) and bool(name) and (not name.strip() or ":" in name or "," in name)


def has_an_odd_count(of: Wish) -> bool:
    counts = [item.partition(":")[2].strip() for item in (of.flavor or "").split(",")]
    return any(re.fullmatch(r"0+|[-+].*|.*_.*|[0-9]{7,}", number) for number in counts)


DIFFERENCES = (
    Difference(
        "an alias may ask for any tag of the whitelist",
        "what an operator says of devices is what a flavor should be able to ask for",
        example(alias(rack="7")),
        any_item(asks_for_a_tag),
    ),
    Difference(
        "an alias's ids are written as the whitelist's, and one may be left out",
        "one way to write an id",
        example(alias(vendor_id="0x8086")),
        any_item(has_another_id),
    ),
    Difference(
        "capability_type asks for nothing",
        "nova asks pools for it, and none has it",
        example(alias(capability_type="pci")),
        any_item(lambda item: "capability_type" in item),
    ),
    Difference(
        "an alias without a type may have several specs",
        "nova stumbles over the type that is missing",
        example(alias(), alias(product_id="1521")),
        names_an_alias_twice_without_type,
    ),
    Difference(
        "resource_class and traits are not empty",
        "an empty one names nothing",
        example(alias(traits="")),
        any_item(lambda item: "" in (item.get("resource_class"), item.get("traits"))),
    ),
    Difference(
        "an alias has a name that a flavor can ask for",
        "a blank one, or one with a colon or comma, none can",
        example(alias(name="a:b"), alias()),
        any_item(has_an_unusable_name),
    ),
    Difference(
        "live_migratable may be JSON's true or false",
        "it may in the whitelist",
        example(alias(live_migratable=True)),
        any_item(lambda item: isinstance(item.get("live_migratable"), bool | int)),
    ),
    Difference(
        "a count is a plain number from 1",
        "nova takes none or less than none",
        example(alias(), flavor="a1:0"),
        has_an_odd_count,
    ),
    Difference(
        "a port takes network functions alone",
        "nova gives a port without a physical network any VF that has none either, an accelerator's too",
        Wish(((VF0._replace(class_code="0b4000"), {}),), (), None, ports=(("direct", None, None, None),)),
        lambda of: bool(of.ports) and any(not device.class_code.startswith("02") for device, _ in of.devices),
        part="ports take",
    ),
    Difference(
        "a port that wants a VF isn't given a plain function",
        "nova is kept from it by a tag alone, which an operator may set",
        Wish(
            ((CARD._replace(class_code="020000"), {"remote_managed": "false"}),),
            (),
            None,
            ports=(("direct", None, None, None),),
        ),
        lambda of: (
            bool(of.ports)
            and any(device.dev_type is DevType.PCI and "remote_managed" in tags for device, tags in of.devices)
        ),
        part="ports take",
    ),
)


KINDS = ("refused", "an alias's device", "no alias's device", "a port's device", "no port's device")


def kinds_of(_: Wish, outcome: Outcome) -> Iterator[str]:
    if outcome == REFUSED:
        yield "refused"
        return
    for takes in outcome["aliases take"]:
        yield "an alias's device" if any(takes) else "no alias's device"
    for takes in outcome["ports take"]:
        yield "a port's device" if any(takes) else "no port's device"


def smaller(of: Wish) -> Iterator[Wish]:
    yield from (replace(of, aliases=values) for values in values_less(of.aliases))
    yield from (replace(of, devices=(*of.devices[:n], *of.devices[n + 1 :])) for n in range(len(of.devices)))
    yield from (replace(of, ports=(*of.ports[:n], *of.ports[n + 1 :])) for n in range(len(of.ports)))
    if of.flavor is not None:
        items = of.flavor.split(",")
        yield from (replace(of, flavor=",".join(items[:n] + items[n + 1 :]) or None) for n in range(len(items)))


COMPARISON = Comparison(
    make=wish,
    features=lambda of: of.features,
    question=question,
    comparable=comparable,
    ours=ours,
    kinds=kinds_of,
    smaller=smaller,
    differences=DIFFERENCES,
)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.what)
def test_nova_and_we_really_ask_otherwise_where_it_is_meant(nova: Nova, difference: Difference[Wish]) -> None:
    assert COMPARISON.touching(difference.example) == [difference]
    assert COMPARISON.outcome(nova, difference.example) != ours(difference.example)


def test_nova_and_we_ask_for_the_same_but_where_it_is_meant(nova: Nova, request: pytest.FixtureRequest) -> None:
    tally = COMPARISON.run(nova, 30_000 if request.config.getoption("--long") else 3_000)
    assert tally.left_out < 0.2 * tally.cases
    assert not FEATURES - tally.features.keys()
    assert min(tally.kinds[kind] for kind in KINDS) > 0.03 * tally.cases
