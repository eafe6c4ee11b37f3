"""
pcictl and openstack, as processes of their own, against an API that asks a real keystone who is calling.

Both find the API in keystone's catalogue.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from guarded import serving
from keystones import Keystone
from sqlalchemy import Engine

from buses import parts
from hosts import Host
from pci_agent.tracker.store import Store
from services import as_nobody

BIN = Path(sys.executable).parent
BOTH = ["pcictl", "openstack pci"]
NAMES = ["pci_0000_04_00_0", "pci_0000_04_10_0", "pci_0000_04_10_4"]


@pytest.fixture
def store(sqlite: Engine, host: Host) -> Store:
    store = Store(sqlite, host_down_s=75)
    host.start()
    host.report(store)
    return store


@pytest.fixture
def endpoint(store: Store, keystone: Keystone, tmp_path: Path) -> Iterator[str]:
    """An API that nobody may use without a token."""
    with serving(tmp_path, parts(store), keystone.configuration()) as served:
        keystone.publish(served.origin)
        yield served.origin


def run(
    program: str, *arguments: str, folder: Path, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder, with no OS_ variable but these."""
    name, *before = program.split()
    return subprocess.run(
        [BIN / name, *before, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
        env={**as_nobody(), "HOME": str(folder), **(environment or {})},
    )


def names(ran: "subprocess.CompletedProcess[str]") -> list[str]:
    assert ran.returncode == 0, ran.stderr
    return [device["Name"] for device in json.loads(ran.stdout)]


@pytest.mark.parametrize("program", BOTH)
def test_a_cloud_of_clouds_yaml_is_enough(program: str, endpoint: str, keystone: Keystone, tmp_path: Path) -> None:
    assert endpoint
    (tmp_path / "clouds.yaml").write_text(keystone.clouds(keystone.admin))
    ran = run(program, "device", "list", "-f", "json", folder=tmp_path, environment={"OS_CLOUD": "admin"})
    assert names(ran) == NAMES


@pytest.mark.parametrize("program", BOTH)
def test_variables_of_an_openrc_are_enough(program: str, endpoint: str, keystone: Keystone, tmp_path: Path) -> None:
    assert endpoint
    ran = run(
        program, "device", "list", "-f", "json", folder=tmp_path, environment=keystone.environment(keystone.admin)
    )
    assert names(ran) == NAMES


@pytest.mark.parametrize("program", BOTH)
def test_who_does_not_sign_in_is_told_how_to(program: str, endpoint: str, tmp_path: Path) -> None:
    if program == "pcictl":
        ran = run(f"pcictl --os-endpoint {endpoint}", "device", "list", folder=tmp_path)
        assert "name a cloud of clouds.yaml with --os-cloud, or set OS_AUTH_URL" in ran.stderr
    else:
        ran = run(f"openstack --os-auth-type none --os-endpoint {endpoint} pci", "device", "list", folder=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "(HTTP 401)" in ran.stderr


def test_who_may_not_is_told_by_which_rule(endpoint: str, keystone: Keystone, tmp_path: Path) -> None:
    assert endpoint
    (tmp_path / "clouds.yaml").write_text(keystone.clouds())
    for program in ("pcictl --os-cloud mary", "openstack --os-cloud mary pci"):
        ran = run(program, "device", "list", folder=tmp_path)
        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
        assert "Rule os-pci:index doesn't allow this to mary" in ran.stderr
    assert json.loads(run("pcictl --os-cloud mary", "server", "list", "-f", "json", folder=tmp_path).stdout) == []


def test_a_token_that_is_there_already_serves(endpoint: str, keystone: Keystone, tmp_path: Path) -> None:
    token = {"OS_TOKEN": keystone.token(keystone.admin)}
    at = {"OS_AUTH_URL": keystone.url, "OS_PROJECT_NAME": "admin", "OS_PROJECT_DOMAIN_NAME": "Default"}
    assert names(run("pcictl", "device", "list", "-f", "json", folder=tmp_path, environment=token | at)) == NAMES
    by_itself = token | {"OS_ENDPOINT": endpoint}
    assert names(run("pcictl", "device", "list", "-f", "json", folder=tmp_path, environment=by_itself)) == NAMES


def test_an_endpoint_of_ones_own_goes_before_the_catalogues(endpoint: str, keystone: Keystone, tmp_path: Path) -> None:
    keystone.publish("http://127.0.0.1:1")
    environment = keystone.environment(keystone.admin)
    told = run("pcictl", "device", "list", folder=tmp_path, environment=environment)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "no API answers at http://127.0.0.1:1" in told.stderr
    for program in (f"pcictl --os-endpoint {endpoint}/v3", f"openstack --os-pci-endpoint {endpoint} pci"):
        assert names(run(program, "device", "list", "-f", "json", folder=tmp_path, environment=environment)) == NAMES
    (tmp_path / "clouds.yaml").write_text(keystone.clouds(keystone.admin, endpoint=endpoint))
    assert names(run("pcictl --os-cloud admin", "device", "list", "-f", "json", folder=tmp_path)) == NAMES


@pytest.mark.parametrize("program", BOTH)
def test_who_may_not_sign_in_is_told_so_without_the_secret(program: str, keystone: Keystone, tmp_path: Path) -> None:
    wrong = {**keystone.environment(keystone.admin), "OS_PASSWORD": "hunter2-hunter2"}
    ran = run(program, "device", "list", folder=tmp_path, environment=wrong)
    assert ran.returncode == 1
    assert "HTTP 401" in ran.stderr
    assert "hunter2-hunter2" not in ran.stderr
    assert program != "pcictl" or ("mend clouds.yaml" in ran.stderr and ran.stderr.count("\n") == 1)


@pytest.mark.parametrize("program", ["pcictl -vv --debug", "openstack -vv --debug pci"])
def test_no_secret_is_told_however_much_is_told(
    program: str, endpoint: str, keystone: Keystone, tmp_path: Path
) -> None:
    token = keystone.token(keystone.admin)
    ran = run(program, "device", "list", folder=tmp_path, environment=keystone.environment(keystone.admin))
    assert (ran.returncode, "/v3/os-pci" in ran.stderr) == (0, True), ran.stderr
    assert keystone.admin.password not in ran.stdout + ran.stderr
    assert "gAAAAA" not in ran.stderr, "no fernet token"
    ran = run(program, "device", "show", "x", folder=tmp_path, environment={"OS_TOKEN": token, "OS_ENDPOINT": endpoint})
    assert token not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("environment", "cure"),
    [
        ({"OS_CLOUD": "nowhere"}, "nowhere"),
        ({"OS_AUTH_URL": "http://127.0.0.1:1/v3", "OS_USERNAME": "u", "OS_PROJECT_NAME": "p"}, "set OS_PASSWORD, or"),
        ({"OS_AUTH_URL": "http://127.0.0.1:1/v3", "OS_USERNAME": "u", "OS_PASSWORD": "p"}, "127.0.0.1:1"),
        ({"OS_AUTH_TYPE": "magic"}, "magic"),
        ({"OS_AUTH_URL": "http://127.0.0.1:1/v3"}, "set OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME"),
    ],
)
def test_what_is_missing_to_sign_in_is_one_line(environment: dict[str, str], cure: str, tmp_path: Path) -> None:
    ran = run("pcictl", "device", "list", folder=tmp_path, environment=environment)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1), ran.stderr
    assert cure in ran.stderr
    assert "clouds.yaml" in ran.stderr


def test_a_catalogue_without_the_api_says_how_to_name_it(endpoint: str, keystone: Keystone, tmp_path: Path) -> None:
    assert endpoint
    environment = keystone.environment(keystone.admin)
    ran = run("pcictl --os-interface internal", "device", "list", folder=tmp_path, environment=environment)
    assert ran.returncode == 1
    assert "the catalogue has no internal endpoint of a service of type pci" in ran.stderr
    assert "--os-pci-endpoint" in ran.stderr
