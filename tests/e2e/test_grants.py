# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The rights that the READMEs of postgres and mysql ask for, run as they stand there: with them `dray check` passes and the
syncs run; without them it says which is missing, and tries all that does not hang on it."""

import re

import pytest

import harness
import mysql_server
import scene

PASSWORD = harness.CANARY_BEARER


@pytest.fixture(scope="module")
def maria():
    made = scene.started(mysql_server)
    yield made
    made.close()


def granted(plugin, *kinds):
    """The statements of the README's block, below the comments that begin with these words."""
    text = (harness.ROOT / "plugins" / plugin / "README.md").read_text()
    block = text.split("## Rights", 1)[1].split("```sql\n", 1)[1].split("```", 1)[0]
    parts = {title: body for title, body in re.findall(r"^-- (.*)\n((?:(?!-- ).*\n)*)", block, re.M)}
    picked = [body for kind in kinds for title, body in parts.items() if title.startswith(kind)]
    assert len(picked) == len(kinds) and all("GRANT" in body for body in picked), (kinds, list(parts))
    return "".join(picked)


MODELS, INGEST, THEIRS, DIFF = "models only", "ingest besides", "ingest into a table", "syncs of models with"


def configure(project, connection, syncs, models=""):
    project.environment["PASSWORD"] = PASSWORD
    project.config("connections:\n  wh: {" + connection + ", host: 127.0.0.1, database: analytics, sslmode: disable, "
                   "password: !secret env:PASSWORD}\n" +
                   ("  out: {plugin: file, path: out}\n" if models else "  files: {plugin: file, path: in}\n") + (f"models:\n  m: {{warehouse: wh, key: id, sql: \"{models}\"}}\n" if models else "") + f"syncs:\n{syncs}")
    project.write("in/t.csv", "id,v\n1,a\n2,b\n")


OUT = "  out: {from: {model: m}, to: {connection: out, object: o}%s}\n"


def into(place, mode="mirror"):
    return f"  t: {{from: {{connection: files, stream: t}}, to: {{connection: wh{place}}}, key: id, mode: {mode}}}\n"


def told(project, code):
    return {(line["role"], line["name"]): line for line in project.dray("check", "--json").expect(code).lines("check")}


# ---- PostgreSQL ----

def database(server, *kinds):
    """`analytics`, which is somebody else's, with a schema and a table, and what the README grants."""
    server.sql("DROP DATABASE IF EXISTS analytics WITH (FORCE)", "postgres")
    server.sql("CREATE DATABASE analytics; REVOKE ALL ON DATABASE analytics FROM PUBLIC", "postgres")
    server.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE TABLE raw (id int PRIMARY KEY, v text);"
               "INSERT INTO raw VALUES (1, 'a'); CREATE SCHEMA shop; CREATE SCHEMA closed; GRANT USAGE ON SCHEMA closed TO dray;"
               "CREATE TABLE shop.theirs (id bigint PRIMARY KEY, v text)", "analytics")
    grants = [line for kind in kinds for line in granted("postgres", kind).splitlines()]
    if INGEST in kinds:  # two blocks begin so: this is the one for schemas that are there
        assert any("ON SCHEMA shop" in line for line in grants)
    server.sql("\n".join(grants), "analytics")


POSTGRES = "plugin: postgres, user: dray, port: "
HERE = "ingest besides, into schemas that are there"


@pytest.mark.parametrize("kinds, syncs, more", [
    ((MODELS,), OUT % "", ", read_only: true"),
    ((MODELS, HERE), into(", schema: shop"), ""),
    ((MODELS, HERE), into(", schema: shop", "history"), ""),
    ((MODELS, HERE, THEIRS), into(", schema: shop, table: theirs"), ""),
    ((MODELS, DIFF), OUT % ", diff: warehouse", ""),
])
def test_postgres_is_content_with_what_its_readme_grants(project, postgres, kinds, syncs, more):
    database(postgres, *kinds)
    configure(project, f"{POSTGRES}{postgres.port}{more}", syncs, "SELECT * FROM public.raw" if "model" in syncs else "")
    for _ in range(2):
        assert all(line["ok"] for line in told(project, 0).values())
        project.sync(syncs.split(":")[0].strip())
        project.write("in/t.csv", "id,v\n1,a\n2,b2\n3,c\n")
        postgres.sql("UPDATE raw SET v = 'z'", "analytics")


def test_postgres_says_which_schema_takes_no_table(project, postgres):
    database(postgres, MODELS, HERE)
    configure(project, f"{POSTGRES}{postgres.port}", into(", schema: closed"))
    steps = told(project, 5)
    assert steps["warehouse", "create"]["ok"] and "shop" in steps["warehouse", "create"]["text"]
    assert not steps["sync", "create"]["ok"] and "ON SCHEMA \"closed\"" in steps["sync", "create"]["text"]
    postgres.sql("REVOKE CREATE ON SCHEMA shop FROM dray", "analytics")
    steps = told(project, 5)
    assert not steps["warehouse", "create"]["ok"] and steps["warehouse", "write"]["ok"]  # tried all the same
    assert postgres.value("SELECT count(*) FROM pg_class WHERE relname = '_dray_check'", "analytics") == "0"


# ---- MySQL ----

MARIA = "plugin: mysql, user: guest, port: "


def analytics(server, *kinds):
    server.sql("DROP DATABASE IF EXISTS analytics; DROP DATABASE IF EXISTS dray; DROP DATABASE IF EXISTS shop;"
               "CREATE DATABASE analytics; CREATE DATABASE shop; CREATE TABLE analytics.raw (id int PRIMARY KEY, v text);"
               "INSERT INTO analytics.raw VALUES (1, 'a'); DROP USER IF EXISTS guest;"
               f"CREATE USER guest@'%' IDENTIFIED BY {mysql_server.text(PASSWORD)}", "")
    server.sql("".join(granted("mysql", kind) for kind in kinds).replace("dray@'10.%'", "guest@'%'"), "")


@pytest.mark.parametrize("kinds, syncs, more", [
    ((MODELS,), OUT % "", ", read_only: true"),
    ((MODELS, "ingest besides: "), into(""), ""),
    ((MODELS, "ingest besides: "), into("", "history"), ""),
    ((MODELS, DIFF), OUT % ", diff: warehouse", ""),
])
def test_mysql_is_content_with_what_its_readme_grants(project, maria, kinds, syncs, more):
    analytics(maria, *kinds)
    configure(project, f"{MARIA}{maria.port}{more}", syncs, "SELECT * FROM raw" if "model" in syncs else "")
    for _ in range(2):
        assert all(line["ok"] for line in told(project, 0).values())
        project.sync(syncs.split(":")[0].strip())
        project.write("in/t.csv", "id,v\n1,a\n2,b2\n3,c\n")
        maria.sql("UPDATE raw SET v = 'z'", "analytics")
    assert maria.sql("SHOW TABLES LIKE '%check'", "analytics") == []


def test_mysql_says_which_database_takes_no_table(project, maria):
    analytics(maria, MODELS, DIFF)
    maria.sql("GRANT SELECT ON shop.* TO guest", "")
    configure(project, f"{MARIA}{maria.port}", into(", schema: shop"))
    steps = told(project, 5)
    assert steps["warehouse", "create"]["ok"] and "dray" in steps["warehouse", "create"]["text"]
    assert not steps["sync", "create"]["ok"] and "shop" in steps["sync", "create"]["text"]
    maria.sql("REVOKE CREATE ON dray.* FROM guest", "")
    steps = told(project, 5)
    assert not steps["warehouse", "create"]["ok"] and steps["warehouse", "write"]["ok"]  # tried all the same
