"""
Where the console scripts of the centre begin: each needs packages that a hypervisor's install doesn't have.

A missing one is told by the extra that brings it, instead of by a traceback.
"""

import sys
from importlib import import_module

_EX_CONFIG = 78


def tracker() -> int:
    """``pci-tracker``."""
    return _main("tracker", extra="tracker")


def manage() -> int:
    """``pci-tracker-manage``."""
    return _main("manage", extra="tracker")


def api() -> int:
    """``pci-api``."""
    return _main("api", extra="tracker")


def pcictl() -> int:
    """``pcictl``."""
    return _main("pcictl", extra="cli")


def _main(module: str, *, extra: str) -> int:
    try:
        loaded = import_module(f"pci_agent.cmd.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pci_agent"):
            raise
        print(f"the package {error.name} is missing: pip install 'pci-agent[{extra}]'", file=sys.stderr)  # noqa: T201
        return _EX_CONFIG
    code: int = loaded.main()
    return code
