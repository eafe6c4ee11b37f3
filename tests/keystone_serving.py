"""
A real keystone in one process, run by keystone's own Python: ``keystone_serving.py PORT CONFIGURATION``.

Where OS_BOOTSTRAP_PASSWORD is set its database is made first, with an administrator of that password. What
keystone-manage does in four processes is done here in one, because each takes seconds to import keystone.
"""

import os
import sys
from typing import Any

PORT, CONFIGURATION = int(sys.argv[1]), sys.argv[2]
sys.argv = ["keystone"]  # keystone takes the command line of whoever imports it for its own

import keystone.server  # noqa: E402
from cheroot.wsgi import Server  # noqa: E402
from keystone.cmd.bootstrap import Bootstrapper  # noqa: E402
from keystone.common.fernet_utils import FernetUtils  # noqa: E402
from keystone.common.sql import upgrades  # noqa: E402
from keystone.conf import CONF  # noqa: E402
from keystone.server import backends  # noqa: E402
from keystone.server.flask import application, core  # noqa: E402

_KEYS = 3


def make_keys_and_tables() -> None:
    """Make what keystone doesn't start without."""
    for group in ("fernet_tokens", "credential"):
        keys = FernetUtils(CONF[group].key_repository, _KEYS, group)
        keys.create_key_directory()
        keys.initialize_key_repository()
    upgrades.offline_sync_database_to_version()


def make_administrator(password: str) -> None:
    """Make the administrator, the roles, and keystone's own place in the catalog."""
    made = Bootstrapper()
    made.admin_password = password
    made.admin_username = made.project_name = made.admin_role_name = "admin"
    made.service_name, made.region_id = "keystone", "RegionOne"
    made.public_url = made.internal_url = made.admin_url = f"http://127.0.0.1:{PORT}/v3"
    made.bootstrap()


def started() -> Any:
    """Give keystone's application."""
    keystone.server.configure(config_files=[CONFIGURATION])
    password = os.environ.get("OS_BOOTSTRAP_PASSWORD")
    if password is None:
        backends.load_backends()
    else:
        make_keys_and_tables()
        make_administrator(password)
    return core.setup_app_middleware(application.application_factory("public"))


Server(("127.0.0.1", PORT), started(), numthreads=4).safe_start()
