"""
Keystone: whose token it is, and a token for a name and a password.

Tokens are checked by keystonemiddleware, as in every service of OpenStack: it is asked as a WSGI server would ask it,
with an application behind it that only notes who came through. Neither tokens nor passwords stand in what is raised or
logged here.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import falcon
from keystoneauth1 import exceptions
from keystoneauth1.identity.generic import Password
from keystoneauth1.session import Session
from keystonemiddleware.auth_token import AuthProtocol

from pci_agent.api.access import Caller, Credentials, SignedIn
from pci_agent.api.signedout import SignedOut
from pci_agent.errors import Unserved

LOG = logging.getLogger(__name__)

_TOKEN = re.compile("[!-~]{1,8192}")  # what else there is can be sent to keystone by no header
_UNKNOWN = "Keystone doesn't know this token, or it is over: sign in again."
_AWAY = "Keystone, which says who may do what here, can't be asked at the moment; try again."
_BUSY = "Keystone, which says who may do what here, is slow, and enough callers wait for it already; try again."
_LONGEST_S = 24 * 60 * 60.0  # few tokens last longer
_A_CHECK_S = 60.0  # one that has begun before a token was signed out may fill the cache after it
_Turn = Callable[[], AbstractContextManager[None]]
_Allowed = Callable[[Mapping[str, Any], str, Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where keystone is.

    Attributes:
        auth_url: where this process signs users in
        public_url: where users find it by themselves
        verify: whether its certificate is checked, or the file of who signed it
        timeout_s: how long to wait for an answer; None for as long as it takes
        cached_s: how long a token that was checked is taken without asking again
        most_waiting: so many callers wait for it at the same time; others are told at once that it can't be asked
    """

    auth_url: str
    public_url: str
    verify: bool | str = True
    timeout_s: float | None = None
    cached_s: float = 300
    most_waiting: int = 12


