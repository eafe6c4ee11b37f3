"""
The bare application: what it takes to send prepared rows through Falcon and orjson, and nothing else.

Its rows are those of pci-api's own answer, as dicts, in memory; nobody is asked for them and nothing is checked.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import falcon
import falcon.media
import orjson

from benches.served import serve


class Rows:
    """All rows, whatever is asked."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Give them."""
        response.media = {"pci_devices": self._rows}


def application(rows: list[dict[str, Any]]) -> falcon.App[Any, Any]:
    """Assemble it."""
    app: falcon.App[Any, Any] = falcon.App()
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = falcon.media.JSONHandler(dumps=orjson.dumps)
    app.add_route("/rows", Rows(rows))
    return app


if __name__ == "__main__":
    _, file, threads = sys.argv
    about = {name: version(name) for name in ("falcon", "orjson", "cheroot")}
    serve(application(orjson.loads(Path(file).read_bytes())["pci_devices"]), int(threads), about)
