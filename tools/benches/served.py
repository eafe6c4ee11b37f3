"""
Serves an application as pci-api serves its own: cheroot, one process, so many threads.

Runs in our Python and in placement's, so it imports nothing of either.
"""

import json
import sys
from typing import Any

from cheroot.wsgi import Server


def serve(app: Any, threads: int, about: dict[str, str]) -> None:
    """Tell on stdout the port and what else there is to know, and serve until the process is ended."""
    server = Server(("127.0.0.1", 0), app, numthreads=threads)
    server.prepare()
    print(json.dumps({"port": server.bind_addr[1], **about}), flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        server.stop()
        sys.exit()
