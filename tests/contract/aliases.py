"""Aliases, flavors and ports at random, and devices that they may mean: right ones, broken ones, a few contested."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

import whitelists
from pci_agent.model.device import Device
from pci_agent.model.vocabulary import Tags

Item = dict[str, Any]
Port = tuple[str, str | None, bool | None, str | None]
"""vnic_type, physical network, trusted, NUMA policy."""

_NETWORK_CLASS, _ACCELERATOR_CLASS = "020000", "0b4000"
_NETWORKS = (None, None, "physnet1", "PhysNet1", "physnet2")
_POLICIES = ("required", "legacy", "preferred", "socket")
_VNIC_TYPES = ("direct", "direct", "macvtap", "direct-physical", "vdpa", "virtio-forwarder", "remote-managed", "normal")
_TAGS: Item = {
    "physical_network": _NETWORKS,
    "trusted": ("true", "false"),
    "live_migratable": ("true", "false"),
    "remote_managed": ("true", "false", "false"),
    "rack": ("7", "8"),
}

_BROKEN_VALUES = ("", "{", "5", "null", "[]", '[{"name": "a1", "vendor_id": "8086", "product_id": "1520"}]')
_BROKEN_KEYS: tuple[Item, ...] = (
    {"name": ""},
    {"name": 5},
    {"name": None},
    {"name": "n" * 257},
    {"vendor_id": "xyz1"},
    {"product_id": "15200"},
    {"vendor_id": ""},
    {"product_id": 1520},
    {"vendor_id": None},
    {"device_type": "vdpa"},
    {"device_type": "type-XY"},
    {"device_type": None},
    {"numa_policy": "near"},
    {"numa_policy": None},
    {"live_migratable": "maybe"},
    {"live_migratable": None},
    {"capability_type": "usb"},
    {"resource_class": 5},
)
_CONTESTED_KEYS: tuple[Item, ...] = (
    {"vendor_id": "0x8086"},
    {"vendor_id": "86"},
    {"product_id": "*"},
    {"product_id": None, "vendor_id": "8086"},
    {"rack": "7"},
    {"physical_network": "physnet1"},
    {"capability_type": "pci"},
    {"traits": ""},
    {"name": " "},
    {"name": "a:b"},
    {"live_migratable": True},
)
_BROKEN_ITEMS = ("a1", "a1:", ":1", "a1:x", "a1:1:1", "a1:1.0", "", "nobody:1", "A1:1")
_CONTESTED_ITEMS = ("a1:0", "a1:-1", "a1:+2", "a1:1_0", "a1:1234567")

FEATURES = frozenset(
    """alias of one spec, alias of several specs, alias with a type, alias with a policy, alias that migrates live,
    alias for placement, id upper-case, alias that is at odds with itself,
    broken value, broken key, broken item, no flavor, flavor of one item,
    flavor of several items, item with blanks, flavor with a policy, port of direct, port of macvtap, port of normal,
    port of direct-physical, port of vdpa, port of virtio-forwarder, port of remote-managed, trusted port""".replace(
        "\n   ", ""
    ).split(", ")
)
"""What a run must have compared."""


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What is asked of a host.

    Attributes:
        devices: every function, with its tags
        aliases: values of the option, in order
        flavor: its pci_passthrough:alias; None where it has none
        policy: its hw:pci_numa_affinity_policy; None where it has none
        ports: of the instance
        features: what the generator put in
    """

    devices: tuple[tuple[Device, Tags], ...]
    aliases: tuple[str, ...]
    flavor: str | None
    policy: str | None = None
    ports: tuple[Port, ...] = ()
    features: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def items(self) -> list[Item]:
        """The aliases, as far as they can be read."""
        return whitelists.Case((), self.aliases).items


def wish(random: Random) -> Wish:
    """Make devices, and requests that have them in mind."""
    return _Wisher(random).wish()


