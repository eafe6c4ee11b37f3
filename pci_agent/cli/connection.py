"""
Which API ``pcictl`` speaks to, and as whom.

Who names no cloud and no keystone speaks to the endpoint as nobody, or with the token that they have already. All else
is as in ``openstack``.
"""

import os
from argparse import ArgumentParser, Namespace
from functools import cached_property

from pci_agent.cli.client import Client, Transport
from pci_agent.cli.plain import DEFAULT_ENDPOINT, Plain

_MEAN_SIGNING_IN = ("cloud", "auth_url", "auth_type")
_NOT_SIGNING_IN = ("", "none", "admin_token", "token_endpoint")
_SIGNING_IN = {
    "cloud": "a cloud of clouds.yaml",
    "auth-type": "how to sign in: password, token, …; none: not at all",
    "auth-url": "where keystone is",
    "username": "who asks",
    "user-domain-name": "their domain",
    "user-domain-id": "likewise",
    "password": "better in clouds.yaml or OS_PASSWORD, where nobody else on this machine reads it",
    "token": "likewise",
    "project-name": "for which project",
    "project-id": "likewise",
    "project-domain-name": "its domain",
    "project-domain-id": "likewise",
    "system-scope": "all, for the whole system instead of a project",
    "region-name": "which region's API",
    "interface": "which of its endpoints: public, internal or admin",
    "cacert": "a file with the certificates of those who vouch for servers",
    "cert": "a certificate of one's own",
    "key": "its key",
}


def add_options(parser: ArgumentParser) -> None:
    """Make the options known that say which API, and as whom."""
    parser.add_argument(
        "--os-endpoint",
        "--os-endpoint-override",
        "--os-pci-endpoint",
        metavar="URL",
        dest="os_pci_endpoint_override",
        default=os.environ.get("OS_ENDPOINT") or os.environ.get("OS_PCI_ENDPOINT") or None,
        help="where pci-api is (Env: OS_ENDPOINT; default: as the catalogue has it,"
        f" and {DEFAULT_ENDPOINT} for who doesn't sign in)",
    )
    group = parser.add_argument_group("signing in", "Each has an OS_… variable of its name.")
    for name, what in _SIGNING_IN.items():
        group.add_argument(f"--os-{name}", metavar=name.upper().replace("-", "_"), help=what)
    group.add_argument("--insecure", action="store_true", default=None, help="don't ask servers to prove who they are")


class Connection:
    """
    An API, found when the first command asks it something.

    Args:
        options: the command line's
    """

    def __init__(self, options: Namespace) -> None:
        self._options = options

    @cached_property
    def pci(self) -> Client:
        """
        The API.

        Raises:
            CommandFailed: signing in isn't possible so.
        """
        return Client(self._transport())

    def _transport(self) -> Transport:
        if self._signs_in():
            from pci_agent.cli.signed import signed_in  # noqa: PLC0415 - it takes longer than all the rest

            if self._given("auth_type") is None and self._given("token"):
                self._options.os_auth_type = "token"
            return signed_in(self._options)
        return Plain(
            self._options.os_pci_endpoint_override or DEFAULT_ENDPOINT,
            token=None if self._given("auth_type") == "none" else self._given("token"),
            cacert=self._given("cacert"),
            insecure=bool(self._options.insecure),
        )

    def _signs_in(self) -> bool:
        if self._given("auth_type") in _NOT_SIGNING_IN:
            return False
        return any(self._given(name) for name in _MEAN_SIGNING_IN)

    def _given(self, name: str) -> str | None:
        """Give an option of the command line, or else the variable of its name."""
        given: str | None = getattr(self._options, f"os_{name}")
        return os.environ.get(f"OS_{name.upper()}") if given is None else given
