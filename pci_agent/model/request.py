"""
What an instance asks for: requests, and the aliases and flavor extra specs that they come from.

A request is met by devices that each meet one of its specs; a spec is a conjunction, and several are
alternatives. Aliases and extra specs are read as nova reads them (34.0.0), with these differences: an alias may
also ask for any tag of the whitelist, ids may be written as in the whitelist and one of them may be left out,
``capability_type`` asks for nothing (nova's alias that has it matches no device), and what nova stumbles over
with a bare ValueError or KeyError is refused with its cure.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pci_agent.errors import Refusal, RequestRefused
from pci_agent.model import json_option, vocabulary
from pci_agent.model.device import Device, DevType
from pci_agent.model.json_option import Wrong, Wrongs
from pci_agent.model.vocabulary import PHYSICAL_NETWORK, PLACEMENT_TAGS, REMOTE_MANAGED, Tags

OPTION = "[pci] alias"
EXTRA_SPEC = "pci_passthrough:alias"
NUMA_EXTRA_SPEC = "hw:pci_numa_affinity_policy"

_PLAIN_KEYS = ("name", "vendor_id", "product_id", "device_type", "numa_policy", "capability_type")
_KNOWN = (*_PLAIN_KEYS, *vocabulary.TAGS)
_OF_THE_WHITELIST = ("address", "devname", "device_id", "exclude", "allow_host_use")
_LONGEST_NAME = 256
_COUNT = re.compile(r"[0-9]{1,6}", re.ASCII)
_NETWORK_CLASS = "02"
_MISSING = object()


class NumaPolicy(StrEnum):
    """How near to the guest's NUMA cells its devices must be, in nova's words."""

    REQUIRED = "required"
    LEGACY = "legacy"
    PREFERRED = "preferred"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """
    What one device must be. Every condition that is given must hold.

    Attributes:
        vendor_id: four hex digits; None for any
        product_id: four hex digits; None for any
        dev_type: None for a plain function or a VF; a PF and a vdpa device must be asked for
        tags: each must be the device's own, compared without case; None asks that the device has none
    """

    vendor_id: str | None = None
    product_id: str | None = None
    dev_type: DevType | None = None
    tags: Tags = field(default_factory=dict)

    def is_met_by(self, device: Device, tags: Tags) -> bool:
        """True where a device with these tags is what is asked for; its type is told apart by *takes*."""
        return (
            self.vendor_id in (None, device.vendor_id)
            and self.product_id in (None, device.product_id)
            and self.dev_type in (None, device.dev_type)
            and all(_folded(value) == _folded(_tag(device, tags, name)) for name, value in self.tags.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PciRequest:
    """
    So many devices of one kind, for one purpose.

    Attributes:
        request_id: the seeds' pci_request_id: names the request in claims and answers
        count: how many devices, from 1
        specs: alternatives; a device serves where it meets one
        numa_policy: how near they must be
        alias_name: the alias that it came from; None for a port's
        for_port: takes functions of network class alone
    """

    request_id: str
    count: int = 1
    specs: tuple[Spec, ...]
    numa_policy: NumaPolicy = NumaPolicy.LEGACY
    alias_name: str | None = None
    for_port: bool = False

    def asks_for(self, device: Device, tags: Tags) -> bool:
        """True where the device meets one of the specs, whatever its type may forbid."""
        return any(spec.is_met_by(device, tags) for spec in self.specs)

    def takes(self, device: Device, tags: Tags) -> bool:
        """
        True where a device that meets a spec may be given.

        A PF, a vdpa device and a remotely managed one are given only to who asks for such, and a port takes
        functions of network class alone.
        """
        if self.for_port and not device.class_code.startswith(_NETWORK_CLASS):
            return False
        if device.dev_type in (DevType.PF, DevType.VDPA) and not any(
            spec.dev_type is device.dev_type for spec in self.specs
        ):
            return False
        return _folded(tags.get(REMOTE_MANAGED)) != "true" or any(
            _folded(spec.tags.get(REMOTE_MANAGED)) == "true" for spec in self.specs
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for a kind of device, as flavors use it; its specs are alternatives."""

    name: str
    specs: tuple[Spec, ...]
    numa_policy: NumaPolicy = NumaPolicy.LEGACY


Aliases = Mapping[str, Alias]


