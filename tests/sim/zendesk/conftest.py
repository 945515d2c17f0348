# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A running simulator: `zendesk` for one test, `start(...)` with other options, `kept` for all that only ask."""

import pathlib

import pytest

from server.running import Running

SERVER = pathlib.Path(__file__).with_name("server.py")
NOW = "2026-11-20T08:00:00Z"


class Zendesk(Running):
    """get, post, put, delete take a path below /api/v2 and go with the account's access token."""

    def __init__(self, *arguments, ledger=None):
        super().__init__(SERVER, "--now", NOW, *arguments, ledger=ledger)
        self.token = self.hello["access_token"]

    def ask(self, method, path, body=None, token=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers.setdefault("Authorization", f"Bearer {token or self.token}")
        return self.request(method, path if path.startswith("/oauth") else "/api/v2/" + path, body, headers)

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body, **more):
        return self.ask("POST", path, body, **more)

    def put(self, path, body=None, **more):
        return self.ask("PUT", path, body, **more)

    def delete(self, path, body=None, **more):
        return self.ask("DELETE", path, body, **more)

    def settings(self, **order):
        return self.sim("POST", "settings", order)

    def oauth(self, **body):
        """What is None is not sent."""
        body = {"client_id": self.hello["client_id"], "client_secret": self.hello["client_secret"], **body}
        return self.request("POST", "/oauth/tokens", {name: value for name, value in body.items() if value is not None})

    def follow(self, reply):
        """The page that a link of an answer names."""
        return self.request("GET", reply.removeprefix(self.url), None, {"Authorization": f"Bearer {self.token}"})

    def job(self, reply):
        """The job of an answer, done."""
        assert reply.status == 200, reply
        number = reply.json()["job_status"]["id"]
        self.advance(5)
        return self.get("job_statuses/" + number).json()["job_status"]

    def row(self, table, number):
        return next(row for row in self.state(f"?tables={table}")[table] if row["id"] == number)


@pytest.fixture
def start(tmp_path):
    running = []

    def make(*arguments):
        running.append(Zendesk("--export-limit", 0, "--users", 60, "--tickets", 60, *arguments,
                               ledger=tmp_path / f"ledger{len(running)}"))
        return running[-1]

    yield make
    defects = [one.calls()["defects"] for one in running]
    for one in running:
        one.stop()
    assert defects == [[] for _ in running]


@pytest.fixture
def zendesk(start):
    return start()


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """One for all tests that change nothing in it."""
    with Zendesk("--export-limit", 0, "--users", 60, "--tickets", 60, ledger=tmp_path_factory.mktemp("kept") / "ledger") as running:
        before = running.state()
        yield running
        assert running.state() == before and running.calls()["defects"] == []
