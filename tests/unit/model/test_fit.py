from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines import CARD, PF, VF0, VF1, vf
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType
from pci_agent.model.fit import ANYWHERE, Assignment, GuestNuma, NoFit, Undecided, fit
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.request import NumaPolicy, PciRequest, Spec, from_port
from pci_agent.model.state import Owner
from shares import examples

HELD = Owner(instance_uuid="6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11", allocated=True)
A_VF = Spec(vendor_id="8086", product_id="1520")
A_PF = Spec(vendor_id="8086", product_id="1521", dev_type=DevType.PF)


def tracked(device: Device, owner: Owner | None = None, **tags: str | None) -> TrackedDevice:
    return TrackedDevice(uuid=str(device.address), identity=str(device.address), device=device, tags=tags, owner=owner)


def asks(spec: Spec, count: int = 1, name: str = "r", policy: NumaPolicy = NumaPolicy.LEGACY) -> PciRequest:
    return PciRequest(request_id=name, count=count, specs=(spec,), numa_policy=policy)


def second_pf() -> tuple[Device, Device, Device]:
    pf = PF._replace(address=PciAddress.parse("0000:05:00.0"), iommu_group=50)
    vfs = [
        vf(index, f"0000:05:10.{index}")._replace(parent_addr=pf.address, iommu_group=51 + index) for index in range(2)
    ]
    return pf, vfs[0], vfs[1]


def given_to(answer: object, name: str = "r") -> list[str]:
    assert isinstance(answer, Assignment), answer
    return [str(item.device.address) for item in answer.devices[name]]


def refused(answer: object) -> NoFit:
    assert isinstance(answer, NoFit), answer
    return answer


ALL = [tracked(each) for each in (PF._replace(iommu_group=1), VF0, VF1, CARD._replace(iommu_group=2))]
FREE_VFS = [tracked(VF0._replace(iommu_group=11)), tracked(VF1._replace(iommu_group=12))]


# What is given


def test_a_vf_needs_no_type_and_a_pf_must_be_asked_for() -> None:
    assert given_to(fit(ALL, [asks(Spec(vendor_id="8086"))])) == ["0000:04:10.0"]
    assert given_to(fit(ALL, [asks(A_PF)])) == ["0000:04:00.0"]


def test_a_vdpa_device_and_a_remotely_managed_one_must_be_asked_for() -> None:
    vdpa = tracked(VF0._replace(dev_type=DevType.VDPA))
    remote = tracked(VF1, remote_managed="true")
    assert refused(fit([vdpa, remote], [asks(A_VF)])).shortages[0].left == (2, 0, 0, 0)
    assert given_to(fit([vdpa, remote], [asks(replace(A_VF, dev_type=DevType.VDPA))])) == ["0000:04:10.0"]
    assert given_to(fit([vdpa, remote], [asks(replace(A_VF, tags={"remote_managed": "true"}))])) == ["0000:04:10.4"]


def test_tags_are_asked_for_without_case_and_none_asks_for_a_device_without() -> None:
    here, nowhere = tracked(VF0, physical_network="PhysNet1"), tracked(VF1)
    for network, expected in (("physnet1", "0000:04:10.0"), (None, "0000:04:10.4")):
        assert given_to(fit([here, nowhere], [asks(replace(A_VF, tags={"physical_network": network}))])) == [expected]


def test_a_pool_that_names_no_network_and_one_that_says_none_are_alike_to_who_asks_for_none() -> None:
    said = tracked(VF0, physical_network=None)
    assert given_to(fit([said], [asks(replace(A_VF, tags={"physical_network": None}))])) == ["0000:04:10.0"]


def test_alternatives_serve_one_request_together() -> None:
    either = PciRequest(request_id="r", count=2, specs=(A_VF, Spec(vendor_id="10de")))
    assert given_to(fit([tracked(VF0), tracked(CARD)], [either])) == ["0000:04:10.0", "0000:81:00.0"]


