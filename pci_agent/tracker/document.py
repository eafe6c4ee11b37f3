"""
A device's facts as REST v3 shows them in full, made once where its row is written: a list then only joins texts.

The text begins with the hash of the record that it was made from. Where a row has another hash, somebody wrote the row
who doesn't know of documents, such as a tracker of an earlier version; then the document is made from the row.
"""

from collections.abc import Mapping
from typing import Any

import orjson

MEMBERS = slice(33, -1)
"""Where a document's members stand: behind the 32 digits of the hash and the first brace, before the last."""

_AS_THEY_ARE = (
    "uuid",
    "address",
    "vendor_id",
    "product_id",
    "status",
    "status_reason",
    "dev_id",
    "dev_type",
    "parent_addr",
    "numa_node",
    "tags",
    "request_id",
    "label",
)


def written(facts: Mapping[Any, Any]) -> str:
    """Write the document of a record, or of a row: its hash, then one JSON object."""
    document = {name: facts[name] for name in _AS_THEY_ARE}
    document["extra_info"] = with_tags(facts["extra_info"], facts["tags"])
    document["server_uuid"] = facts["instance_uuid"]
    return f"{facts['hash']}{orjson.dumps(document).decode()}"


def with_tags(extra_info: Mapping[str, str], tags: Mapping[str, str | None]) -> dict[str, str]:
    """Give a device's facts and tags as the seeds show them: one dict of strings; a tag with no value is left out."""
    return {**extra_info, **{name: value for name, value in tags.items() if value is not None}}
