"""
Every exception that pci-agent raises on purpose.

::

    PciAgentError
    ├── InvalidAddress            text that names no PCI function
    ├── ConfigurationRefused      every error of a configuration, at once
    ├── RequestRefused            every error of what an instance asks for, at once
    ├── IllegalMove               a device can't go from its status to that one; nothing has changed
    ├── StoreRefused              durable state that can't be used as it is
    ├── StoreFailed               durable state that can't be written or reached at the moment
    ├── MessageRefused            a message that isn't ours, too big, or from another major version
    ├── TrackerSilent             no answer: the state stays here and is told again
    ├── AgentSilent               no answer: whether the command was carried out isn't known
    ├── LibvirtSilent             no answer: who holds what stays as it was
    ├── Faulted                   what a caller of REST is told; one class a status code
    │   ├── NotFound
    │   ├── Ambiguous
    │   ├── Conflicting
    │   ├── BadRequest
    │   ├── TooBig
    │   ├── Unserved
    │   └── HostSilent
    └── CommandFailed             a command's last line on stderr: what went wrong and the cure

Raise the narrow one, catch the base at the edge. A text says what, where and the cure.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class PciAgentError(Exception):
    """Base of them all; catch it where a process or a request ends."""


class InvalidAddress(PciAgentError, ValueError):
    """The text isn't a PCI address such as ``0000:04:10.0``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    One thing that is wrong in a configuration.

    Attributes:
        option: as written in the file, with its group: ``[pci] device_spec``
        entry: which entry of a repeatable option, from 1 in file order; None where the option stands once
        key: the key inside the entry; None where the whole entry is meant
        value: what was found, as JSON or as text; empty where the text below says it
        what: why it can't be used
        cure: what to write instead
    """

    option: str
    entry: int | None
    key: str | None
    value: str
    what: str
    cure: str

    def __str__(self) -> str:
        where = self.option
        if not self.value:
            return f"{where}: {self.what}; {self.cure}"
        if self.entry is not None:
            where += f" entry {self.entry}"
        if self.key is not None:
            where += f", {self.key}"
        return f"{where} = {self.value}: {self.what}; {self.cure}"


class _Refused(PciAgentError):
    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("\n".join(str(refusal) for refusal in refusals))
        self.refusals = tuple(refusals)


class ConfigurationRefused(_Refused):
    """A configuration can't be used. Carries every reason, so that one edit mends them all."""


class RequestRefused(_Refused):
    """A flavor's extra specs, or another request, can't be read. Carries every reason."""


class IllegalMove(PciAgentError):
    """No device moves like that. Nothing has changed."""


class StoreRefused(PciAgentError):
    """Durable state is locked by another process, or of a schema that this version doesn't read."""


class StoreFailed(PciAgentError):
    """Durable state can't be written or reached at the moment: nothing changed, try again later."""


class MessageRefused(PciAgentError):
    """
    A message can't be read: not ours, too big, or from a newer major version. It is counted, not obeyed.

    Attributes:
        kind: what it was to be: the name of a message, of a method, or "call" where not even that is known
        why: in a word, for counting: foreign, too_big, truncated, version, field or method
    """

    def __init__(self, text: str, *, kind: str, why: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.why = why


class TrackerSilent(PciAgentError):
    """No tracker answered in time, or the broker is away. Nothing is lost: tell the newest state later."""


class Faulted(PciAgentError):
    """
    What a caller of REST did, or asked for, that can't be served.

    Args:
        message: what, where and the cure
        more: what is told beside the message, as JSON has it
    """

    def __init__(self, message: str, **more: object) -> None:
        super().__init__(message)
        self.more = more


class NotFound(Faulted):
    """Nothing has this id or name."""


class Ambiguous(Faulted):
    """A name that several devices bear; the text lists them."""


class Conflicting(Faulted):
    """What is there already stands in the way, or what is asked for isn't to be had."""


class BadRequest(Faulted):
    """A parameter or a field that can't be used; the text names it."""


class TooBig(Faulted):
    """More was sent than is read."""


class Unserved(Faulted):
    """It can't be served at the moment; the text says when."""


class HostSilent(Faulted):
    """A host's agent doesn't answer; the text says what became of what was asked for."""


class CommandFailed(PciAgentError):
    """A command couldn't do its work; the text is one line with the cure."""


class AgentSilent(PciAgentError):
    """No agent answered in time, or the broker is away. The command may have been carried out or not."""


class LibvirtSilent(PciAgentError):
    """No libvirt answered, or there is no way to ask it. Nothing is known anew: who holds what stays as it was."""
