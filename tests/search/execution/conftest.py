"""Lets pytest explain failed assertions of the executors' contract as it does those of test files."""

import pytest

pytest.register_assert_rewrite('tests.search.execution.executor_contract')
