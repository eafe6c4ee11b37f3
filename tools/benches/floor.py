"""
The floor under a scan: what it costs to read a host's functions and understand nothing.

Of each function uevent, the iommu_group link and its own link; of a PF numa_node, sriov_totalvfs and sriov_numvfs too;
of each netdev the link that tells whose it is. Nothing else, no text made that isn't a path, and whoever calls says
which functions are PFs. A scan also reads what this leaves out: each netdev's address, the PFs' virtfn links.
"""

import os
from collections.abc import Container

_OF_A_PF = ("numa_node", "sriov_totalvfs", "sriov_numvfs")
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_PAGE = 4096


def read(root: str, pfs: Container[str], *, addresses: bool = False) -> int:
    """Read a host, with each netdev's address where asked for; gives how many functions there are."""
    directory = os.open(f"{root}/bus/pci/devices", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    names = os.listdir(directory)
    for name in names:
        _file(name + "/uevent", directory)
        os.readlink(name + "/iommu_group", dir_fd=directory)
        os.readlink(name, dir_fd=directory)
        if name in pfs:
            for file in _OF_A_PF:
                _file(name + "/" + file, directory)
    os.close(directory)
    directory = os.open(f"{root}/class/net", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in os.listdir(directory):
        os.readlink(name, dir_fd=directory)
        if addresses:
            _file(name + "/address", directory)
    os.close(directory)
    return len(names)


def _file(path: str, directory: int) -> None:
    descriptor = os.open(path, _FLAGS, dir_fd=directory)
    os.read(descriptor, _PAGE)
    os.close(descriptor)
