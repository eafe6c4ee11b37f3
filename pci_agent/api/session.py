"""
``/ui/session``: who is looking at the page, signing in and out.

A browser keeps the token in a cookie that no script can read and that it sends to nobody else; it stands for the header
X-Auth-Token on every path, but for changes that don't come from a page of our own. See access.py.
"""

from typing import Annotated

import falcon
from pydantic import BaseModel, ConfigDict, Field

from pci_agent.api.access import COOKIE, NOT_KEPT, Caller, Credentials, Identity, SignedIn, refuse_other_sites, token_of
from pci_agent.api.call import read_body
from pci_agent.api.pages import Text
from pci_agent.api.view import Document
from pci_agent.errors import BadRequest

_NO_CONTENT = 204
_ROUTE = "ui"


class SignInBody(BaseModel):
    """A name, a password, and the project to act in."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: Text
    password: Annotated[str, Field(min_length=1, max_length=4096)]
    project: Text
    user_domain: Text = "Default"
    project_domain: Text = "Default"


class Nobody:
    """Who looks at the page where nobody is asked who they are."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Say so."""
        request.context.route = _ROUTE
        response.media = {"auth": "noauth", "user": None}

    def on_post(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Refuse it."""
        request.context.route = _ROUTE
        refuse_other_sites(request)
        raise BadRequest("There is nothing to sign in to: [api] auth_strategy is noauth.")

    def on_delete(self, request: falcon.Request, response: falcon.Response) -> None:
        """Do nothing."""
        request.context.route = _ROUTE
        refuse_other_sites(request)
        response.status = _NO_CONTENT


class Somebody:
    """
    Who looks at the page where keystone knows.

    Args:
        identity: knows callers
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Tell who is signed in, or that nobody is."""
        request.context.route = _ROUTE
        response.cache_control = NOT_KEPT
        response.media = _document(self._somebody(request))

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Sign in."""
        request.context.route = _ROUTE
        refuse_other_sites(request)
        asked = read_body(request, SignInBody)
        found = self._identity.sign_in(
            Credentials(
                username=asked.username,
                password=asked.password,
                project=asked.project,
                user_domain=asked.user_domain,
                project_domain=asked.project_domain,
            )
        )
        response.set_cookie(
            COOKIE,
            found.token,
            max_age=found.lifetime_s,
            path="/",
            secure=request.forwarded_scheme == "https",
            http_only=True,
            same_site="Strict",
        )
        response.cache_control = NOT_KEPT
        response.media = _document(found)

    def on_delete(self, request: falcon.Request, response: falcon.Response) -> None:
        """Sign out: the cookie goes, and its token is over."""
        request.context.route = _ROUTE
        refuse_other_sites(request)
        token = token_of(request)
        if token is not None:
            self._identity.sign_out(token)
        response.unset_cookie(COOKIE, path="/", same_site="Strict")
        response.status = _NO_CONTENT

    def _somebody(self, request: falcon.Request) -> Caller | None:
        token = token_of(request)
        try:
            return None if token is None else self._identity.caller(request, token)
        except falcon.HTTPUnauthorized:
            return None


def _document(user: Caller | SignedIn | None) -> Document:
    shown = None
    if user is not None:
        shown = {"name": user.user_name, "project": user.project_name, "roles": list(user.roles)}
    return {"auth": "keystone", "user": shown}
