"""What went wrong at an AWS service, without importing botocore before something has."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, TypeVar, overload

from zarrlink.errors import SourceUnavailable

T = TypeVar("T")
# What S3 answers where there is no object: to HEAD, which has no body to say it in, the status alone.
NO_OBJECT: Final = ("404", "NoSuchKey", "NotFound")


def service_error(error: Exception) -> str | None:
    """The service's error code (`ThrottlingException`), or botocore's own word where no answer came
    (`EndpointConnectionError`); None for an exception that has nothing to do with a service: let it rise."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "error"))
    if isinstance(error, BotoCoreError) and not isinstance(error, ParamValidationError):
        return type(error).__name__
    return None


@overload
def ask(request: Callable[[], T], *, service: str = "S3") -> T: ...
@overload
def ask(request: Callable[[], T], *, or_none: Collection[str], service: str = "S3") -> T | None: ...
def ask(request: Callable[[], T], *, or_none: Collection[str] = (), service: str = "S3") -> T | None:
    """What a service answers; None where that is one of the error codes `or_none`. Raises SourceUnavailable with the code."""
    try:
        return request()
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        if code in or_none:
            return None
        raise SourceUnavailable(f"{service} answered {code}") from error