def test_the_least_special_device_goes_first() -> None:
    plain, special = tracked(VF1), tracked(VF0, physical_network="physnet1", rack="7")
    assert given_to(fit([special, plain], [asks(A_VF)])) == ["0000:04:10.4"]


def test_vfs_of_a_pf_in_use_go_before_a_whole_pf_is_broken() -> None:
    pf, first, second = second_pf()
    whole = [tracked(PF._replace(iommu_group=1)), *FREE_VFS]
    in_parts = [tracked(pf), tracked(first, HELD), tracked(second)]
    assert given_to(fit([*whole, *in_parts], [asks(A_VF)])) == ["0000:05:10.1"]


def test_a_set_breaks_as_few_pfs_as_it_can() -> None:
    pf, first, second = second_pf()
    tagged = [tracked(each.device, rack="7") for each in FREE_VFS]
    inventory = [tracked(PF._replace(iommu_group=1)), *tagged, tracked(pf), tracked(first), tracked(second, rack="7")]
    answer = fit(inventory, [asks(A_VF, name="plain"), asks(replace(A_VF, tags={"rack": "7"}), name="tagged")])
    assert (given_to(answer, "plain"), given_to(answer, "tagged")) == (["0000:05:10.0"], ["0000:05:10.1"])


def test_the_order_of_the_inventory_does_not_matter() -> None:
    inventory = [*ALL, *map(tracked, second_pf())]
    requests = [asks(A_VF, 1), asks(A_PF, name="pf"), asks(Spec(vendor_id="10de"), name="card")]
    answers = [fit(order, requests) for order in (inventory, inventory[::-1], inventory[3:] + inventory[:3])]
    assert answers[0] == answers[1] == answers[2]


def test_many_unlike_requests_that_starve_one_another_are_all_told() -> None:
    pfs = []
    for number in range(32):
        pf = PF._replace(address=PciAddress(0, number, 0, 0), iommu_group=None, numa_node=number % 2)
        pfs.append(tracked(pf, rack=str(number % 4)))
    requests = [
        PciRequest(
            request_id=str(number),
            specs=(replace(A_PF, tags={"rack": str(number % 4)}),),
            numa_policy=list(NumaPolicy)[number % 3],
        )
        for number in range(64)
    ]
    told = refused(fit(pfs, requests, GuestNuma(frozenset({0})))).shortages
    assert 0 < sum(each.met for each in told) < 32
    assert all(each.met or each.starved_by or each.left[-1] == 0 for each in told)


# What excludes what


def test_a_pf_and_its_vf_are_not_given_together() -> None:
    told = refused(fit(ALL, [asks(A_PF, name="pf"), asks(A_VF, name="vf")])).shortages
    assert [(each.met, each.starved_by) for each in told] == [(True, ()), (False, ("pf",))]
    assert [each.left for each in told] == [(1, 1, 1, 1), (2, 2, 2, 2)]


def test_where_one_of_two_pfs_has_to_go_whole_the_other_serves_the_vfs() -> None:
    inventory = [*ALL, *map(tracked, second_pf())]
    answer = fit(inventory, [asks(A_VF, 2, "vfs"), asks(A_PF, name="pf")])
    assert given_to(answer, "pf")[0][:8] != given_to(answer, "vfs")[0][:8]


def test_a_pf_whose_vf_is_held_is_not_given_and_a_vf_of_a_held_pf_neither() -> None:
    assert refused(fit([ALL[0], tracked(VF0, HELD), ALL[2]], [asks(A_PF)])).shortages[0].left == (1, 1, 1, 0)
    assert refused(fit([tracked(PF, HELD), *FREE_VFS], [asks(A_VF)])).shortages[0].left == (2, 2, 2, 0)


def test_a_member_of_an_iommu_group_that_another_guest_holds_is_not_given() -> None:
    ours, theirs = tracked(VF0._replace(iommu_group=7)), tracked(CARD._replace(iommu_group=7), HELD)
    assert refused(fit([ours, theirs], [asks(A_VF)])).shortages[0].left == (1, 1, 1, 0)


