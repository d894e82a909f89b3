"""The suite of `tests/streaming/test_damage.py`, through the `stream` function over S3 and DynamoDB."""

import pytest

from builders.lambda_door import suite_of

# What an object store would need a request more for (docs/decisions/0011).
LOCAL_ALONE = "test_a_files_own_header_is_checked_wherever_in_it_a_block_lies"

pytestmark = pytest.mark.usefixtures("lambda_backend")
globals().update({name: test for name, test in suite_of("streaming/test_damage.py").items() if name != LOCAL_ALONE})
