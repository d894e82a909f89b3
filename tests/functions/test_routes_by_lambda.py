"""The suite of `tests/http/test_routes.py`, through the `stream` function over S3 and DynamoDB."""

import pytest

from builders.lambda_door import suite_of

pytestmark = pytest.mark.usefixtures("lambda_backend")
globals().update(suite_of("http/test_routes.py"))
