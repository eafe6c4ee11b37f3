"""
Walks the PCI functions of a host in sysfs; the only module that reads ``/sys/bus/pci``.

* One bad function never spoils the others. What can't be told (no ids, garbage, gone mid-read) becomes a
  Problem instead of a Device; what can be told but is odd (a plain directory where the kernel has a link)
  becomes a Problem beside its Device. ``scan`` raises nothing.
* Few system calls: each function is asked only for what may have changed and what nobody else tells (function.py).
  VFs stand beside their PF and hang at the same bridge: they are read right after it, from its directory, as its
  ``virtfn<N>`` links tell.
* What a function says again is not understood again (meaning.py): the device that it made is handed back.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pci_agent.discovery.attributes import Place, Unreadable, last, opened, said, text
from pci_agent.discovery.bridges import Bridges
from pci_agent.discovery.children import netdevs_of, vdpa_devices
from pci_agent.discovery.function import Family, Function, Told
from pci_agent.discovery.meaning import Texts, understood
from pci_agent.errors import InvalidAddress
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device


@dataclass(frozen=True, slots=True)
class Problem:
    """
    Something that couldn't be read, or is odd.

    Attributes:
        address: the name in /sys/bus/pci/devices; None where no single function is meant
        cause: what was found, and in which file
    """

    address: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class Scan:
    """
    One look at /sys/bus/pci/devices.

    Attributes:
        devices: the functions that could be read, in order of address
        problems: what was wrong or odd, in order of address
        unreadable: functions that are there and are not in *devices*
        complete: False where the directory itself couldn't be listed, so that nothing may be concluded from
            what is missing
        told: by name; for the next scan, which needn't understand the same again
    """

    devices: tuple[Device, ...]
    problems: tuple[Problem, ...]
    unreadable: frozenset[PciAddress] = frozenset()
    complete: bool = True
    told: Mapping[str, Told] = field(default_factory=dict, compare=False, repr=False)

    @property
    def settled(self) -> bool:
        """True where every function could be told, and each VF that a PF links to is there: none comes or goes."""
        if self.unreadable or not self.complete:
            return False
        vfs = Counter(device.parent_addr for device in self.devices if device.parent_addr is not None)
        return all(vfs[pf.address] == pf.sriov_numvfs for pf in self.devices if pf.sriov_numvfs is not None)


_GONE = "its link leads nowhere: the function is gone"


def scan(root: str = "/sys", before: Scan | None = None) -> Scan:
    """
    Read every PCI function below *root*.

    Args:
        root: where sysfs is mounted; any directory of the same shape serves
        before: the scan before this one; a function that hasn't changed is handed back as the same object
    """
    try:
        with opened(os.path.join(root, "bus/pci/devices")) as directory:
            return _Look(root, directory, {} if before is None else before.told).scan()
    except OSError as error:
        return Scan((), (Problem(None, f"{root}/bus/pci/devices: {said(error)}"),), complete=False)


class _Look:
    """One walk over the directory. PFs come before their VFs, since addresses sort that way."""

    def __init__(self, root: str, directory: int, before: Mapping[str, Told]) -> None:
        self._root = root
        self._directory = directory
        self._before = before
        self._bridges = Bridges(root)
        self._told: dict[str, Told] = {}
        self._problems: list[Problem] = []
        self._unreadable: set[PciAddress] = set()
        self._families: set[PciAddress] = set()
        self._elsewhere: dict[str, tuple[Family, int]] = {}
        self._functions = {function.name: function for function in self._listed()}

    def scan(self) -> Scan:
        """Read every function once."""
        names = sorted(self._functions)
        names.sort(key=len)  # by address: a domain of more digits is a higher one
        for name in names:
            function = self._functions[name]
            if name not in self._told and function.address not in self._unreadable:
                self._tell(function)
        return Scan(
            tuple([self._told[name].device for name in names if name in self._told]),
            tuple(sorted(self._problems, key=_order)),
            frozenset(self._unreadable),
            told=self._told,
        )

    def _note(self, name: str | None, cause: str) -> None:
        self._problems.append(Problem(None if name is None else text(name), cause))

    def _listed(self) -> Iterator[Function]:
        netdevs = netdevs_of(self._root, self._note)
        vdpa = vdpa_devices(self._root, self._note)
        with os.scandir(self._directory) as listing:
            for entry in listing:
                name, number = entry.name, entry.inode() if entry.is_symlink() else 0
                before = self._before.get(name)
                try:
                    address = PciAddress.parse(name) if before is None else before.device.address
                except InvalidAddress:
                    self._note(name, "its name is no PCI address")
                else:
                    yield Function(name, address, number, netdevs.get(name, ()), name in vdpa, before, self._note)

    def _tell(self, function: Function) -> None:
        """Read a function and, of a PF, its VFs; what can't be told is a problem."""
        try:
            inside = os.open(function.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError as error:
            self._leave(function, f"its directory: {said(error)}")
        else:
            try:
                self._tell_inside(function, inside)
            finally:
                os.close(inside)

    def _tell_inside(self, function: Function, inside: int) -> None:
        try:
            told = self._read(function, inside)
        except Unreadable as error:
            self._leave(function, str(error))
            return
        self._told[function.name] = told
        if told.device.sriov_totalvfs is not None:
            self._tell_vfs(function, told, inside)

    def _leave(self, function: Function, cause: str) -> None:
        """Take down that a function can't be told."""
        try:
            os.stat(function.name, dir_fd=self._directory)
        except FileNotFoundError:
            cause = _GONE
        except OSError:
            pass  # the cause says it
        self._note(function.name, cause)
        self._unreadable.add(function.address)

    def _read(self, function: Function, inside: int) -> Told:
        bridge = self._bridge(function)
        if function.name in self._elsewhere:
            family, index = self._elsewhere[function.name]
            return _understood(function, function.texts_of_vf(Place("", inside), bridge, family, index))
        texts = function.texts(inside, bridge, self._functions)
        if texts.common.pf in self._families:
            raise Unreadable(f"it is coming or going: none of the virtfn links of {texts.common.pf} leads to it")
        return _understood(function, texts)

    def _bridge(self, function: Function) -> str | None:
        if not function.entry:
            self._note(function.name, "it is a plain directory, not a link into devices")
            return None
        if function.stood is not None:
            return function.stood.bridge
        try:
            return self._bridges.chain(text(os.readlink(function.name, dir_fd=self._directory)))
        except OSError as error:
            raise Unreadable(f"its link: {said(error)}") from None

    def _tell_vfs(self, pf: Function, told: Told, inside: int) -> None:
        """Read the VFs of a PF from its directory. One that doesn't stand beside it is read in its turn."""
        self._families.add(pf.address)
        family, bridge = Family(pf.address, told.device.numa_node), told.texts.bridge
        for index, target in told.texts.common.virtfns:
            name = last(target)
            vf = self._functions.get(name)
            if vf is None or name in self._told:
                continue
            if not (pf.entry and vf.entry and target == f"../{name}"):
                self._elsewhere[name] = family, index
                continue
            try:
                texts = vf.texts_of_vf(Place(f"{target}/", inside), bridge, family, index)
                self._told[name] = _understood(vf, texts)
            except Unreadable as error:
                self._leave(vf, str(error))


def _understood(function: Function, texts: Texts) -> Told:
    """Understand what was read of a function, where it isn't what it was."""
    before = function.before
    if before is None:
        return Told(texts, understood(function.address, texts))
    if before.texts == texts:
        return before
    device = understood(function.address, texts)
    return Told(texts, before.device if before.device == device else device)


def _order(problem: Problem) -> tuple[bool, str, str]:
    return (problem.address is None, problem.address or "", problem.cause)
