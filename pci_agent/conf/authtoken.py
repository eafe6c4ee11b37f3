"""
``[keystone_authtoken]`` and ``[oslo_policy]``: options of libraries that read them by themselves.

Here are those that an operator sets, for the sample; the libraries know more. They are imported only where they are
asked for, which an agent never does.
"""

from oslo_config import cfg

GROUP = "keystone_authtoken"
POLICY_GROUP = "oslo_policy"

_MIDDLEWARES = {
    "www_authenticate_uri": "https://keystone.example:5000",
    "cafile": None,
    "http_connect_timeout": "10",
    "memcached_servers": "localhost:11211",
    "token_cache_time": None,
    "interface": None,
    "region_name": None,
}
_PLUGINS = {
    "auth_url": "https://keystone.example:5000",
    "username": "pci",
    "password": "secret",
    "project_name": "service",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
}


def options() -> list[cfg.Opt]:
    """List what says where keystone is and who we are there."""
    from keystoneauth1 import loading  # noqa: PLC0415 - see above
    from keystonemiddleware.auth_token import list_opts  # noqa: PLC0415 - see above

    middlewares = {option.dest: option for _, group in list_opts() for option in group}
    plugins = {option.dest: option for option in loading.get_auth_plugin_conf_options("password")}
    found = [_sampled(middlewares[name], value) for name, value in _MIDDLEWARES.items()]
    auth_type = _sampled(middlewares["auth_type"], "password")
    return [found[0], auth_type, *(_sampled(plugins[name], value) for name, value in _PLUGINS.items()), *found[1:]]


def policy_options() -> list[cfg.Opt]:
    """List what says where rules are that aren't the default ones."""
    from oslo_policy.opts import list_opts  # noqa: PLC0415 - see above

    known = {option.dest: option for _, group in list_opts() for option in group}
    return [known["policy_file"], known["policy_dirs"]]


def _sampled(option: cfg.Opt, value: str | None) -> cfg.Opt:
    if value is not None:
        option.sample_default = value
    return option
