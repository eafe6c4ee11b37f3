"""
``/ui/``: the page to look at, as files that are served as they are.

There is a fixed list of them, read once; nothing that a request says becomes a path. The page may load what is
served here and nothing else, runs no script but these, and is shown in nobody's frame. A browser asks each time whether
a file has changed, so that the files always belong together.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import falcon

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FIRST = "index.html"
FILES = (
    "api.js",
    "app.js",
    "ask.js",
    "device.js",
    "devices.js",
    "dom.js",
    "explanation.js",
    "format.js",
    "function.js",
    "history.js",
    "host.js",
    "hosts.js",
    "icon.svg",
    "instance.js",
    "instances.js",
    "overview.js",
    "page.css",
    "patch.js",
    "picture.css",
    "picture.js",
    "refresh.js",
    "route.js",
    "search.js",
    "session.js",
    "status.js",
    "table.js",
)
"""What the page consists of, beside itself."""


@dataclass(frozen=True, slots=True)
class File:
    """
    One file of the page.

    Attributes:
        content: as it is sent
        content_type: what it is
        etag: names this content
    """

    content: bytes
    content_type: str
    etag: str

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Send it, unless the browser has it."""
        request.context.route = "ui"
        response.set_headers(_HEADERS)
        response.etag = self.etag
        if any(each in ("*", self.etag) for each in request.if_none_match or ()):
            response.status = falcon.HTTP_304
            return
        response.content_type = self.content_type
        response.data = self.content


class _First:
    """The page itself, at the one address from which its files are found, however this application is mounted."""

    def __init__(self, file: File) -> None:
        self._file = file

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Send it, or its reader to the address with the slash."""
        if not request.env["PATH_INFO"].endswith("/"):
            raise falcon.HTTPPermanentRedirect(f"{request.root_path}/ui/", headers={**_HEADERS})
        self._file.on_get(request, response)


def install(app: falcon.App[Any, Any]) -> None:
    """Serve the page."""
    app.add_route("/ui", _First(_read(_FIRST)))
    for name in FILES:
        app.add_route(f"/ui/{name}", _read(name))


def _read(name: str) -> File:
    content = files(__package__).joinpath("ui", name).read_bytes()
    etag = falcon.ETag(hashlib.sha256(content).hexdigest()[:32])
    return File(content, _TYPES[name.rpartition(".")[2]], etag)
