"""
Who may do what, unless the operator's policy file says otherwise: one rule a route, called as the route is.

The fleet is its administrators'; who holds devices of it may see their own servers, and services that place instances
may have devices given out. A rule's name never changes once it is out.
"""

from collections.abc import Iterator

from oslo_policy.policy import DocumentedRuleDefault, Operation, RuleDefault

from pci_agent.api.access import ALL_SERVERS, FOR_OTHERS, METRICS

_ADMIN, _OWNER = "rule:admin", "rule:admin or rule:owner"
_PLACING = "rule:admin or rule:service"
_SCOPES = ["system", "project"]
_PREFIXES = ("/v3", "/v2/{tenant_id}")
_DEVICE, _INSTANCE = "/os-pci/{pci_device_id}", "/os-pci/allocations/{instance_uuid}"
_HOST, _WHITELIST = "/os-hypervisors/{hypervisor_hostname}", "/os-pci-whitelist/{hypervisor_hostname}"

_WORDS = (
    RuleDefault("admin", "role:admin", "Who runs the fleet."),
    RuleDefault("service", "role:service", "Services that place instances and have devices given to them."),
    RuleDefault("owner", "project_id:%(project_id)s", "Whoever acts in the project that an instance belongs to."),
)
_ROUTES = (
    ("os-pci:index", "GET", "/os-pci", _ADMIN, "List devices."),
    ("os-pci:detail", "GET", "/os-pci/detail", _ADMIN, "List devices with all that is known of each."),
    ("os-pci:show", "GET", _DEVICE, _ADMIN, "Show a device."),
    ("os-pci:history", "GET", f"{_DEVICE}/history", _ADMIN, "Show what became of a device."),
    ("os-pci:explain", "GET", f"{_DEVICE}/explain", _ADMIN, "Ask a host why a device is offered or not."),
    ("os-pci:disable", "POST", f"{_DEVICE}/disable", _ADMIN, "Keep a device from being given."),
    ("os-pci:enable", "POST", f"{_DEVICE}/enable", _ADMIN, "Take that back."),
    ("os-pci:candidates", "POST", "/os-pci/candidates", _PLACING, "Find hosts that could serve requests."),
    ("os-pci-allocations:show", "GET", _INSTANCE, _PLACING, "Show how an instance's requests stand."),
    ("os-pci-allocations:claim", "PUT", _INSTANCE, _PLACING, "Claim devices for an instance."),
    ("os-pci-allocations:free", "DELETE", _INSTANCE, _PLACING, "Take back what an instance has."),
    ("os-pci-allocations:confirm", "POST", f"{_INSTANCE}/confirm", _PLACING, "Allocate what was claimed."),
    ("os-pci-whitelist:show", "GET", _WHITELIST, _ADMIN, "Show the whitelist in force on a host."),
    ("os-pci-whitelist:plan", "POST", f"{_WHITELIST}/plan", _ADMIN, "Ask what another whitelist would change there."),
    ("os-hypervisors:index", "GET", "/os-hypervisors", _ADMIN, "List hosts."),
    ("os-hypervisors:detail", "GET", "/os-hypervisors/detail", _ADMIN, "List hosts with how their agents fare."),
    ("os-hypervisors:show", "GET", _HOST, _ADMIN, "Show a host."),
    ("servers:detail", "GET", "/servers/detail", _OWNER, "List the instances of one's own project that hold devices."),
    ("servers:show", "GET", "/servers/{server_id}", _OWNER, "Show which devices an instance holds."),
)
_BESIDE = (
    (ALL_SERVERS, "GET", "/servers/detail", _ADMIN, "List the instances of every project."),
    (FOR_OTHERS, "PUT", _INSTANCE, _PLACING, "Claim for an instance of another project or user than one's own."),
)


def rules() -> list[RuleDefault]:
    """List every rule, as oslo.policy has them."""
    return [*_WORDS, *_of_routes()]


def _of_routes() -> Iterator[RuleDefault]:
    for name, method, path, check, what in (*_ROUTES, *_BESIDE):
        operations: list[Operation] = [{"method": method, "path": f"{prefix}{path}"} for prefix in _PREFIXES]
        yield DocumentedRuleDefault(name, check, what, operations, scope_types=_SCOPES)
    watching: list[Operation] = [{"method": "GET", "path": "/metrics"}]
    yield DocumentedRuleDefault(METRICS, _ADMIN, "Read what Prometheus reads.", watching, scope_types=_SCOPES)
