"""
OpenStack placement's side, in its own Python: which hosts have a VF, asked of its WSGI application.

Providers are as nova makes them: of each host a root, and a child of it for each PF, with the PF's VFs as inventory.
Its tables are filled by SQL, for its API takes seconds for a hundred hosts. A root has no inventory of its own here,
which spares placement telling of processors and memory.
"""

import os
import platform
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from placement import db_api, wsgi  # type: ignore[import-not-found]
from sqlalchemy import text
from webob import Request  # type: ignore[import-untyped]

from benches.timing import Work, serve

_CLASS = "CUSTOM_PCI_8086_1520"
_HEADERS = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.39"}
_FILL = """
DELETE FROM inventories;
DELETE FROM resource_providers WHERE parent_provider_id IS NOT NULL;
DELETE FROM resource_providers;
INSERT INTO resource_providers (id, uuid, name, generation, root_provider_id)
    SELECT host, md5('host ' || host)::uuid, 'compute-' || host, 0, host FROM generate_series(1, :hosts) host;
INSERT INTO resource_providers (id, uuid, name, generation, root_provider_id, parent_provider_id)
    SELECT :hosts + (host - 1) * :pfs + pf, md5('pf ' || host || ' ' || pf)::uuid,
        'compute-' || host || ' PF ' || pf, 0, host, host
    FROM generate_series(1, :hosts) host, generate_series(1, :pfs) pf;
INSERT INTO inventories
        (resource_provider_id, resource_class_id, total, reserved, min_unit, max_unit, step_size, allocation_ratio)
    SELECT provider.id, class.id, :vfs, 0, 1, :vfs, 1, 1 FROM resource_providers provider, resource_classes class
    WHERE provider.parent_provider_id IS NOT NULL AND class.name = :class
"""


def application(folder: str, url: str) -> Any:
    """Make the application as its WSGI script does; it makes its tables first."""
    (Path(folder) / "placement.conf").write_text(
        f"[DEFAULT]\nlog_file = {folder}/placement.log\n"
        "[api]\nauth_strategy = noauth2\n"
        f"[placement_database]\nconnection = {url}\nsync_on_startup = true\n"
    )
    os.environ["OS_PLACEMENT_CONFIG_DIR"] = folder
    return wsgi.init_application()


def load(asked: dict[str, Any]) -> dict[str, Work]:
    """Take up a fleet of that many hosts, PFs and VFs."""
    app = application(asked["folder"], asked["url"])
    fill(app, hosts=asked["hosts"], pfs=asked["pfs"], vfs=asked["vfs"])

    def candidates(limit: int, _: None) -> int:
        found = _answer(app, f"/allocation_candidates?resources={_CLASS}:1&limit={limit}")
        return len(found["allocation_requests"])

    return {f"limit {limit}": Work(partial(candidates, limit)) for limit in asked["limits"]}


def fill(app: Any, hosts: int, pfs: int, vfs: int) -> None:
    """Make providers for so many hosts, PFs of each, and VFs of each PF."""
    _answer(app, f"/resource_classes/{_CLASS}", "PUT")
    numbers = {"hosts": hosts, "pfs": pfs, "vfs": vfs, "class": _CLASS}
    engine = db_api.get_placement_engine()
    with engine.begin() as connection:
        for statement in _FILL.split(";"):
            connection.execute(text(statement), numbers)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _answer(app: Any, path: str, method: str = "GET") -> Any:
    answer = Request.blank(path, method=method, headers=_HEADERS).get_response(app)
    if answer.status_int not in (200, 201, 204):
        raise RuntimeError(f"placement answered {answer.status} to {path}: {answer.text}")
    return answer.json if answer.status_int == 200 else None  # noqa: PLR2004 - HTTP's own number


if __name__ == "__main__":
    serve(load, {"placement": version("openstack-placement"), "placement's Python": platform.python_version()})
