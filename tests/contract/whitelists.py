"""Machines and ``[pci] device_spec`` configurations at random: right ones, broken ones, a few that are contested."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from benches.reported import machine
from machines import CARD
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType, Netdev

Item = dict[str, Any]

# Vendor, product of the PF, product of its VFs; some cards have one for both.
_SRIOV = (("8086", "1521", "1520"), ("15b3", "1017", "1018"), ("15b3", "101e", "101e"), ("8086", "37c8", "37c9"))
_PLAIN = (("8086", "0953"), ("10de", "2235"), ("1137", "0071"), ("8086", "1521"), ("0086", "00ff"))
_DOMAINS = (0, 0, 0, 1, 0x10, 0xAB, 0xFFFE, 0xFFFF)
_WIDTHS = {"domain": 4, "bus": 2, "slot": 2, "function": 1}

_LONG = 255
_TAGS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("physical_network", ("physnet1", "physnet2", "PhysNet1", "", None)),
    ("trusted", ("true", "false")),
    ("managed", ("true", "false", "yes", "0", True, False, 1, "Off", " on ")),
    ("live_migratable", ("true", "false", "no", "1", True, False)),
    ("one_time_use", ("true", "false", True, "n")),
    ("remote_managed", ("true", "false", "false")),
    ("resource_class", ("CUSTOM_NIC", "VGPU")),
    ("traits", ("CUSTOM_A,CUSTOM_B", "HW_NIC_SRIOV")),
    ("rack", ("7", "", "größer", "a b")),
    ("group", ("east", "West")),
    ("Speed", ("25G",)),
    ("slot", ("upper",)),
    ("x" * _LONG, ("y" * _LONG,)),
)

BROKEN_VALUES = ("", "abc", "5", "null", '"{}"', "{", '{"vendor_id": "8086",}', "[1]", "[[{}]]", "[" * 5000, "[null]")
BROKEN_KEYS: tuple[Item, ...] = (
    {"vendor_id": "18086"},
    {"product_id": "xyz"},
    {"vendor_id": ""},
    {"product_id": ""},
    {"vendor_id": "80 86"},
    {"vendor_id": "0x"},
    {"vendor_id": "808*"},
    {"vendor_id": 8086},
    {"product_id": 8086},
    {"vendor_id": None},
    {"product_id": None},
    {"address": "1:0000:0a:00.1"},
    {"address": "0000:0a:20.0"},
    {"address": "0000:100:00.0"},
    {"address": "0000:0a:00.8"},
    {"address": "0000:0a:00.0.1"},
    {"address": "0*:0a:00.0"},
    {"address": "0000:?a:00.0"},
    {"address": "nonsense"},
    {"address": 5},
    {"address": ["0000:0a:00.1"]},
    {"address": {"bus": "("}},
    {"address": {"bus": "*"}},
    {"address": {"bus": 4}},
    {"address": {"slot": None}},
    {"address": "0000:04:00.0", "devname": "eth0"},
    {"address": {"bus": "04"}, "devname": "eth0"},
    {"managed": "maybe"},
    {"managed": ""},
    {"live_migratable": "2"},
    {"one_time_use": "x"},
)
# What nova takes and we don't, or the other way round.
CONTESTED: tuple[Item, ...] = (
    {"vendor_id": "-1"},
    {"product_id": "+1520"},
    {"vendor_id": "80_86"},
    {"vendor_id": "008086"},
    {"product_id": " * "},
    {"adress": "0000:04:00.0"},
    {"Product_ID": "1520"},
    {"physical_netwrok": "physnet1"},
    {"dev_name": "ens0"},
    {"numa_node": "1"},
    {"Dev_Type": "type-VF"},
    {"count": "3"},
    {"parent_ifname": "eth9"},
    {"rp_uuid": "x"},
    {"devices": "x"},
    {"rack": 7},
    {"rack": True},
    {"rack": None},
    {"rack": ["7"]},
    {"rack": {"7": "8"}},
    {"managed": None},
    {"physical_network": 5},
    {"trusted": True},
    {"trusted": "True"},
    {"trusted": "maybe"},
    {"remote_managed": "False"},
    {"remote_managed": None},
    {"resource_class": ""},
    {"": "x"},
    {"device_id": "1520"},
    {"device_id": "*"},
    {"exclude": True},
    {"exclude": False},
    {"allow_host_use": True},
    {"address": "0000:04:-1.0"},
    {"address": "0000:0_4:00.0"},
    {"address": "0000:0x04:00.0"},
    {"address": "10000:04:00.0"},
    {"address": "0000:04:00. "},
    {"address": {"bus": "0"}},
    {"address": {"bus": "04", "func": "0"}},
    {"address": {"domain": "0", "bus": "4", "slot": "0", "function": "0"}},
    {"devname": 5, "address": ""},
    {"vendor_id": "*", "product_id": "*", "address": "*", "devname": ""},
)

# What a run must have compared.
FEATURES = frozenset(
    " ".join(
        """
    0 entries, 1 entries, 2 entries, PF of type-VF, PF of vdpa, PF without VFs, a dict a value, a list of dicts,
    address fully given, address of a VF's PF, address of a type-PCI, address of a type-PF, address of a
    type-VF, address of a vdpa, an empty list, broken key, broken value, card of 1 ports, card of 2 ports,
    devname of a type-PCI, devname of a type-PF, devname of a type-VF, devname of a vdpa, devname of nobody,
    dict of plain numbers, everything, glob of 0 fields and a function, glob of 1 fields, glob of 1 fields and a
    function, glob of 2 fields, glob of 2 fields and a function, glob of 3 fields, glob of 3 fields and a
    function, glob with a number, glob with a wildcard field, id *, id 0X, id 0x, id of nobody, id plain, id
    short, id upper-case, id with blanks, plain function, regex .*, regex in upper case, regex of a number,
    regex of a prefix, regex of any digits, regex with a class, regex with a dot, regex with alternatives, regex
    with an end, tag Speed, tag group, tag live_migratable, tag managed, tag one_time_use, tag physical_network,
    tag rack, tag remote_managed, tag resource_class, tag slot, tag traits, tag trusted, tag of 255 letters
    """.split()
    ).split(", ")
)


@dataclass(frozen=True, slots=True)
class Case:
    """
    A host and what its operator wrote.

    Attributes:
        devices: every function, with the netdevs that it once bore in this boot
        values: of the option, in order
        serials: whether cards show a serial number
        on_vfio: functions that have given up their netdevs since
        new: PFs that came after nova's start
        features: what the generator put in, to see that all of it is tried
    """

    devices: tuple[Device, ...]
    values: tuple[str, ...]
    serials: bool = True
    on_vfio: frozenset[PciAddress] = frozenset()
    new: frozenset[PciAddress] = frozenset()
    features: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def now(self) -> tuple[Device, ...]:
        """The devices as they are now."""
        return tuple(
            device._replace(netdevs=()) if device.address in self.on_vfio else device for device in self.devices
        )

    @property
    def machine(self) -> dict[str, Any]:
        """The host as nova sees it."""
        seen = machine(self.now, serials=self.serials)
        at_start = [pf for pf in seen["pfs"] if PciAddress.parse(pf) not in self.new]
        return {**seen, "pfs": at_start}

    @property
    def items(self) -> list[Item]:
        """The entries, as far as the values can be read."""
        found = []
        for value in self.values:
            try:
                read = json.loads(value)
            except (ValueError, RecursionError):
                continue
            found += [item for item in (read if isinstance(read, list) else [read]) if isinstance(item, dict)]
        return found


def case(random: Random) -> Case:
    """Make a host and a configuration for it."""
    return _Author(random).case()


class _Author:
    """Writes one case, and notes what it puts in."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._features: set[str] = set()
        self._netdevs = 0

    def case(self) -> Case:
        devices = self._machine()
        items = [self._item(devices) for _ in range(self._random.choice((0, 1, 1, 2, 2, 3, 4, 6)))]
        if items and self._chance(0.1):
            self._put(self._random.choice(items), self._random.choice(BROKEN_KEYS), "broken key")
        if items and self._chance(0.08):
            self._put(self._random.choice(items), self._random.choice(CONTESTED), "contested")
        values = self._values(items)
        if self._chance(0.04):
            self._note("broken value")
            values.insert(self._random.randint(0, len(values)), self._random.choice(BROKEN_VALUES))
        self._note(f"{min(len(items), 2)} entries")
        pfs = [device.address for device in devices if device.dev_type is DevType.PF]
        return Case(
            devices,
            tuple(values),
            serials=not self._chance(0.05),
            on_vfio=frozenset(device.address for device in devices if device.netdevs and self._chance(0.02)),
            new=frozenset(address for address in pfs if self._chance(0.015)),
            features=frozenset(self._features),
        )

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _note(self, feature: str) -> None:
        self._features.add(feature)

    def _put(self, item: Item, patch: Item, feature: str) -> None:
        self._note(feature)
        if "address" in patch:
            item.pop("devname", None)
        item.update(patch)

    # The machine.

    def _machine(self) -> tuple[Device, ...]:
        places = self._random.sample([(domain, bus) for domain in set(_DOMAINS) for bus in (4, 0x0A, 0x81, 0xFF)], 3)
        devices: list[Device] = []
        for domain, bus in places[: self._random.randint(1, 3)]:
            first = PciAddress(domain, bus, self._random.choice((0, 0, 2, 0x1F)), 0)
            node = self._random.choice((None, 0, 1))
            devices += self._sriov(first, node) if self._chance(0.7) else self._plain(first, node)
        return tuple(devices)

    def _plain(self, first: PciAddress, node: int | None) -> list[Device]:
        self._note("plain function")
        vendor_id, product_id = self._random.choice(_PLAIN)
        function = CARD._replace(vendor_id=vendor_id, product_id=product_id, numa_node=node)
        return [
            function._replace(address=first._replace(function=number), netdevs=self._netdev(0.5))
            for number in range(self._random.choice((1, 2)))
        ]

    def _sriov(self, first: PciAddress, node: int | None) -> list[Device]:
        """Make a card with one port or two, each a PF; VFs stand on the PF's bus or on the next."""
        vendor_id, of_pf, of_vf = self._random.choice(_SRIOV)
        pf = CARD._replace(vendor_id=vendor_id, product_id=of_pf, numa_node=node, dev_type=DevType.PF, sriov_totalvfs=8)
        slot = self._random.choice((0x00, 0x10, 0x1C))
        place = first._replace(bus=first.bus if slot else (first.bus + 1) % 256, slot=slot)
        ports = self._random.choice((1, 1, 2))
        self._note(f"card of {ports} ports")
        devices = []
        for port in range(ports):
            function = pf._replace(address=first._replace(function=port), netdevs=self._netdev(0.8))
            devices += [function, *self._vfs(function, place._replace(function=port), of_vf)]
        return devices

    def _vfs(self, pf: Device, first: PciAddress, product_id: str) -> list[Device]:
        dev_type = DevType.VDPA if self._chance(0.15) else DevType.VF
        count = self._random.choice((0, 1, 2, 3, 5))
        self._note(f"PF of {dev_type}" if count else "PF without VFs")
        return [
            pf._replace(
                address=first._replace(slot=first.slot + number // 4, function=number % 4 * 2 + first.function),
                product_id=product_id,
                dev_type=dev_type,
                parent_addr=pf.address,
                vf_index=number,
                sriov_totalvfs=None,
                netdevs=self._netdev(0.5),
            )
            for number in range(count)
        ]

    def _netdev(self, share: float) -> tuple[Netdev, ...]:
        if not self._chance(share):
            return ()
        count = 2 if self._chance(0.1) else 1
        self._netdevs += count
        return tuple(Netdev(f"ens{self._netdevs - number}", None) for number in range(count))

    # The configuration.

    def _values(self, items: list[Item]) -> list[str]:
        """Put entries into dicts and lists, in their order."""
        values: list[str] = []
        rest = list(items)
        while rest:
            taken = self._random.choice((0, 1, 2, 3)) if self._chance(0.5) else None
            if taken is None:
                self._note("a dict a value")
                values.append(self._written(rest.pop(0)))
            else:
                self._note("an empty list" if taken == 0 else "a list of dicts")
                values.append(self._written(rest[:taken]))
                rest = rest[taken:]
        return values

    def _written(self, value: Item | list[Item]) -> str:
        return json.dumps(value, indent=self._random.choice((None, 2)), ensure_ascii=self._chance(0.5))

    def _item(self, devices: tuple[Device, ...]) -> Item:
        """Write an entry that has a device of this machine in mind."""
        meant = self._random.choice(devices)
        bears = any(device.netdevs for device in devices)
        leading: list[Callable[[Device], Item]] = [self._ids, self._glob, self._glob, self._dict]
        item = self._named(devices) if bears and self._chance(0.2) else self._random.choice(leading)(meant)
        if self._chance(0.25):
            item = {**self._ids(meant), **item}
        if self._chance(0.03):
            self._note("everything")
            item = {"address": "*:*:*.*"}
        for name, choices in _TAGS:
            if self._chance(0.12):
                value = self._random.choice(choices)
                self._note(f"tag {name if len(name) < _LONG else 'of 255 letters'}")
                item[name] = value
        pairs = list(item.items())
        self._random.shuffle(pairs)
        return dict(pairs)

    def _ids(self, device: Device) -> Item:
        chosen = self._random.choice((("vendor_id",), ("product_id",), ("vendor_id", "product_id")))
        item = {name: self._id(getattr(device, name)) for name in chosen}
        if self._chance(0.1):
            self._note("id *")
            other = "product_id" if chosen[0] == "vendor_id" else "vendor_id"
            item.setdefault(other, "*")
        return item

    def _id(self, text: str) -> str:
        forms: dict[str, Callable[[str], str]] = {
            "id plain": str,
            "id upper-case": str.upper,
            "id 0x": "0x{}".format,
            "id 0X": "0X{}".format,
            "id short": lambda text: text.lstrip("0"),
            "id with blanks": " {}\t".format,
            "id of nobody": lambda _: "beef",
        }
        name = self._random.choice((*forms, "id plain", "id plain", "id plain"))
        self._note(name)
        return forms[name](text)

    def _glob(self, device: Device) -> Item:
        address = device.address
        if device.parent_addr is not None and self._chance(0.5):
            address = device.parent_addr
        if self._chance(0.4):
            self._note(f"address of a {device.dev_type}" if address == device.address else "address of a VF's PF")
            return {"address": self._exact(address)}
        given = self._random.randint(0, 3)  # fields before the dot, the last of them the slot
        fields = [self._field(address, name) for name in ("domain", "bus", "slot")[3 - given :]]
        function = self._random.choice(("", ".", ".*", f".{address.function:x}"))
        while not any(field.strip(" *") for field in (*fields, function.strip("."))):
            fields = [self._field(address, "slot")]
        text = ":".join(fields) + function
        self._note(f"glob of {len(fields)} fields" + (" and a function" if function else ""))
        return {"address": text}

    def _exact(self, address: PciAddress) -> str:
        self._note("address fully given")
        forms = (str(address), str(address).upper(), "{:x}:{:x}:{:x}.{:x}", " {:04x} : {:02x}:{:x} . {:x} ")
        text = self._random.choice(forms)
        return text.format(address.domain, address.bus, address.slot, address.function)

    def _field(self, address: PciAddress, name: str) -> str:
        number = getattr(address, name)
        padded = f"{number:0{_WIDTHS[name]}x}"
        form = self._random.choice((padded, padded, padded.upper(), f"{number:x}", f" {padded}", "*", "", " "))
        self._note("glob with a wildcard field" if not form.strip(" *") else "glob with a number")
        return form

    def _dict(self, device: Device) -> Item:
        address = device.address if self._chance(0.6) else device.parent_addr or device.address
        texts = {name: f"{getattr(address, name):0{width}x}" for name, width in _WIDTHS.items()}
        if self._chance(0.3):
            self._note("dict of plain numbers")
            return {"address": texts}
        given = self._random.sample(list(texts), self._random.randint(1, 4))
        return {"address": {name: self._pattern(texts[name]) for name in given}}

    def _pattern(self, text: str) -> str:
        forms = {
            "regex of a number": text,
            "regex .*": ".*",
            "regex with a dot": f"{text[:-1]}.",
            "regex with a class": f"{text[:-1]}[0-9a-f]",
            "regex with alternatives": f"({text}|zz)",
            "regex with an end": f"{text}$",
            "regex of any digits": f"[0-9a-f]{{{len(text)}}}",
            "regex of a prefix": text[:1],
            "regex in upper case": text.upper(),
        }
        name = self._random.choice((*list(forms)[:7] * 6, *list(forms)[7:]))
        self._note(name)
        return forms[name] if forms[name] != ".*" or self._chance(0.9) else ".+"

    def _named(self, devices: tuple[Device, ...]) -> Item:
        bearer = self._random.choice([device for device in devices if device.netdevs])
        if self._chance(0.1):
            self._note("devname of nobody")
            return {"devname": "eth99"}
        self._note(f"devname of a {bearer.dev_type}")
        return {"devname": self._random.choice(bearer.netdevs).name, **({"address": ""} if self._chance(0.1) else {})}
