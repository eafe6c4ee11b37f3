"""
Who this agent is: a uuid, made once, kept in a file beside the store and bound to the machine.

A store that is lost or damaged doesn't make another agent of it: the tracker knows it again and gives back what it
held. A disk that was copied to another machine does.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass
from typing import Self
from uuid import UUID, uuid4

LOG = logging.getLogger(__name__)

FILE = "agent.json"


@dataclass(frozen=True, slots=True)
class Machine:
    """
    What tells one machine from another; None where it can't be read.

    Attributes:
        machine_id: /etc/machine-id
        product_uuid: /sys/class/dmi/id/product_uuid, which only root reads
        boot_id: /proc/sys/kernel/random/boot_id, which tells one boot from another
    """

    machine_id: str | None
    product_uuid: str | None
    boot_id: str | None = None

    @classmethod
    def read(cls, root: str = "/") -> Self:
        """Read both below *root*."""
        files = ("etc/machine-id", "sys/class/dmi/id/product_uuid", "proc/sys/kernel/random/boot_id")
        return cls(*(_line(os.path.join(root, file)) for file in files))

    def differs_from(self, other: "Machine") -> bool:
        """True where both know one of the two, and it isn't the same."""
        pairs = ((self.machine_id, other.machine_id), (self.product_uuid, other.product_uuid))
        return any(ours and theirs and ours != theirs for ours, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Identity:
    """An agent's uuid, and what was known of its machine."""

    agent_uuid: str
    machine_id: str | None
    product_uuid: str | None

    @classmethod
    def new(cls, machine: Machine) -> Self:
        """Make one for this machine."""
        return cls(str(uuid4()), machine.machine_id, machine.product_uuid)

    def on(self, machine: Machine) -> Self | None:
        """Give it with what this start could read and an earlier one could not; None on another machine."""
        if machine.differs_from(Machine(self.machine_id, self.product_uuid)):
            return None
        return type(self)(
            self.agent_uuid, self.machine_id or machine.machine_id, self.product_uuid or machine.product_uuid
        )


def kept(directory: str) -> Identity | None:
    """Read the file; None where there is none, or none that can be read, which is logged."""
    path = os.path.join(directory, FILE)
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
        return Identity(str(UUID(said["agent_uuid"])), said["machine_id"], said["product_uuid"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        LOG.warning("%s can't be read (%s): it is written anew", path, error)
        return None


def keep(directory: str, identity: Identity) -> None:
    """Write the file, durable on return, where it says anything else."""
    if kept(directory) == identity:
        return
    path = os.path.join(directory, FILE)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(asdict(identity), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _line(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip().lower() or None
    except OSError:
        return None