def test_one_guest_may_get_several_members_of_a_group() -> None:
    group = [tracked(VF0._replace(iommu_group=7)), tracked(VF1._replace(iommu_group=7))]
    assert len(given_to(fit(group, [asks(A_VF, 2)]))) == 2


def test_what_the_host_uses_is_not_given() -> None:
    used = replace(ALL[1], host_use=("the default route goes through enp4s0f0v0",))
    assert given_to(fit([used, ALL[2]], [asks(A_VF)])) == ["0000:04:10.4"]


# NUMA


def at(*nodes: int | None) -> list[TrackedDevice]:
    """One VF a node, of a PF each."""
    return [
        tracked(vf(0, f"0000:0{place}:10.0")._replace(parent_addr=None, numa_node=node, iommu_group=place))
        for place, node in enumerate(nodes, 1)
    ]


SOCKETS: dict[int, int | None] = {0: 0, 1: 0, 2: 1, 3: 1}


@pytest.mark.parametrize(
    ("policy", "passed"),
    [
        (NumaPolicy.REQUIRED, ["0000:01:10.0"]),
        (NumaPolicy.LEGACY, ["0000:01:10.0", "0000:03:10.0"]),
        (NumaPolicy.SOCKET, ["0000:01:10.0", "0000:02:10.0"]),
        (NumaPolicy.PREFERRED, ["0000:01:10.0", "0000:03:10.0", "0000:02:10.0", "0000:04:10.0"]),
    ],
)
def test_a_policy_says_how_far_and_the_nearest_goes_first(policy: NumaPolicy, passed: list[str]) -> None:
    devices, numa = at(0, 1, None, 2), GuestNuma(frozenset({0}), SOCKETS)
    for count in range(1, len(passed) + 1):
        assert given_to(fit(devices, [asks(A_VF, count, policy=policy)], numa)) == sorted(passed[:count])
    refused(fit(devices, [asks(A_VF, len(passed) + 1, policy=policy)], numa))


def test_a_guest_without_known_cells_may_get_any_node() -> None:
    assert len(given_to(fit(at(0, 1, None), [asks(A_VF, 3, policy=NumaPolicy.REQUIRED)]))) == 3


def test_without_every_nodes_socket_the_socket_policy_takes_exact_nodes_alone() -> None:
    numa = GuestNuma(frozenset({0}), {0: 0, 1: 0, 2: None})
    refused(fit(at(1), [asks(A_VF, policy=NumaPolicy.SOCKET)], numa))
    assert given_to(fit(at(0), [asks(A_VF, policy=NumaPolicy.SOCKET)], numa)) == ["0000:01:10.0"]


# Its no


def test_a_refusal_says_how_many_devices_each_filter_left() -> None:
    devices = [*at(0, 1), *ALL]
    (told,) = refused(
        fit(devices, [asks(Spec(vendor_id="8086"), 2, policy=NumaPolicy.REQUIRED)], GuestNuma(frozenset({7})))
    ).shortages
    assert told.left == (5, 4, 0, 0)
    assert str(told) == ("request r: not met; asks for 2, devices left by each filter: spec 5, type 4, numa 0, free 0")


def test_the_one_that_starves_is_named_and_the_bystander_is_not() -> None:
    card, more = asks(Spec(vendor_id="10de"), name="card"), asks(A_VF, 2, "greedy")
    told = refused(fit(ALL, [card, more, asks(A_VF, name="late")])).shortages
    assert [(each.request_id, each.met, each.starved_by) for each in told] == [
        ("card", True, ()),
        ("greedy", True, ()),
        ("late", False, ("greedy",)),
    ]


def test_a_set_beyond_the_bound_is_undecided_and_not_refused() -> None:
    assert isinstance(fit(ALL, [asks(A_VF, 65)]), Undecided)
    assert isinstance(fit(ALL, [asks(A_VF, 64)]), NoFit)


