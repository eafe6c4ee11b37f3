"""``[pci]``: which devices are offered; nova's group and option names."""

from oslo_config import cfg

GROUP = "pci"
OPTIONS = [
    cfg.MultiStrOpt(
        "device_spec",
        default=[],
        deprecated_opts=[
            cfg.DeprecatedOpt("passthrough_whitelist", group=GROUP),
            cfg.DeprecatedOpt("pci_passthrough_whitelist", group="DEFAULT"),
        ],
        help="""
The passthrough whitelist: which PCI devices are offered to guests, and under which tags. Without it
nothing is offered.

Each value is a JSON dict or a list of dicts. The option repeats; the first entry that matches a device
decides about it. All conditions of an entry must hold:

* vendor_id, product_id: 1 to 4 hex digits, as lspci -n shows them, or "*"
* address: as lspci -s takes it, "[[[[<domain>]:]<bus>]:][<slot>][.[<function>]]", where each field may
  be empty or "*"; or a dict of regular expressions, each for a whole field, as in
  {"domain": ".*", "bus": "0[ab]", "slot": "1.", "function": "[0-3]"}
* devname: a network interface's name, instead of an address

An address without wildcards, or a devname, that is an SR-IOV PF takes the PF's VFs along.

"exclude": true keeps what the entry matches from being offered. "allow_host_use": true offers it even where
the host itself uses it: without that a device with the host's default route, address, bridge, bond or disk on
it is shown as unavailable.

Every other key is a tag: devices that differ in a tag are different to who asks for one. nova's own tags have a
type: physical_network is text or null; managed, trusted, remote_managed, live_migratable and one_time_use are
true or false; resource_class and traits are kept for placement and asked for by nobody here.

To offer everything that a host has, say so: {"address": "*:*:*.*"}
""",
        sample_default=[
            '{"devname": "enp5s0f0", "product_id": "1520", "physical_network": "physnet2"}',
            '{"vendor_id": "8086", "product_id": "1520", "physical_network": "physnet1"}',
        ],
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTIONS, group=GROUP)