def parse_aliases(values: Iterable[object]) -> dict[str, Alias]:
    """
    Read the values of ``[pci] alias``; a name that stands several times has alternatives.

    >>> parse_aliases(['{"name": "a1", "vendor_id": "8086", "product_id": "154d"}'])["a1"].numa_policy.value
    'legacy'

    Raises:
        ConfigurationRefused: with every error of every value.
    """
    aliases: dict[str, Alias] = {}

    def read(_number: int, item: Mapping[str, Any]) -> None:
        alias = _alias(item)
        known = aliases.get(alias.name)
        aliases[alias.name] = alias if known is None else _joined(known, alias)

    example = '{"name": "a1", "vendor_id": "8086", "product_id": "154d"}'
    json_option.read(OPTION, values, read, example=example, lists=False)
    return aliases


def from_extra_specs(
    extra_specs: Mapping[str, str], aliases: Aliases, new_id: Callable[[], str]
) -> tuple[PciRequest, ...]:
    """
    Read what a flavor's extra specs ask for: one request an item of ``pci_passthrough:alias``, in its order.

    Args:
        extra_specs: all of them; other keys are nobody's business here
        aliases: what parse_aliases gave
        new_id: makes the request_id of each

    Raises:
        RequestRefused: with every error of both extra specs.
    """
    refusals: list[Refusal] = []
    policy = _policy_of(extra_specs.get(NUMA_EXTRA_SPEC), refusals)
    requests = []
    text = extra_specs.get(EXTRA_SPEC)
    for number, item in enumerate([] if text is None else str(text).split(","), 1):
        try:
            alias, count = _item(item, aliases)
        except Wrong as wrong:
            shown = json_option.short(str(wrong.value))
            refusals.append(
                Refusal(option=EXTRA_SPEC, entry=number, key=None, value=shown, what=wrong.what, cure=wrong.cure)
            )
            continue
        requests.append(
            PciRequest(
                request_id=new_id(),
                count=count,
                specs=alias.specs,
                numa_policy=policy or alias.numa_policy,
                alias_name=alias.name,
            )
        )
    if refusals:
        raise RequestRefused(refusals)
    return tuple(requests)


# What a port's vnic_type takes, as nova has it.
_PORTS = {
    "direct": DevType.VF,
    "macvtap": DevType.VF,
    "virtio-forwarder": DevType.VF,
    "remote-managed": DevType.VF,
    "direct-physical": DevType.PF,
    "vdpa": DevType.VDPA,
}


def from_port(
    vnic_type: str,
    physical_network: str | None,
    *,
    request_id: str,
    trusted: bool | None = None,
    numa_policy: NumaPolicy | None = None,
) -> PciRequest | None:
    """
    Tell what a port asks for; None where its vnic_type takes no PCI device.

    Args:
        vnic_type: neutron's binding:vnic_type
        physical_network: of the port's network; None where it has none, which asks for a device without one
        request_id: the port's pci_request_id
        trusted: binding:profile's trusted; None where it says nothing
        numa_policy: the port's numa_affinity_policy; None where it says nothing
    """
    dev_type = _PORTS.get(vnic_type)
    if dev_type is None:
        return None
    tags: dict[str, str | None] = {
        PHYSICAL_NETWORK: physical_network,
        REMOTE_MANAGED: "true" if vnic_type == "remote-managed" else "false",
    }
    if trusted is not None:
        tags["trusted"] = "true" if trusted else "false"
    return PciRequest(
        request_id=request_id,
        specs=(Spec(dev_type=dev_type, tags=tags),),
        numa_policy=numa_policy or NumaPolicy.LEGACY,
        for_port=True,
    )


def _folded(value: str | None) -> str | None:
    return None if value is None else value.lower()


def _tag(device: Device, tags: Tags, name: str) -> str | None:
    value = tags.get(name)
    if value is None and name == REMOTE_MANAGED and device.dev_type is not DevType.PCI:
        return "false"  # nova's default for what may be a NIC's
    return value


# Aliases


def _alias(item: Mapping[str, Any]) -> Alias:
    """Read one alias; an ExceptionGroup carries all that is wrong with it."""
    wrongs = Wrongs()
    name = wrongs.attempt(_name, item)
    vendor_id = wrongs.attempt(vocabulary.pci_id, "vendor_id", item.get("vendor_id", "*"))
    product_id = wrongs.attempt(vocabulary.pci_id, "product_id", item.get("product_id", "*"))
    dev_type = wrongs.attempt(_device_type, item)
    policy = wrongs.attempt(_numa_policy, item.get("numa_policy", NumaPolicy.LEGACY.value))
    wrongs.attempt(_capability_type, item)
    for key in item:
        wrongs.attempt(_may_stand, key, item[key])
    words = [key for key in item if key not in _PLAIN_KEYS and key not in _OF_THE_WHITELIST]
    tags = {key: wrongs.attempt(vocabulary.tag, key, item[key]) for key in words}
    asked = {key: value for key, value in tags.items() if key not in PLACEMENT_TAGS}
    positive = any(value is not None and (key, value) != (REMOTE_MANAGED, "false") for key, value in asked.items())
    if not wrongs and vendor_id is None and product_id is None and not positive:
        wrongs.attempt(_refuse_any, item)
    wrongs.settle()
    spec = Spec(vendor_id=vendor_id, product_id=product_id, dev_type=dev_type, tags=asked)
    return Alias(name=name or "", specs=(spec,), numa_policy=policy or NumaPolicy.LEGACY)


