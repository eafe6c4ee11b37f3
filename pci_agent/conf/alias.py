"""``[pci] alias``: names for kinds of devices, as flavors use them; nova's option."""

from oslo_config import cfg

GROUP = "pci"
OPTIONS = [
    cfg.MultiStrOpt(
        "alias",
        default=[],
        deprecated_opts=[cfg.DeprecatedOpt("pci_alias", group="DEFAULT")],
        help="""
Names for kinds of devices, which flavors ask for with pci_passthrough:alias = "a1:2,b1:1". Agents need none.

Each value is a JSON dict; the option repeats, and a name that stands several times has alternatives:

* name: what flavors write
* vendor_id, product_id: as in device_spec
* device_type: type-PCI, type-VF or type-PF; a PF must be asked for by its type, a VF needn't be
* numa_policy: required, legacy (the default), preferred or socket; alternatives have one policy

Every other key is a tag that the device must have, such as physical_network.
""",
        sample_default=['{"name": "a1", "vendor_id": "8086", "product_id": "154d", "device_type": "type-PF"}'],
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTIONS, group=GROUP)
