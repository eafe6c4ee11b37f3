"""
Questions with a token: keystoneauth's, with what clouds.yaml, OS_* variables and the command line say.

It takes long to import, so only who signs in does. Nothing here is told of a secret but to keystone.
"""

import getpass
import logging
import os
import re
import sys
from argparse import Namespace
from functools import cached_property
from typing import Any

from keystoneauth1.exceptions import ClientException, ConnectTimeout, EndpointNotFound
from keystoneauth1.session import Session
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.exceptions import SDKException

from pci_agent import __version__
from pci_agent.cli.client import TIMEOUT_S
from pci_agent.cli.plain import refuse_elsewhere, unanswered
from pci_agent.errors import CommandFailed

SERVICE_TYPE = "pci"

_TALKATIVE = ("keystoneauth", "openstack", "stevedore")
_EVERYTHING = 2
_PROJECT = "OS_PROJECT_NAME"
_WITH_A_PASSWORD = (
    ("username", "user_id"),
    ("password",),
    ("project_name", "project_id", "tenant_name", "tenant_id", "system_scope", "domain_id", "domain_name", "trust_id"),
)


class Signed:
    """
    An API that wants to know who asks.

    Args:
        cloud: where keystone is and who asks
        session: that cloud's
        timeout_s: how long to wait for an answer
    """

    who = "the token is refused: look whether the API's keystone is the one that you signed in at"

    def __init__(self, cloud: CloudRegion, session: Session, timeout_s: float = TIMEOUT_S) -> None:
        self._cloud = cloud
        self._session = session
        self._timeout_s = timeout_s

    @cached_property
    def endpoint(self) -> str:
        """
        Where the command line, clouds.yaml or the catalogue says that the API is.

        Raises:
            CommandFailed: none of them does, or nobody may sign in.
        """
        named = self._cloud.get_endpoint(SERVICE_TYPE)
        interface = self._cloud.get_interface(SERVICE_TYPE)
        try:
            found = named or self._session.get_endpoint(
                service_type=SERVICE_TYPE,
                interface=interface,
                region_name=self._cloud.get_region_name(SERVICE_TYPE),
            )
        except EndpointNotFound:
            found = None
        except ClientException as error:
            raise CommandFailed(_refused(error)) from None
        if not found:
            raise CommandFailed(
                f"the catalogue has no {interface or 'public'} endpoint of a service of type {SERVICE_TYPE}: have it"
                " registered (docs/configure.md), or name it with --os-pci-endpoint"
            )
        return str(found)

    def send(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
        """Give the code and the body of an answer."""
        try:
            self._session.get_auth_headers()
        except ClientException as error:
            raise CommandFailed(_refused(error)) from None
        try:
            answer = self._session.request(
                url,
                method,
                headers={} if body is None else {"Content-Type": "application/json"},
                data=body,
                timeout=self._timeout_s,
                raise_exc=False,
                redirect=False,
            )
        except ClientException as error:
            reason = TimeoutError() if isinstance(error, ConnectTimeout) else _brief(error)
            raise CommandFailed(unanswered(self.endpoint, reason, self._timeout_s)) from None
        refuse_elsewhere(self.endpoint, answer.status_code, answer.headers.get("Location"))
        return answer.status_code, answer.content


def signed_in(options: Namespace) -> Signed:
    """
    Take up what the command line, OS_* variables and clouds.yaml say of who asks; nobody is asked yet.

    Args:
        options: with the names that openstacksdk has for them, ``os_`` in front or not

    Raises:
        CommandFailed: something is missing, or doesn't fit.
    """
    if options.verbose_level < _EVERYTHING:
        for name in _TALKATIVE:  # what they warn of comes again in the error, or is nothing
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        config = OpenStackConfig(
            app_name="pcictl", app_version=__version__, pw_func=_password if sys.stdin.isatty() else None
        )
        if (named := options.os_cloud or os.environ.get("OS_CLOUD")) and config.config_filename is None:
            raise CommandFailed(f"there is no clouds.yaml that knows {named}: see docs/cli.md for where it may be")
        cloud = config.get_one(argparse=options)
        missing = _missing(cloud)
        if missing:
            raise CommandFailed(f"to sign in set {', '.join(missing)}, or name a cloud of clouds.yaml with --os-cloud")
        return Signed(cloud, cloud.get_session())
    except (SDKException, ClientException, ValueError) as error:
        raise CommandFailed(_refused(error)) from None


def _missing(cloud: CloudRegion) -> list[str]:
    """Name what isn't there; a project may be the user's own by default, and is named beside others alone."""
    if not str(cloud.config["auth_type"]).endswith("password"):
        return []
    given = cloud.get_auth_args()
    missing = [
        f"OS_{names[0].upper()}"
        for names in _WITH_A_PASSWORD
        if not any(given.get(each) or cloud.config.get(each) for each in names)
    ]
    return [] if missing == [_PROJECT] else missing


def _password(prompt: str | None = None) -> str:
    return getpass.getpass(prompt or "Password: ")


def _refused(error: Any) -> str:
    """Say on one line why nobody could sign in."""
    return f"can't sign in ({_brief(error)}): mend clouds.yaml, the OS_* variables or the --os-… options"


def _brief(error: Any) -> str:
    """Say what went wrong, without all that it went through."""
    told = " ".join(str(error).split()).rstrip(".")
    cause = re.search(r"\[Errno -?\d+\] [^\"')]+", told)
    return told if cause is None else f"{told.partition(': ')[0]}: {cause[0]}"
