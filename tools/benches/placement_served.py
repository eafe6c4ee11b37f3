"""OpenStack placement's side, in its own Python: its API over HTTP, with so many resource providers."""

import platform
import sys
from importlib.metadata import version

from benches import placements
from benches.served import serve

if __name__ == "__main__":
    _, folder, url, providers, threads = sys.argv
    app = placements.application(folder, url)
    placements.fill(app, hosts=int(providers), pfs=0, vfs=1)
    serve(app, int(threads), {"placement": version("openstack-placement"), "Python": platform.python_version()})
