"""What went wrong at an AWS service, without importing botocore before something has."""

from __future__ import annotations


def service_error(error: Exception) -> str | None:
    """The service's error code (`ThrottlingException`), or botocore's own word where no answer came
    (`EndpointConnectionError`); None for an exception that has nothing to do with a service: let it rise."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "error"))
    if isinstance(error, BotoCoreError) and not isinstance(error, ParamValidationError):
        return type(error).__name__
    return None
