"""
The words that whitelist entries, aliases and requests share: PCI ids, tags and their types, slips of the pen.

A tag's value is text. Those that nova knows have a type; every other name is the operator's own, unless it is a
field of ours already or one edit away from a known word: a typo must not become a tag that nobody asks for.
"""

import re
from collections.abc import Collection, Mapping

from pci_agent.model.json_option import Wrong

Tags = Mapping[str, str | None]
"""A device's or a request's tags; only physical_network may be None."""

PHYSICAL_NETWORK = "physical_network"
REMOTE_MANAGED = "remote_managed"
PLACEMENT_TAGS = frozenset({"resource_class", "traits"})
"""What nova hands on to placement: carried along, but neither part of a pool nor asked for."""

_BOOLEANS = frozenset({"managed", "trusted", REMOTE_MANAGED, "live_migratable", "one_time_use"})
TAGS = (PHYSICAL_NETWORK, *sorted(_BOOLEANS), *sorted(PLACEMENT_TAGS))
"""The tags that have a meaning of their own."""

# Names that a device, a pool or an answer has already: a tag of that name would hide one.
_OURS = frozenset(
    "id uuid status status_reason count total free used numa_node dev_type dev_id label parent_addr path class"
    " class_code revision driver iommu_group netdevs mac_address vf_index sriov_totalvfs sriov_numvfs tags"
    " subsystem_vendor_id subsystem_product_id extra_info phys_function compute_node_id hypervisor_hostname"
    " instance_uuid server_uuid request_id project_id user_id created_at updated_at deleted deleted_at hash"
    " host_use devices parent_ifname rp_uuid rp_uuids".split()
)
_LONGEST = 255
_ID = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,4})", re.ASCII)
# The words that oslo.utils takes for a boolean, which nova reads these tags with.
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})


def pci_id(key: str, value: object) -> str | None:
    """Read a vendor or product id: four hex digits in lower case, or None for any."""
    if isinstance(value, str):
        text = value.strip()
        if text == "*":
            return None
        found = _ID.fullmatch(text)
        if found is not None:
            return found[1].lower().zfill(4)
    raise Wrong(key, value, "this is no PCI id", 'write 1 to 4 hex digits in quotes, as in "8086", or "*"')


def tag(key: str, value: object) -> str | None:
    """Read a tag's value: text, "true" or "false" of a boolean one; None only of physical_network."""
    if key in _BOOLEANS:
        return _boolean(key, value)
    if key in PLACEMENT_TAGS and value == "":
        raise Wrong(key, value, "it names nothing", "write a name, or take it away")
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None and key == PHYSICAL_NETWORK:
        return None
    if isinstance(value, str):
        _one_line(key, value, value)
        return value
    raise Wrong(key, value, "a tag's value is text", "write it in quotes")


def _one_line(key: str, value: object, text: str) -> None:
    if not text.isprintable():
        raise Wrong(key, value, "it has a character that can't be printed", "write text of one line")
    if len(text) > _LONGEST:
        raise Wrong(key, value, f"it has {len(text)} characters", f"write {_LONGEST} at most")


def _boolean(key: str, value: object) -> str:
    if isinstance(value, bool | int | str):
        text = str(value).strip().lower()
        if text in _TRUE:
            return "true"
        if text in _FALSE:
            return "false"
    raise Wrong(key, value, "it is true or false", "write true or false, without quotes")


def tag_name(key: str, value: object, known: Collection[str]) -> None:
    """
    Refuse a name that can't be a tag's.

    Args:
        key: the name
        value: what stands beside it, for the refusal
        known: every word that the place knows, tags included; one edit away from one of them is a slip
    """
    if key in known:
        return
    _one_line(key, value, key)
    if key.lower() in _OURS:
        raise Wrong(key, value, "the name is one of pci-agent's own fields", "give the tag another name")
    plain = _plain(key)
    if not plain:
        raise Wrong(key, value, "a tag needs a name", "name the tag")
    for word in known:
        if _one_edit(plain, _plain(word)):
            raise Wrong(key, value, "this looks like a slip of the pen", f"did you mean {word}?")


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