class _Wisher:
    """Writes one case, and notes what it puts in."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._features: set[str] = set()

    def wish(self) -> Wish:
        devices = [self._tagged(device) for device in whitelists.case(self._random).devices]
        items = self._items([device for device, _ in devices])
        values = [json.dumps(item) for item in items]
        if self._chance(0.04):
            self._note("broken value")
            values.insert(self._random.randint(0, len(values)), self._random.choice(_BROKEN_VALUES))
        policy = self._random.choice(_POLICIES) if self._chance(0.2) else None
        if policy:
            self._note("flavor with a policy")
        return Wish(
            tuple(devices),
            tuple(values),
            self._flavor(items),
            policy,
            tuple(self._port() for _ in range(self._random.choice((0, 0, 1, 2)))),
            frozenset(self._features),
        )

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _note(self, feature: str) -> None:
        self._features.add(feature)

    def _tagged(self, device: Device) -> tuple[Device, Tags]:
        tags = {name: self._random.choice(values) for name, values in _TAGS.items() if self._chance(0.3)}
        if device.parent_addr is None and not device.sriov_totalvfs and self._chance(0.9):
            tags.pop("remote_managed", None)
        is_odd = self._chance(0.02)
        return device._replace(class_code=_ACCELERATOR_CLASS if is_odd else _NETWORK_CLASS), tags

    def _items(self, devices: list[Device]) -> list[Item]:
        items: list[Item] = []
        for number in range(self._random.choice((0, 1, 1, 2, 3))):
            first = self._alias(f"a{number + 1}", self._random.choice(devices))
            items.append(first)
            self._note("alias of one spec")
            if "device_type" in first and self._chance(0.4):
                self._note("alias of several specs")
                items.append({**first, **self._ids(self._random.choice(devices))})
        if items and self._chance(0.08):
            self._note("broken key")
            self._random.choice(items).update(self._random.choice(_BROKEN_KEYS))
        if items and self._chance(0.06):
            self._random.choice(items).update(self._random.choice(_CONTESTED_KEYS))
        if items and self._chance(0.08):
            self._note("alias that is at odds with itself")
            odds = self._random.choice(({"numa_policy": "required"}, {"device_type": "type-PF"}))
            items.append({**self._random.choice(items), **odds})
        return items

    def _alias(self, name: str, device: Device) -> Item:
        item: Item = {"name": name if self._chance(0.9) else f" {name} ", **self._ids(device)}
        if self._chance(0.4):
            self._note("alias with a type")
            item["device_type"] = self._random.choice(("type-PCI", "type-PF", "type-VF"))
        if self._chance(0.3):
            self._note("alias with a policy")
            item["numa_policy"] = self._random.choice(_POLICIES)
        if self._chance(0.2):
            self._note("alias that migrates live")
            item["live_migratable"] = self._random.choice(("true", "false", "yes", "0", " On "))
        if self._chance(0.1):
            self._note("alias for placement")
            item[self._random.choice(("resource_class", "traits"))] = "CUSTOM_A"
        return item

    def _ids(self, device: Device) -> Item:
        ids = {"vendor_id": device.vendor_id, "product_id": device.product_id}
        if self._chance(0.2):
            self._note("id upper-case")
            ids = {name: text.upper() for name, text in ids.items()}
        return ids

    def _flavor(self, items: list[Item]) -> str | None:
        names = [item["name"] for item in items if isinstance(item["name"], str)]
        if not names or self._chance(0.1):
            self._note("no flavor")
            return None
        wanted = [self._item(self._random.choice(names)) for _ in range(self._random.choice((1, 1, 2, 3)))]
        self._note("flavor of one item" if len(wanted) == 1 else "flavor of several items")
        if self._chance(0.05):
            self._note("broken item")
            wanted.insert(0, self._random.choice(_BROKEN_ITEMS))
        if self._chance(0.03):
            wanted.append(self._random.choice(_CONTESTED_ITEMS))
        return ",".join(wanted)

    def _item(self, name: str) -> str:
        count = self._random.choice((1, 1, 2, 8))
        if self._chance(0.2):
            self._note("item with blanks")
            return f" {name} : {count} "
        return f"{name}:{count}"

    def _port(self) -> Port:
        vnic_type = self._random.choice(_VNIC_TYPES)
        self._note(f"port of {vnic_type}")
        trusted = self._random.choice((None, None, True, False))
        if trusted is not None:
            self._note("trusted port")
        policy = self._random.choice((None, *_POLICIES))
        return (vnic_type, self._random.choice(_NETWORKS), trusted, policy)
