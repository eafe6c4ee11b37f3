"""
Keystone and the rules as they are configured.

What both need is looked at when the process starts, lest a mistake keep everybody from being let in.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from keystoneauth1 import loading
from keystoneauth1.exceptions import ClientException
from keystonemiddleware import auth_token
from oslo_config import cfg

from pci_agent.api import enforcing
from pci_agent.api.keystone import Keystone, Place
from pci_agent.api.serving import THREADS
from pci_agent.conf import authtoken
from pci_agent.errors import ConfigurationRefused, Refusal

_PATIENCE_S = 10  # who calls waits for it, and there are so many threads to serve others
_FREE_THREADS = 4  # serve those who needn't wait for keystone
_SAMPLE = "write it as conf/pci-tracker.conf has it"
_BY_PASSWORD = ("password", "v3password")
_NEEDED = (
    ("username", "user_id"),
    ("password",),
    ("user_domain_name", "user_domain_id", "default_domain_name", "default_domain_id", "user_id"),
    ("project_name", "project_id"),
    ("project_domain_name", "project_domain_id", "default_domain_name", "default_domain_id", "project_id"),
)


def keystone(conf: cfg.ConfigOpts) -> Keystone:
    """
    Give what knows callers.

    Raises:
        ConfigurationRefused: ``[keystone_authtoken]`` or a policy file can't be used.
    """
    rules = enforcing.read(conf)
    try:
        return Keystone(conf, _place(conf), rules.allow)
    except (ClientException, cfg.Error, auth_token.ConfigurationError, OSError, ValueError) as error:
        what = " ".join(str(error).split())
        raise ConfigurationRefused([_refusal(f"[{authtoken.GROUP}]", what, _SAMPLE)]) from None


def _place(conf: cfg.ConfigOpts) -> Place:
    for group, options in auth_token.list_opts():
        conf.register_opts(options, group=group)
    section = conf[authtoken.GROUP].auth_section or authtoken.GROUP
    conf.set_default("http_connect_timeout", _PATIENCE_S, group=authtoken.GROUP)
    conf.set_default("http_request_max_retries", 0, group=authtoken.GROUP)
    loading.register_auth_conf_options(conf, section)
    auth_type = conf[section].auth_type
    if auth_type is None:
        what = "it is missing, and nobody's token can be checked without"
        raise ConfigurationRefused([_refusal(f"[{section}] auth_type", what, "write password, and who the API is")])
    conf.register_opts(loading.get_auth_plugin_conf_options(auth_type), group=section)
    ours, who = conf[authtoken.GROUP], conf[section]
    refusals = list(_missing(ours, authtoken.GROUP, [("www_authenticate_uri",)]))
    refusals += _missing(who, section, [("auth_url",), *(_NEEDED if auth_type in _BY_PASSWORD else ())])
    if ours.memcached_servers and not ours.memcache_sasl_enabled and find_spec("memcache") is None:
        what, cure = "python-memcached isn't installed", "run pip install '.[memcached]', or leave the option out"
        refusals.append(_refusal(f"[{authtoken.GROUP}] memcached_servers", what, cure))
    if refusals:
        raise ConfigurationRefused(refusals)
    return Place(
        auth_url=who.auth_url,
        public_url=ours.www_authenticate_uri,
        verify=False if ours.insecure else ours.cafile or True,
        timeout_s=ours.http_connect_timeout,
        cached_s=ours.token_cache_time,
        most_waiting=THREADS - _FREE_THREADS,
    )


def _missing(group: Any, name: str, needed: Any) -> Iterator[Refusal]:
    for alternatives in needed:
        if not any(getattr(group, each, None) for each in alternatives):
            what = "auth_strategy = keystone needs it, and it is missing"
            yield _refusal(f"[{name}] {alternatives[0]}", what, _SAMPLE)


def _refusal(option: str, what: str, cure: str) -> Refusal:
    return Refusal(option=option, entry=None, key=None, value="", what=what, cure=cure)
