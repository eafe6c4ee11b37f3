"""What is generated or repeated stays in step with what it was made from."""

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from oslo_config import generator
from oslo_config.cfg import ConfigOpts
from oslo_policy import generator as policy_generator
from setuptools import find_packages
from sqlalchemy import Engine

from pci_agent.conf import agent_opts, tracker_opts
from pci_agent.tracker.tables import metadata

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("project", ["pci-agent", "pci-tracker"])
def test_the_sample_is_what_the_options_say(project: str, tmp_path: Path) -> None:
    made = tmp_path / "sample.conf"
    generator.main(["--namespace", project, "--wrap-width", "110", "--output-file", str(made)])
    assert made.read_text() == (ROOT / f"conf/{project}.conf").read_text(), "run tools/samples"


def test_the_sample_of_rules_is_what_they_say(tmp_path: Path) -> None:
    made = tmp_path / "policy.yaml"
    policy_generator.generate_sample(["--namespace", "pci-agent", "--output-file", str(made)], conf=ConfigOpts())
    assert made.read_text() == (ROOT / "conf/policy.yaml").read_text(), "run tools/samples"


@pytest.mark.parametrize("options", [agent_opts(), tracker_opts()])
def test_every_option_says_what_it_is_for(options: list[tuple[str, list[object]]]) -> None:
    assert all(getattr(option, "help", None) for _, group in options for option in group)


def test_the_migrations_lead_to_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("unit", ["pci-agent", "pci-tracker", "pci-api"])
def test_a_unit_notifies_has_a_watchdog_and_starts_a_program_of_ours(unit: str) -> None:
    text = (ROOT / f"systemd/{unit}.service").read_text()
    assert "Type=notify\n" in text
    assert "WatchdogSec=" in text
    assert "Restart=always" in text
    (program,) = re.findall(r"^ExecStart=/usr/bin/(\S+)", text, re.MULTILINE)
    assert f"    {program} = pci_agent.cmd." in (ROOT / "setup.cfg").read_text()


def test_every_folder_with_code_is_packaged() -> None:
    folders = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "pci_agent").rglob("*.py")}
    assert folders == {name.replace(".", "/") for name in find_packages(str(ROOT), include=["pci_agent*"])}