class Keystone:
    """
    Knows callers by their tokens, and signs users in.

    Args:
        conf: has ``[keystone_authtoken]``, which keystonemiddleware reads by itself
        place: where keystone is
        allowed: tells of somebody, a rule and a target whether that is allowed
    """

    def __init__(self, conf: object, place: Place, allowed: _Allowed) -> None:
        self._place = place
        self._allowed = allowed
        settings = {"oslo_config_config": conf, "delay_auth_decision": False}
        self._free = threading.BoundedSemaphore(place.most_waiting)
        self._signed_out = SignedOut()
        self._protocol = _Protocol(self._turn, settings)

    def caller(self, request: falcon.Request, token: str | None) -> Caller:
        """
        Tell whose token that is.

        Raises:
            falcon.HTTPUnauthorized: nobody's, or none is there.
            Unserved: keystone can't be asked.
        """
        if token is None:
            raise self.unauthorized("This needs a token of keystone's in the header X-Auth-Token, and none came.")
        if _TOKEN.fullmatch(token) is None or token in self._signed_out:
            raise self.unauthorized(_UNKNOWN)
        environ = {**request.env, "HTTP_X_AUTH_TOKEN": token}
        environ.pop("HTTP_X_SERVICE_TOKEN", None)  # the user's own is what counts here
        status = self._answered(environ)
        if status == _IN and environ.get("HTTP_X_IDENTITY_STATUS") == "Confirmed":
            return self._of(environ)
        if status.startswith("401"):
            raise self.unauthorized(_UNKNOWN)
        raise Unserved(_AWAY)

    def sign_in(self, given: Credentials) -> SignedIn:
        """
        Get a token.

        Raises:
            falcon.HTTPUnauthorized: keystone doesn't know the user by this password, or not in this project.
            Unserved: keystone can't be asked.
        """
        plugin = Password(
            auth_url=self._place.auth_url,
            username=given.username,
            password=given.password,
            project_name=given.project,
            user_domain_name=given.user_domain,
            project_domain_name=given.project_domain,
        )
        try:
            with self._turn():
                found = plugin.get_access(self._session())
        except exceptions.Unauthorized:
            where = f"in domain {given.user_domain}, with a role in project {given.project} ({given.project_domain})"
            what = f"Keystone knows no user {given.username} {where}, by this password."
            raise self.unauthorized(f"{what} Look at all of them, and try again.") from None
        except exceptions.ClientException as error:
            LOG.error("keystone can't be asked to sign somebody in: %s", error)  # noqa: TRY400 - it is away, no more
            raise Unserved(_AWAY) from None
        left = 0 if found.expires is None else int((found.expires - datetime.now(UTC)).total_seconds())
        return SignedIn(
            token=str(found.auth_token),
            lifetime_s=left,
            user_name=found.username or given.username,
            project_name=found.project_name or given.project,
            roles=tuple(found.role_names or ()),
        )

    def sign_out(self, token: str) -> None:
        """End a token before its time: here at once, elsewhere where keystone can be asked; else it ends by itself."""
        if _TOKEN.fullmatch(token) is None:
            return
        self._signed_out.add(token, _LONGEST_S)
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        try:
            with self._turn():
                self._session().delete(f"{self._v3}/auth/tokens", headers=headers, authenticated=False)
        except (exceptions.NotFound, exceptions.Unauthorized):
            LOG.info("a session was over before it was ended")
        except (exceptions.ClientException, Unserved) as error:
            LOG.info("keystone didn't end a session: %s", type(error).__name__)
            return
        self._signed_out.add(token, max(0.0, self._place.cached_s) + _A_CHECK_S)

    def unauthorized(self, what: str) -> falcon.HTTPUnauthorized:
        """Say that nobody is known, and where a token is to be had."""
        challenge = f'Keystone uri="{self._place.public_url}"'
        return falcon.HTTPUnauthorized(description=what, challenges=[challenge])

    @property
    def _v3(self) -> str:
        return f"{self._place.auth_url.rstrip('/').removesuffix('/v3')}/v3"

    def _session(self) -> Session:
        return Session(verify=self._place.verify, timeout=self._place.timeout_s)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for keystone, unless so many do that nobody would be left to serve others."""
        if not self._free.acquire(blocking=False):
            raise Unserved(_BUSY)
        try:
            yield
        finally:
            self._free.release()

    def _answered(self, environ: dict[str, Any]) -> str:
        told: list[str] = []

        def start_response(status: str, _headers: Any, _error: Any = None) -> Callable[[bytes], object]:
            told.append(status)
            return bytes

        try:
            for _ in self._protocol(environ, start_response):
                pass
        except exceptions.ClientException as error:
            LOG.error("keystone can't be asked whose token it is; look at [keystone_authtoken]: %s", error)  # noqa: TRY400 - it is away, no more
            return ""
        return told[0]

    def _of(self, environ: Mapping[str, Any]) -> Caller:
        def told(name: str) -> str | None:
            return environ.get(f"HTTP_X_{name}") or None

        roles = tuple(each for each in (told("ROLES") or "").split(",") if each)
        known = {
            "user_id": told("USER_ID"),
            "project_id": told("PROJECT_ID"),
            "domain_id": told("DOMAIN_ID"),
            "user_domain_id": told("USER_DOMAIN_ID"),
            "project_domain_id": told("PROJECT_DOMAIN_ID"),
            "system_scope": environ.get("HTTP_OPENSTACK_SYSTEM_SCOPE") or None,
        }
        creds = {**{name: value for name, value in known.items() if value is not None}, "roles": list(roles)}

        def allowed(rule: str, target: Mapping[str, str]) -> bool:
            return self._allowed(creds, rule, target)

        return Caller(
            user_id=known["user_id"],
            user_name=told("USER_NAME"),
            project_id=known["project_id"],
            project_name=told("PROJECT_NAME"),
            roles=roles,
            allowed=allowed,
        )


class _Protocol(AuthProtocol):  # type: ignore[misc] # it has no types
    """
    The middleware, which asks keystone of a token that it doesn't remember when it gets a turn.

    Args:
        turn: gives one
        settings: its own
    """

    def __init__(self, turn: _Turn, settings: dict[str, object]) -> None:
        self._turn = turn
        super().__init__(_let_in, settings)

    def _create_identity_server(self) -> Any:
        server = super()._create_identity_server()
        verify = server.verify_token

        def verify_in_turn(*arguments: Any, **more: Any) -> Any:
            with self._turn():
                return verify(*arguments, **more)

        server.verify_token = verify_in_turn
        return server


_IN = "200 OK"


def _let_in(_environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response(_IN, [])
    return ()