def test_many_pfs_of_many_kinds_are_decided() -> None:
    inventory = []
    for number in range(16):
        pf = PF._replace(address=PciAddress(0, 16 + number, 0, 0), iommu_group=None)
        vfs = [
            VF0._replace(address=PciAddress(0, 16 + number, 16, index), parent_addr=pf.address, iommu_group=None)
            for index in range(1 + number % 8)
        ]
        inventory += [tracked(each, rack=str(number % 8)) for each in (pf, *vfs)]
    some = [asks(A_PF, 4, "pfs"), asks(A_VF, 60, "vfs")]
    assert isinstance(fit(inventory, some), Assignment)
    tight = [asks(A_PF, 12, "pfs"), asks(A_VF, 30, "vfs")]
    assert isinstance(fit(inventory, tight), Assignment)
    assert isinstance(fit(inventory, [asks(A_PF, 12, "pfs"), asks(A_VF, 31, "vfs")]), NoFit)


# Against trying everything

POLICIES = st.sampled_from(list(NumaPolicy))
NODES = st.sampled_from([0, 1, 2, None])
TAGS = st.dictionaries(st.sampled_from(["rack", "physical_network"]), st.sampled_from(["a", "B", None]), max_size=2)


@st.composite
def inventories(draw: st.DrawFn) -> list[TrackedDevice]:
    """Up to two PFs with up to two VFs each, and up to two cards; some held, some sharing an IOMMU group."""
    devices: list[Device] = []
    for number in range(draw(st.integers(0, 2))):
        node = draw(NODES)
        pf = PF._replace(address=PciAddress(0, 4 + number, 0, 0), numa_node=node)
        devices.append(pf)
        devices += [
            VF0._replace(address=PciAddress(0, 4 + number, 16, index), parent_addr=pf.address, numa_node=node)
            for index in range(draw(st.integers(0, 2)))
        ]
    devices += [
        CARD._replace(address=PciAddress(0, 0x81 + number, 0, 0), vendor_id="8086", numa_node=draw(NODES))
        for number in range(draw(st.integers(0, 2)))
    ]
    tags: dict[str, str | None] = draw(TAGS)
    return [
        TrackedDevice(
            uuid=str(device.address),
            identity=str(device.address),
            device=device._replace(iommu_group=draw(st.sampled_from([None, 1, 2]))),
            tags=draw(st.just(tags) | TAGS),
            owner=draw(st.sampled_from([None] * 5 + [HELD])),
            host_use=draw(st.sampled_from([()] * 5 + [("it is the boot display",)])),
            present=draw(st.sampled_from([True] * 9 + [False])),
        )
        for device in devices
        if draw(st.sampled_from([True] * 5 + [False]))
    ]


SPECS = st.builds(
    Spec,
    product_id=st.sampled_from([None, "1520", "1521"]),
    dev_type=st.sampled_from([None, None, DevType.PF, DevType.VF, DevType.PCI]),
    tags=st.just({}) | TAGS,
)


@st.composite
def request_sets(draw: st.DrawFn) -> list[PciRequest]:
    return [
        PciRequest(
            request_id=str(number),
            count=draw(st.integers(1, 2)),
            specs=tuple(draw(st.lists(SPECS, min_size=1, max_size=2))),
            numa_policy=draw(POLICIES),
            for_port=draw(st.booleans()),
        )
        for number in range(draw(st.integers(1, 3)))
    ]


def serves(item: TrackedDevice, request: PciRequest, numa: GuestNuma) -> bool:
    """Whether a device serves a request for itself: the rules once more, in the words of the design."""
    device, node = item.device, item.device.numa_node
    nearby = {
        each for each, socket in numa.sockets.items() if socket in {numa.sockets.get(cell) for cell in numa.cells}
    }
    allowed = {
        NumaPolicy.REQUIRED: node in numa.cells,
        NumaPolicy.LEGACY: node in numa.cells or node is None,
        NumaPolicy.SOCKET: node in numa.cells or node in nearby,
        NumaPolicy.PREFERRED: True,
    }[request.numa_policy]

    def tag(tags: object, name: str) -> str:
        assert isinstance(tags, dict)
        return (tags.get(name) or "").lower()

    fits_spec = any(
        spec.product_id in (None, device.product_id)
        and spec.dev_type in (None, device.dev_type)
        and all(tag(item.tags, name) == tag(spec.tags, name) for name in spec.tags)
        for spec in request.specs
    )
    wanted = device.dev_type is not DevType.PF or any(spec.dev_type is DevType.PF for spec in request.specs)
    network = not request.for_port or device.class_code[:2] == "02"
    return fits_spec and wanted and network and (not numa.cells or allowed)


