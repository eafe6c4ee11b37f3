"""docs/cli.md has every command, and both programs have the same ones."""

from pages.cli import PAGE, ROOT, commands, reference
from setuptools.config.setupcfg import read_configuration


def test_the_reference_is_what_the_commands_say() -> None:
    assert reference() in PAGE.read_text(), "run tools/samples"


def test_openstack_has_the_commands_that_pcictl_has() -> None:
    listed = read_configuration(ROOT / "setup.cfg")["options"]["entry_points"]["openstack.pci.v3"]
    pairs = (line.split(" = ") for line in listed)
    assert {name.replace("_", " "): where for name, where in pairs} == {
        f"pci {words}": where for words, where in commands().items()
    }


def test_every_command_says_what_it_takes() -> None:
    assert "| None |" not in reference()
