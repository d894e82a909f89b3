"""The deployed API at an address of its own, as behind a custom domain: neither its id nor its stage in the path."""

from __future__ import annotations

from typing import Any, Protocol


class Endpoint(Protocol):
    """LocalStack's API Gateway, called with a request and where it goes."""

    def __call__(self, request: Any, **where: str) -> Any: ...


class Door:
    """`apis`: stages by the id of each REST API, as they are when somebody asks."""

    def __init__(self, endpoint: Endpoint, apis: Any, nothing_here: Any) -> None:
        self._endpoint = endpoint
        self._apis = apis
        self._nothing_here = nothing_here

    def __call__(self, request: Any, path: str = "") -> Any:
        deployed = [(api, stage) for api, stages in self._apis().items() for stage in stages]
        if len(deployed) != 1:
            return self._nothing_here(f"{len(deployed)} APIs are deployed, and this address is for one")
        ((api, stage),) = deployed
        # What LocalStack takes the path from; undecoded, as API Gateway hands it on.
        request.environ["RAW_URI"] = f"/{stage}{request.environ.get('RAW_URI') or request.path}"
        return self._endpoint(request, api_id=api, stage=stage, path=path)
