"""How a request is written in a message, and read from one."""

from pci_agent.model.device import DevType
from pci_agent.model.request import NumaPolicy, PciRequest, Spec
from pci_agent.wire.commands import AskedRecord, SpecRecord


def read(record: AskedRecord) -> PciRequest:
    """Read a request; which alias it came from didn't travel."""
    return PciRequest(
        request_id=record.request_id,
        count=record.count,
        specs=tuple(
            Spec(
                vendor_id=each.vendor_id,
                product_id=each.product_id,
                dev_type=None if each.dev_type is None else DevType(each.dev_type),
                tags=each.tags,
            )
            for each in record.specs
        ),
        numa_policy=NumaPolicy(record.numa_policy),
        for_port=record.for_port,
    )


def written(request: PciRequest) -> AskedRecord:
    """
    Write a request down.

    Raises:
        ValidationError: it asks for more than a message may hold.
    """
    return AskedRecord(
        request_id=request.request_id,
        count=request.count,
        specs=tuple(
            SpecRecord(
                vendor_id=spec.vendor_id,
                product_id=spec.product_id,
                dev_type=None if spec.dev_type is None else spec.dev_type.value,
                tags=dict(spec.tags),
            )
            for spec in request.specs
        ),
        numa_policy=request.numa_policy.value,
        for_port=request.for_port,
    )
