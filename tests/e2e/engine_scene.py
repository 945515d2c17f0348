# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What tests share that say of several engines the same: the engine that the test's parameter names, one a file, an empty database a
test, and an SQLite file to read from."""

import sqlite3

import pytest

import mysql_server
import postgres_server
import scene

SERVERS = {"mysql": mysql_server, "postgres": postgres_server}
HERE = pytest.mark.parametrize("engine", list(SERVERS), indirect=True)
MYSQL = pytest.mark.parametrize("engine", ["mysql"], indirect=True)
POSTGRES = pytest.mark.parametrize("engine", ["postgres"], indirect=True)


class File:
    """The engine that has no server."""
    plugin = "sqlite"

    def fresh(self):
        pass

    def close(self):
        pass


@pytest.fixture(scope="module")
def engine(request):
    made = scene.started(SERVERS[request.param]) if request.param in SERVERS else File()
    made.plugin = request.param
    yield made
    made.close()


@pytest.fixture
def server(engine):
    engine.fresh()
    return engine


@pytest.fixture
def source(project):
    connection = sqlite3.connect(project.folder / "src.db", isolation_level=None)
    yield connection
    connection.close()
