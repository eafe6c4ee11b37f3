"""
Who is calling, and what the caller may: asked by a rule's name before anything is done.

Without authentication everybody may do everything, so that is served on loopback alone. With it whoever isn't known is
told so at every path but the public ones, be there something at the path or not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import falcon

COOKIE = "pci_session"
"""What a browser that signed in at /ui/session has, instead of a header X-Auth-Token."""

ALL_SERVERS = "servers:detail:all_projects"
FOR_OTHERS = "os-pci-allocations:claim:for_others"
METRICS = "metrics:show"
"""Rules beside those that are called as routes are."""

_PUBLIC = frozenset({"/", "/v2", "/v3", "/openapi.json", "/healthcheck", "/ui"})
_PUBLIC_BELOW = "/ui/"
NOT_KEPT = ("no-store",)
"""What Cache-Control says of an answer that is this caller's alone."""

_READING = ("GET", "HEAD", "OPTIONS")


def _anything(_rule: str, _target: Mapping[str, str]) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    Whoever sent a request.

    Attributes:
        user_id, user_name: None where nobody is asked who they are
        project_id, project_name: in which the caller acts; None where in none
        roles: there
        allowed: tells whether a rule lets the caller do something to a target
    """

    user_id: str | None = None
    user_name: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    roles: tuple[str, ...] = ()
    allowed: Callable[[str, Mapping[str, str]], bool] = _anything

    def may(self, rule: str, *, project_id: str | None = None) -> bool:
        """Tell whether that rule lets the caller; *project_id* is that of what it is done to, None where unknown."""
        return self.allowed(rule, {} if project_id is None else {"project_id": project_id})

    def must(self, rule: str) -> None:
        """
        Ask likewise.

        Raises:
            falcon.HTTPForbidden: the caller may not.
        """
        if not self.may(rule):
            raise self.forbidden(rule)

    def forbidden(self, rule: str) -> falcon.HTTPForbidden:
        """Say that a rule doesn't let the caller."""
        roles = ", ".join(self.roles) or "none"
        where = f"in project {self.project_name or self.project_id}" if self.project_id else "without a project"
        what = f"Rule {rule} doesn't allow this to {self.user_name or self.user_id} {where} (roles: {roles})."
        return falcon.HTTPForbidden(description=f"{what} Sign in as somebody who may, or have the policy file changed.")


EVERYBODY = Caller()


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What somebody signs in with."""

    username: str
    password: str = field(repr=False)
    project: str
    user_domain: str
    project_domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """
    Somebody who signed in.

    Attributes:
        token: stands for the caller
        lifetime_s: how long it does
        user_name, project_name, roles: as a caller has them
    """

    token: str = field(repr=False)
    lifetime_s: int
    user_name: str
    project_name: str
    roles: tuple[str, ...]


class Identity(Protocol):
    """Whoever knows callers: keystone."""

    def caller(self, request: falcon.Request, token: str | None) -> Caller:
        """
        Tell whose token that is.

        Raises:
            falcon.HTTPUnauthorized: nobody's, or none is there.
            Unserved: it can't be found out at the moment.
        """
        ...

    def sign_in(self, given: Credentials) -> SignedIn:
        """
        Give a token.

        Raises:
            falcon.HTTPUnauthorized: nobody is known by these.
            Unserved: it can't be found out at the moment.
        """
        ...

    def sign_out(self, token: str) -> None:
        """End a token before its time, if that can be done at the moment."""
        ...


class Authentication:
    """
    A falcon middleware that lets nobody unknown in.

    Args:
        known: knows callers
    """

    def __init__(self, known: Identity) -> None:
        self._known = known

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        """Note who is calling, for the log too; what one is told is nobody else's, so that no cache may keep it."""
        if request.path not in _PUBLIC and not request.path.startswith(_PUBLIC_BELOW):
            response.cache_control = NOT_KEPT
            caller = self._known.caller(request, token_of(request))
            request.context.caller = caller
            request.context.named.user_id, request.context.named.project_id = caller.user_id, caller.project_id


def token_of(request: falcon.Request) -> str | None:
    """
    Find the token that a request came with.

    Raises:
        falcon.HTTPForbidden: it is a cookie's, which browsers send whoever asks them to, and the request would change
            something without being known for one of our own pages'.
    """
    token = request.get_header("X-Auth-Token")
    if token is not None:
        return token
    values = request.get_cookie_values(COOKIE)
    if not values:
        return None
    if request.method not in _READING and request.get_header("Origin") is None:
        what = f"This came with the cookie {COOKIE} and without an Origin, and changes are taken from our pages alone."
        raise falcon.HTTPForbidden(description=f"{what} Send the token as X-Auth-Token instead.")
    refuse_other_sites(request)
    return values[0]


def refuse_other_sites(request: falcon.Request) -> None:
    """Refuse what a page of another site sends by its reader's browser, which may reach where that site may not."""
    origin = request.get_header("Origin")
    ours = (request.netloc, request.forwarded_host.partition(",")[0].strip())  # the proxy nearest to the page
    if request.method not in _READING and origin is not None and _place(origin) not in ours:
        what = f"This was sent by a page of {origin}, and changes are taken from pages of {request.netloc} alone."
        raise falcon.HTTPForbidden(description=what)


def _place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
