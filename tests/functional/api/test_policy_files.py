"""What an operator writes about keystone and rules is looked at when the API starts."""

import sys
from pathlib import Path

import pytest
from oslo_config.cfg import ConfigOpts

from pci_agent.cmd import access, tracker
from pci_agent.errors import ConfigurationRefused

KEYSTONE = {
    "www_authenticate_uri": "http://127.0.0.1:1",
    "auth_url": "http://127.0.0.1:1",
    "auth_type": "password",
    "username": "pci",
    "password": "secret",
    "project_name": "service",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
}


def start(folder: Path, policy: str | None = None, more: str = "", **authtoken: str | None) -> ConfigOpts:
    """Do what pci-api does with this configuration before it serves; None leaves an option out."""
    options = {name: value for name, value in (KEYSTONE | authtoken).items() if value is not None}
    lines = ["[api]", "auth_strategy = keystone", "[keystone_authtoken]"]
    lines += [f"{name} = {value}" for name, value in options.items()]
    file = folder / "pci-tracker.conf"
    file.write_text("\n".join([*lines, more, ""]))
    if policy is not None:
        (folder / "policy.yaml").write_text(policy)
    conf = tracker.configuration(["--config-file", str(file)], "")
    access.keystone(conf)
    return conf


def refusals(folder: Path, policy: str | None = None, more: str = "", **authtoken: str | None) -> list[str]:
    with pytest.raises(ConfigurationRefused) as refused:
        start(folder, policy, more, **authtoken)
    return [str(each) for each in refused.value.refusals]


def test_it_starts_while_keystone_is_away_and_with_rules_of_ones_own(tmp_path: Path) -> None:
    start(tmp_path)
    start(tmp_path, '"mine": "role:operator or role:admin"\n"os-pci:index": "rule:mine"\n"os-pci:show": "!"\n')
    start(tmp_path, "")
    start(tmp_path, "# nothing yet\n")


def test_keystone_is_not_waited_for_without_end(tmp_path: Path) -> None:
    assert start(tmp_path).keystone_authtoken.http_connect_timeout == 10
    assert start(tmp_path, http_connect_timeout="3").keystone_authtoken.http_connect_timeout == 3


@pytest.mark.parametrize("option", [name for name in KEYSTONE if name != "auth_type"])
def test_an_option_that_is_missing_is_named(tmp_path: Path, option: str) -> None:
    (told,) = refusals(tmp_path, None, "", **{option: None})
    assert told.startswith(f"[keystone_authtoken] {option}: ")
    assert told.endswith("; write it as conf/pci-tracker.conf has it")


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    assert len(refusals(tmp_path, username=None, password=None, auth_url=None)) == 3


def test_a_way_to_sign_in_that_is_none_is_refused(tmp_path: Path) -> None:
    (told,) = refusals(tmp_path, auth_type=None)
    assert told.startswith("[keystone_authtoken] auth_type: it is missing")
    (told,) = refusals(tmp_path, auth_type="pasword")
    assert "pasword" in told


def test_a_value_of_the_wrong_type_is_refused_by_its_option(tmp_path: Path) -> None:
    (told,) = refusals(tmp_path, token_cache_time="long")
    assert "token_cache_time" in told


def test_remembering_in_memcached_takes_a_package_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "memcache", None)
    (told,) = refusals(tmp_path, memcached_servers="127.0.0.1:11211")
    assert told == (
        "[keystone_authtoken] memcached_servers: python-memcached isn't installed;"
        " run pip install '.[memcached]', or leave the option out"
    )


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (
            '"os-pci:indx": "role:admin"\n',
            "os-pci:indx = role:admin: nothing asks for a rule of this name; write os-pci",
        ),
        ('"os-pci:index": "role:admin or"\n', "os-pci:index = role:admin or: it is no rule; write NAME: RULE"),
        ('"os-pci:index": "role:admin or everybody"\n', "os-pci:index = role:admin or everybody: it is no rule"),
        ('"os-pci:index": "rule:admins"\n', "os-pci:index = rule:admins: there is no rule admins; name one"),
        ('"os-pci:index": "not rule:admins"\n', "there is no rule admins"),
        ('"os-pci:index": ["role:admin"]\n', "os-pci:index = ['role:admin']: a rule is text"),
        ('"os-pci:index": true\n', "os-pci:index = True: a rule is text"),
        ("os-pci:index\n", "it has no rules by name"),
        ("- role:admin\n", "it has no rules by name"),
        ('"os-pci:index": "role:admin\n', "it is no YAML"),
        ('"a": "rule:b"\n"b": "rule:a"\n', "rules ask one another in a circle"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_the_file_and_the_cure(
    tmp_path: Path, policy: str, told: str
) -> None:
    first = refusals(tmp_path, policy)[0]
    assert first.startswith("[oslo_policy] policy_file")
    assert told in first


def test_every_rule_that_cannot_be_used_is_told_at_once(tmp_path: Path) -> None:
    assert len(refusals(tmp_path, '"os-pci:indx": "role:admin"\n"os-pci:show": "nobody"\n')) == 2


def test_a_policy_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    (told,) = refusals(tmp_path, more="[oslo_policy]\npolicy_file = rules.yaml")
    assert told.startswith("[oslo_policy] policy_file = rules.yaml: there is no such file")
    (tmp_path / "rules.yaml").write_text('"os-pci:index": "role:reader"\n')
    start(tmp_path, more="[oslo_policy]\npolicy_file = rules.yaml")


def test_a_folder_of_policy_files_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "policy.d").mkdir()
    (tmp_path / "policy.d/more.yaml").write_text('"os-pci:indx": "role:admin"\n')
    (told,) = refusals(tmp_path, more=f"[oslo_policy]\npolicy_dirs = {tmp_path}/policy.d")
    assert told.startswith(f"[oslo_policy] policy_dirs: {tmp_path}/policy.d/more.yaml, os-pci:indx")