def free_by_itself(item: TrackedDevice) -> bool:
    return item.present and item.listed and item.owner is None and not item.host_use


def possible(items: Sequence[TrackedDevice], requests: Sequence[PciRequest], numa: GuestNuma) -> bool:
    """Try every way to give devices."""
    held = [item.device for item in items if item.owner]
    free = [
        item
        for item in items
        if free_by_itself(item)
        and not any(
            each.parent_addr == item.device.address
            or each.address == item.device.parent_addr
            or (each.iommu_group is not None and each.iommu_group == item.device.iommu_group)
            for each in held
        )
    ]
    slots = [request for request in requests for _ in range(request.count)]
    return any(
        all(serves(item, slot, numa) for item, slot in zip(chosen, slots, strict=True)) and not _clash(chosen)
        for chosen in permutations(free, len(slots))
    )


def _clash(chosen: Sequence[TrackedDevice]) -> bool:
    addresses = {item.device.address for item in chosen}
    return any(item.device.parent_addr in addresses for item in chosen)


def check(items: list[TrackedDevice], requests: list[PciRequest], numa: GuestNuma) -> None:
    answer = fit(items, requests, numa)
    if isinstance(answer, Assignment):
        chosen = [item for request in requests for item in answer.devices[request.request_id]]
        slots = [request for request in requests for _ in range(request.count)]
        assert len({item.uuid for item in chosen}) == len(chosen) == len(slots)
        assert all(free_by_itself(item) for item in chosen)
        assert all(serves(item, slot, numa) for item, slot in zip(chosen, slots, strict=True))
        assert not _clash(chosen)
    else:
        assert isinstance(answer, NoFit)
    assert isinstance(answer, Assignment) == possible(items, requests, numa)


NUMAS = st.sampled_from([ANYWHERE, GuestNuma(frozenset({0}), SOCKETS), GuestNuma(frozenset({1, 2}), SOCKETS)])


@examples(1500, long=50_000)
@given(inventories(), request_sets(), NUMAS)
def test_an_assignment_is_found_exactly_where_trying_everything_finds_one(
    items: list[TrackedDevice], requests: list[PciRequest], numa: GuestNuma
) -> None:
    check(items, requests, numa)


@examples(300, long=10_000)
@given(inventories(), request_sets(), NUMAS)
def test_who_is_said_to_starve_another_does(
    items: list[TrackedDevice], requests: list[PciRequest], numa: GuestNuma
) -> None:
    answer = fit(items, requests, numa)
    if not isinstance(answer, NoFit):
        return
    by_id = {request.request_id: request for request in requests}
    met = [each.request_id for each in answer.shortages if each.met]
    assert possible(items, [by_id[name] for name in met], numa)
    for each in answer.shortages:
        rivals = [by_id[name] for name in each.starved_by]
        assert set(each.starved_by) <= set(met)
        assert each.met or not possible(items, [*rivals, by_id[each.request_id]], numa)
        for rival in rivals:
            assert possible(items, [*(other for other in rivals if other is not rival), by_id[each.request_id]], numa)


def test_a_ports_request_takes_functions_of_network_class_alone() -> None:
    accelerator = tracked(VF0._replace(class_code="0b4000"))
    port = from_port("direct", None, request_id="r")
    assert port is not None
    refused(fit([accelerator], [port]))
    assert given_to(fit([accelerator, tracked(VF1)], [port])) == ["0000:04:10.4"]
