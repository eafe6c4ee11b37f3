"""
The rules in force: ours, and over them those of the operator's policy file, which is read once, at start.

A rule that can't be read is refused there with all others, where oslo.policy would let nobody pass and go on.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy.policy import Enforcer, InvalidDefinitionError, RuleCheck, RuleDefault, parse_file_contents

from pci_agent.api.policies import rules
from pci_agent.errors import ConfigurationRefused, Refusal

_FILE, _FOLDERS = "[oslo_policy] policy_file", "[oslo_policy] policy_dirs"
_NEVER = "!"


class Rules:
    """
    What rules say.

    Args:
        enforcer: has them all
    """

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    def allow(self, who: Mapping[str, Any], rule: str, target: Mapping[str, str]) -> bool:
        """Tell whether a rule lets somebody, as oslo.policy describes them, do something to a target."""
        return bool(self._enforcer.authorize(rule, dict(target), dict(who)))


def read(conf: cfg.ConfigOpts) -> Rules:
    """
    Read the rules in force.

    Raises:
        ConfigurationRefused: a policy file isn't there, can't be read, or has rules that can't be used.
    """
    enforcer = Enforcer(conf)
    enforcer.register_defaults(rules())
    files = [_Written(option, path) for option, path in _files(conf)]
    known = {each.name for each in rules()}.union(*(file.rules for file in files))
    asked = {name for file in files for text in file.rules.values() for name in _asked(_check("", text))}
    refusals = [each for file in files for each in file.refused(known, asked)]
    if not refusals:
        refusals += _cycles(enforcer)
    if refusals:
        raise ConfigurationRefused(refusals)
    enforcer.use_conf = False
    return Rules(enforcer)


class _Written:
    """The rules that one file has."""

    def __init__(self, option: str, path: Path) -> None:
        self.where = f"{option}: {path}"
        self.rules: dict[str, str] = {}
        self._refusals: list[Refusal] = []
        try:
            found = parse_file_contents(path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            self._refuse(None, "", f"it can't be read ({error})", "let the user that pci-api runs as read it")
            return
        except ValueError as error:
            self._refuse(None, "", f"it is no YAML ({' '.join(str(error).split())})", _EXAMPLE)
            return
        if not isinstance(found, dict):
            self._refuse(None, "", "it has no rules by name", _EXAMPLE)
            return
        for name, text in found.items():
            if isinstance(text, str):
                self.rules[str(name)] = text
            else:
                self._refuse(str(name), repr(text), "a rule is text", _EXAMPLE)

    def refused(self, known: Iterable[str], asked: Iterable[str]) -> list[Refusal]:
        """Tell what is wrong, given the names that there are and those that rules ask for."""
        ours = {each.name for each in rules()}
        for name, text in self.rules.items():
            if name not in ours and name not in asked:
                near = difflib.get_close_matches(name, ours, 1)
                cure = f"write {near[0]}" if near else "take it out; conf/policy.yaml lists those that there are"
                self._refuse(name, text, "nothing asks for a rule of this name", cure)
            check = _check(name, text)
            meant = sum(word.strip("()") == _NEVER for word in text.split())
            if sum(leaf == _NEVER for leaf in _leaves(check)) > meant:
                self._refuse(name, text, "it is no rule", _EXAMPLE)
            for missing in sorted(_asked(check) - set(known)):
                self._refuse(name, text, f"there is no rule {missing}", "name one that there is, or write it too")
        return self._refusals

    def _refuse(self, name: str | None, text: str, what: str, cure: str) -> None:
        option = self.where if name is None else f"{self.where}, {name}"
        self._refusals.append(Refusal(option=option, entry=None, key=None, value=text, what=what, cure=cure))


_EXAMPLE = 'write NAME: RULE, as in "os-pci:index": "role:admin or role:reader"; conf/policy.yaml has them all'


def _files(conf: cfg.ConfigOpts) -> Iterator[tuple[str, Path]]:
    """List the files that the enforcer reads; a default that isn't there is none."""
    name = conf.oslo_policy.policy_file
    path = conf.find_file(name)
    located = conf.get_location("policy_file", "oslo_policy")
    if path is not None:
        yield _FILE, Path(path)
    elif located is not None and located.location is not cfg.Locations.opt_default:
        what, cure = "there is no such file beside the configuration", "write one, or leave the option out"
        raise ConfigurationRefused([Refusal(option=_FILE, entry=None, key=None, value=name, what=what, cure=cure)])
    for each in conf.oslo_policy.policy_dirs:
        folder = conf.find_file(each)
        if folder is not None:
            for file in sorted(Path(folder).iterdir()):
                if not file.name.startswith("."):
                    yield _FOLDERS, file


def _cycles(enforcer: Enforcer) -> Iterator[Refusal]:
    enforcer.load_rules()
    try:
        enforcer.check_rules(raise_on_violation=True)
    except InvalidDefinitionError as error:
        what, cure = f"rules ask one another in a circle ({error})", "let one of them name roles or projects"
        yield Refusal(option=_FILE, entry=None, key=None, value="", what=what, cure=cure)


def _check(name: str, text: str) -> Any:
    return RuleDefault(name, text).check


def _leaves(check: Any) -> Iterator[str]:
    below = getattr(check, "rules", None) or [each for each in (getattr(check, "rule", None),) if each is not None]
    if not below:
        yield str(check)
    for each in below:
        yield from _leaves(each)


def _asked(check: Any) -> set[str]:
    """Name the rules that a rule asks."""
    below = getattr(check, "rules", None) or [each for each in (getattr(check, "rule", None),) if each is not None]
    own = {check.match} if isinstance(check, RuleCheck) else set()
    return own.union(*(_asked(each) for each in below))
