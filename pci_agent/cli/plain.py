"""
Questions of nobody, or with a token that is there already: HTTP by the standard library alone.

So a command that needn't sign in starts quickly.
"""

import logging
import ssl
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from pci_agent.cli.client import TIMEOUT_S
from pci_agent.cli.visible import visible
from pci_agent.errors import CommandFailed

LOG = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "http://127.0.0.1:8799"
_ELSEWHERE = range(300, 400)


class Plain:
    """
    An API that asks nobody who they are, or takes the token that it is shown.

    Args:
        endpoint: where it is: ``http://127.0.0.1:8799``
        token: shows who asks; None: nobody
        cacert: a file with the certificates of those who may vouch for it; None: the system's
        insecure: whether it needn't prove who it is
        timeout_s: how long to wait for an answer
    """

    who = (
        "name a cloud of clouds.yaml with --os-cloud, or set OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME"
    )

    def __init__(
        self,
        endpoint: str,
        *,
        token: str | None = None,
        cacert: str | None = None,
        insecure: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.endpoint = endpoint
        self._token = token
        self._cacert = cacert
        self._insecure = insecure
        self._timeout_s = timeout_s

    def send(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
        """Give the code and the body of an answer."""
        if not url.startswith(("http://", "https://")):
            raise CommandFailed(f"--os-endpoint {self.endpoint}: write it with http:// or https:// in front")
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._token:
            headers["X-Auth-Token"] = self._token
        LOG.debug("%s %s", method, url)
        request = Request(url, body, headers, method=method)  # noqa: S310 - it is HTTP, see above
        try:
            with self._opener(url).open(request, timeout=self._timeout_s) as response:
                return response.status, response.read()
        except HTTPError as error:
            refuse_elsewhere(self.endpoint, error.code, error.headers.get("Location"))
            return error.code, error.read()
        except (URLError, OSError, ValueError) as error:
            raise CommandFailed(unanswered(self.endpoint, getattr(error, "reason", error), self._timeout_s)) from None

    def _opener(self, url: str) -> OpenerDirector:
        handlers: list[BaseHandler] = [_Staying()]
        # A proxy stands between this machine and others, never before its own loopback.
        if urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost"):
            handlers.append(ProxyHandler({}))
        if url.startswith("https:") and (self._cacert or self._insecure):
            context = ssl.create_default_context(cafile=self._cacert)
            if self._insecure:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            handlers.append(HTTPSHandler(context=context))
        return build_opener(*handlers)


class _Staying(HTTPRedirectHandler):
    """Follows nobody: the token would be shown wherever an answer points to."""

    def redirect_request(self, *_args: object) -> None:
        """Ask nothing more."""


def refuse_elsewhere(endpoint: str, code: int, where: str | None) -> None:
    """
    Do nothing, unless an answer points elsewhere.

    Raises:
        CommandFailed: it does.
    """
    if code in _ELSEWHERE:
        raise CommandFailed(
            f"what answers at {endpoint} points to {visible(where or 'nowhere')} (HTTP {code}), and nobody"
            " was asked there: name where pci-api itself is with --os-endpoint"
        )


def unanswered(endpoint: str, reason: object, timeout_s: float) -> str:
    """Say that nobody answers, and what to do about it."""
    if isinstance(reason, TimeoutError):
        return (
            f"the API at {endpoint} didn't answer in {timeout_s:g} s: whether it did what was asked isn't known; look"
            " before you ask again"
        )
    if endpoint.startswith("https:") and "WRONG_VERSION_NUMBER" in str(reason):
        return f"what answers at {endpoint} speaks http, not https: name it with http:// in front, with --os-endpoint"
    return f"no API answers at {endpoint} ({reason}): start pci-api, or name another with --os-endpoint"
