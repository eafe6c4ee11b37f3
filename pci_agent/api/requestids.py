"""
A name for each request: ``X-Openstack-Request-Id`` in its answer, and in every line that is logged about it.

A name that the caller gave it is logged beside ours, so that one search finds a request in the logs of all services.
"""

import re

import falcon
from oslo_context.context import RequestContext

HEADER = "X-Openstack-Request-Id"
_NAME = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RequestIds:
    """A falcon middleware that names requests; oslo.log finds the name by the thread."""

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        """Name it."""
        told = request.get_header(HEADER)
        given = told if told is not None and _NAME.fullmatch(told) else None
        request.context.named = RequestContext(global_request_id=given)
        response.set_header(HEADER, request.context.named.request_id)
