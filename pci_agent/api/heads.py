"""
Answers HEAD as GET, without the body: with the same headers, to the same callers, by the same rules.

For falcon it is a GET from when it came until its answer is there.
"""

import falcon


class Heads:
    """A falcon middleware that does so."""

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Have it served as GET."""
        request.context.head = request.method == "HEAD"
        if request.context.head:
            request.method = "GET"

    def process_response(
        self, request: falcon.Request, _response: falcon.Response, _resource: object, _served: bool
    ) -> None:
        """Have falcon leave the body out."""
        if request.context.head:
            request.method = "HEAD"
