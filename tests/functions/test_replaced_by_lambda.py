"""The suite of `tests/streaming/test_replaced.py`, through the `stream` function over S3 and DynamoDB."""

import pytest

from builders.lambda_door import suite_of

pytestmark = pytest.mark.usefixtures("lambda_backend")
globals().update(suite_of("streaming/test_replaced.py"))