def _joined(known: Alias, more: Alias) -> Alias:
    if known.numa_policy is not more.numa_policy:
        raise Wrong(
            "numa_policy",
            more.numa_policy.value,
            f"the alias {more.name} has the policy {known.numa_policy} above",
            "give both one policy, or the second another name",
        )
    before, now = known.specs[0].dev_type, more.specs[0].dev_type
    if before is not now:
        raise Wrong(
            "device_type",
            now,
            f"the alias {more.name} has {f'the type {before}' if before else 'no type'} above",
            "give both one type, or the second another name",
        )
    return Alias(name=known.name, specs=(*known.specs, *more.specs), numa_policy=known.numa_policy)


def _name(item: Mapping[str, Any]) -> str:
    value = item.get("name", _MISSING)
    cure = f'write 1 to {_LONGEST_NAME} characters, as in "a1"'
    if value is _MISSING:
        raise Wrong(None, json_option.written(item), "an alias needs a name", 'write "name" beside the ids')
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_NAME:
        raise Wrong("name", value, "this is no name", cure)
    if ":" in value or "," in value:
        raise Wrong("name", value, "no flavor could ask for it: : and , part the items there", "leave them out")
    return value.strip()


def _device_type(item: Mapping[str, Any]) -> DevType | None:
    value = item.get("device_type")
    types = (DevType.PCI, DevType.PF, DevType.VF)
    if value is None and "device_type" not in item:
        return None
    if value not in types:
        raise Wrong("device_type", value, "this is no type that an alias may ask for", f"write {', '.join(types)}")
    return DevType(value)


def _numa_policy(value: object) -> NumaPolicy:
    if isinstance(value, str) and value in list(NumaPolicy):
        return NumaPolicy(value)
    raise Wrong("numa_policy", value, "this is no NUMA policy", f"write one of {', '.join(NumaPolicy)}")


def _capability_type(item: Mapping[str, Any]) -> None:
    if item.get("capability_type", "pci") != "pci":
        raise Wrong("capability_type", item["capability_type"], "only pci is known", "leave it out")


def _may_stand(key: str, value: object) -> None:
    if key in _OF_THE_WHITELIST:
        raise Wrong(
            key, value, "an alias asks for a kind of device, not for a place", "say it in [pci] device_spec with a tag"
        )
    if key.lower() == "dev_type":
        raise Wrong(key, value, "an alias calls it otherwise", "write device_type")
    vocabulary.tag_name(key, value, _KNOWN)


def _refuse_any(item: Mapping[str, Any]) -> None:
    placement = [key for key in sorted(PLACEMENT_TAGS) if key in item]
    more = f"; {' and '.join(placement)} are for placement" if placement else ""
    raise Wrong(
        None, json_option.written(item), f"it asks for no device in particular{more}", "name vendor_id and product_id"
    )


# Extra specs


def _policy_of(text: str | None, refusals: list[Refusal]) -> NumaPolicy | None:
    if text is None:
        return None
    try:
        return _numa_policy(text)
    except Wrong as wrong:
        refusals.append(
            Refusal(
                option=NUMA_EXTRA_SPEC,
                entry=None,
                key=None,
                value=json_option.short(str(text)),
                what=wrong.what,
                cure=wrong.cure,
            )
        )
        return None


def _item(item: str, aliases: Aliases) -> tuple[Alias, int]:
    name, colon, count = (part.strip() for part in item.partition(":"))
    if not name or not colon or _COUNT.fullmatch(count) is None:
        raise Wrong(None, item.strip() or '""', "this is no alias with a count", "write alias:count, as in a1:2,b1:1")
    if int(count) < 1:
        raise Wrong(None, item.strip(), "no device is asked for", "write a count from 1, or take the item away")
    if name not in aliases:
        known = ", ".join(sorted(aliases)) or "none is"
        raise Wrong(None, item.strip(), f"no alias is called {name}", f"define it in {OPTION}, or use one of: {known}")
    return aliases[name], int(count)
