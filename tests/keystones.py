"""A real keystone on loopback, with a folder of its own, and the people who sign in to it."""

import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from keystoneauth1.adapter import Adapter
from keystoneauth1.identity.v3 import ApplicationCredential, Password
from keystoneauth1.session import Session

from services import answers, free_port, missing, wait_for

PYTHON = Path(__file__).resolve().parents[1] / ".keystone/bin/python"
_PATIENCE_S = 60
_CONFIGURATION = """
[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///{folder}/keystone.sqlite
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[identity]
password_hash_rounds = 4
"""


def _password() -> str:
    return f"secret-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class User:
    """
    Somebody of keystone's domain Default.

    Attributes:
        name: to sign in with
        project: the only one that the user has a role in
        roles: there
        password: to sign in with
    """

    name: str
    project: str
    roles: tuple[str, ...]
    password: str = field(default_factory=_password, repr=False)


class Keystone:
    """
    A keystone that can be stopped and started again with what it kept.

    Attributes:
        admin: may do everything
        member: has a role in a project of others
        owner: has a role in the project whose instances hold devices
        reader: may only look, in the owner's project
        controller: a service that has devices given out
        service: whom the API checks tokens as
    """

    def __init__(self) -> None:
        if not PYTHON.exists():
            missing("keystone (in .keystone)")
        self._folder = Path(tempfile.mkdtemp(prefix="pci-keystone-"))
        (self._folder / "keystone.conf").write_text(_CONFIGURATION.format(folder=self._folder))
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoints: dict[str, str] = {}
        self.admin = User("admin", "admin", ("admin",))
        self.member = User("mary", "harbour", ("member",))
        self.owner = User("oscar", "orchard", ("member",))
        self.reader = User("rita", "orchard", ("reader",))
        self.controller = User("controller", "service", ("service",))
        self.service = User("pci", "service", ("service",))
        self._projects: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where users sign in."""
        return f"http://127.0.0.1:{self._port}/v3"

    @property
    def users(self) -> tuple[User, ...]:
        return (self.admin, self.member, self.owner, self.reader, self.controller, self.service)

    def start(self) -> None:
        """Start it; for the first time with its users made."""
        new = not (self._folder / "keystone.sqlite").exists()
        environment = {**os.environ, **({"OS_BOOTSTRAP_PASSWORD": self.admin.password} if new else {})}
        environment.pop("PYTHONPATH", None)
        program = str(Path(__file__).with_name("keystone_serving.py"))
        run = [str(PYTHON), "-P", "-W", "ignore", program, str(self._port), str(self._folder / "keystone.conf")]
        with (self._folder / "log").open("ab") as out:
            self._process = subprocess.Popen(run, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_for(lambda: self._process is None or self._process.poll() is not None or answers(self._port), "keystone")
        assert self._process.poll() is None, (self._folder / "log").read_text()
        if new:
            self._populate()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_PATIENCE_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def session(self, user: User) -> Session:
        """Sign somebody in, at the first use."""
        return Session(
            Password(
                auth_url=self.url,
                username=user.name,
                password=user.password,
                project_name=user.project,
                user_domain_id="default",
                project_domain_id="default",
            )
        )

    def token(self, user: User) -> str:
        """Give a token that is nobody else's."""
        return str(self.session(user).get_token())

    def unscoped_token(self, user: User) -> str:
        """Give a token of somebody who acts in no project."""
        found = Password(
            auth_url=self.url, username=user.name, password=user.password, user_domain_id="default", unscoped=True
        )
        return str(Session(found).get_token())

    def brief_token(self, user: User, *, lifetime_s: float) -> str:
        """Give a token that is over after so many seconds."""
        until = datetime.now(UTC) + timedelta(seconds=lifetime_s)
        wanted = {"name": str(uuid4()), "expires_at": until.strftime("%Y-%m-%dT%H:%M:%S.%f")}
        path = f"users/{self.id_of(user)}/application_credentials"
        made = self._ask(user, "POST", path, application_credential=wanted)["application_credential"]
        by_it = ApplicationCredential(
            self.url, application_credential_id=made["id"], application_credential_secret=made["secret"]
        )
        return str(Session(by_it).get_token())

    def revoke(self, token: str) -> None:
        """End a token before its time."""
        self._as(self.admin).delete("/auth/tokens", headers={"X-Subject-Token": token})

    def id_of(self, user: User) -> str:
        """Give keystone's id of a user."""
        return self._ids[user.name]

    def project_of(self, user: User) -> str:
        """Give keystone's id of a user's project."""
        return self._projects[user.project]

    def publish(self, url: str) -> None:
        """Put the API's address into the catalog, in place of the one that stood there."""
        if url in self._endpoints.values():
            return
        if not self._endpoints:
            made = self._ask(self.admin, "POST", "services", service={"type": "pci", "name": "pci-agent"})["service"]
            wanted = {"interface": "public", "region_id": "RegionOne", "service_id": made["id"], "url": url}
            kept = self._ask(self.admin, "POST", "endpoints", endpoint=wanted)["endpoint"]
            self._endpoints[kept["id"]] = url
            return
        for endpoint_id in self._endpoints:
            self._ask(self.admin, "PATCH", f"endpoints/{endpoint_id}", endpoint={"url": url})
            self._endpoints[endpoint_id] = url

    def clouds(self, *users: User, endpoint: str | None = None) -> str:
        """
        Write a clouds.yaml with a cloud for each user, called as the user is.

        Args:
            users: all of them where none is named
            endpoint: the API's address, where it isn't to be looked for in the catalog
        """
        lines = ["clouds:"]
        for user in users or self.users:
            lines += [
                f"  {user.name}:",
                "    region_name: RegionOne",
                "    identity_api_version: 3",
                *([] if endpoint is None else [f"    pci_endpoint_override: {endpoint}"]),
                "    auth:",
                f"      auth_url: {self.url}",
                f"      username: {user.name}",
                f"      password: {user.password}",
                f"      project_name: {user.project}",
                "      user_domain_name: Default",
                "      project_domain_name: Default",
            ]
        return "\n".join(lines) + "\n"

    def environment(self, user: User) -> dict[str, str]:
        """Give the OS_ variables that sign somebody in."""
        return {
            "OS_AUTH_URL": self.url,
            "OS_USERNAME": user.name,
            "OS_PASSWORD": user.password,
            "OS_PROJECT_NAME": user.project,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": "RegionOne",
            "OS_IDENTITY_API_VERSION": "3",
        }

    def configuration(self) -> str:
        """Write what pci-tracker.conf says of keystone."""
        return "\n".join(
            (
                "[api]",
                "auth_strategy = keystone",
                "[keystone_authtoken]",
                f"www_authenticate_uri = {self.url}",
                f"auth_url = {self.url}",
                "auth_type = password",
                f"username = {self.service.name}",
                f"password = {self.service.password}",
                f"project_name = {self.service.project}",
                "user_domain_name = Default",
                "project_domain_name = Default",
                "",
            )
        )

    def _as(self, user: User) -> Adapter:
        return Adapter(self.session(user), service_type="identity", endpoint_override=self.url)

    def _ask(self, user: User, method: str, path: str, **body: Any) -> Any:
        answer = self._as(user).request(f"/{path}", method, json=body or None)
        return answer.json() if answer.content else None

    def _populate(self) -> None:
        """Make the projects and users that bootstrapping doesn't; their names are theirs alone."""
        admin = self._as(self.admin)
        roles = {each["name"]: each["id"] for each in admin.get("/roles").json()["roles"]}
        self._projects = {each["name"]: each["id"] for each in admin.get("/projects").json()["projects"]}
        self._ids = {each["name"]: each["id"] for each in admin.get("/users").json()["users"]}
        for user in self.users:
            if user.project not in self._projects:
                project = {"name": user.project, "domain_id": "default"}
                self._projects[user.project] = admin.post("/projects", json={"project": project}).json()["project"][
                    "id"
                ]
            if user.name not in self._ids:
                wanted = {"name": user.name, "password": user.password, "domain_id": "default"}
                self._ids[user.name] = admin.post("/users", json={"user": wanted}).json()["user"]["id"]
                for role in user.roles:
                    place = f"/projects/{self.project_of(user)}/users/{self.id_of(user)}/roles/{roles[role]}"
                    admin.put(place)
