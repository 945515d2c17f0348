# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What is not on this machine: skipped here, failed where CI=true."""

import os

import pytest

import openapi


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef, request):
    outcome = yield
    problem = outcome.excinfo
    if problem and issubclass(problem[0], openapi.Missing):
        if os.environ.get("CI") == "true":
            pytest.fail(str(problem[1]))
        outcome.force_exception(pytest.skip.Exception(f"skipped: {problem[1]}"))
