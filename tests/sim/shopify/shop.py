# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""For tests: the simulated shop started as a program, asked by GraphQL."""

import http.client
import json
import os
import pathlib
import shutil
import ssl
import sys
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from server.running import Running, traffic_path  # noqa: E402

SCRIPT = HERE / "server.js"
NOW = "2026-11-20T08:00:00Z"
TOKEN = "shpat_dray_static"
PATH = "/admin/api/2026-10/graphql.json"
MODULES = HERE.parents[2] / "build" / "npm" / "node_modules"


def missing():
    """What this machine lacks to run the simulator, or None."""
    shared = pathlib.Path(os.environ.get("DRAY_SHARED") or HERE.parents[3] / "shared")
    if not shutil.which("node"):
        return "node is not installed"
    if not (shared / "specs" / "shopify").is_dir():
        return f"no Shopify schema in {shared} (DRAY_SHARED)"
    if not (MODULES / "graphql").is_dir():
        return f"no graphql package in {MODULES} (tests/contract/install)"
    os.environ.setdefault("NODE_PATH", str(MODULES))
    return None


class Shop(Running):
    """A running simulator; `token` is what requests carry."""

    def __init__(self, *arguments, ledger=None):
        super().__init__(SCRIPT, "--now", NOW, *arguments, ledger=ledger)
        self.token = TOKEN

    def reset(self, *arguments, ledger=None):
        """Everything anew with these arguments, as if it had been started with them (but for ports and TLS)."""
        self.keep_ledger()
        self.traffic = traffic_path(SCRIPT)
        ledger = ledger or self.traffic
        more = ["--ledger", str(ledger)] if ledger else []
        self.ledger_path, self.token = pathlib.Path(ledger) if ledger else None, TOKEN
        self.sim("POST", "reset", {"arguments": ["--now", NOW, *more, *map(str, arguments)]})
        return self

    def post(self, query, variables=None, path=PATH, headers=None, connection=None, **more):
        """The raw reply to one operation."""
        head = {"X-Shopify-Access-Token": self.token, **(headers or {})}
        return self.request("POST", path, {"query": query, "variables": variables or {}, **more}, head, connection)

    def gql(self, query, variables=None, **more):
        """The answer, whatever it says."""
        reply = self.post(query, variables, **more)
        assert reply.status == 200, reply
        return reply.json()

    def data(self, query, variables=None, **more):
        answer = self.gql(query, variables, **more)
        assert "errors" not in answer, answer
        return answer["data"]

    def code(self, query, variables=None, **more):
        """The code of the first error."""
        return self.gql(query, variables, **more)["errors"][0]["extensions"]["code"]

    def pages(self, root, selection, size=50, **arguments):
        """All nodes of a root list, page by page."""
        given = "".join(f", {name}: {json.dumps(value) if name == 'query' else value}" for name, value in arguments.items())
        cursor = None
        while True:
            after = f', after: "{cursor}"' if cursor else ""
            page = self.data(f"{{ {root}(first: {size}{after}{given}) {{ edges {{ node {{ {selection} }} }} "
                             "pageInfo { hasNextPage endCursor } } }")[root]
            yield [edge["node"] for edge in page["edges"]]
            if not page["pageInfo"]["hasNextPage"]:
                return
            cursor = page["pageInfo"]["endCursor"]

    def every(self, root, selection, size=250, **arguments):
        return [node for page in self.pages(root, selection, size, **arguments) for node in page]

    def records(self, kind):
        return self.state(f"?kind={kind}")["records"]

    def oauth(self, **form):
        return self.request("POST", "/admin/oauth/access_token", {"client_id": "dray-client", "client_secret": "dray-secret", **form})

    # ---- bulk ----

    def start(self, query, group=None):
        """The payload of bulkOperationRunQuery."""
        return self.data("mutation($q: String!, $g: Boolean!) { bulkOperationRunQuery(query: $q, groupObjects: $g) "
                         "{ bulkOperation { id status } userErrors { field message code } } }",
                         {"q": query, "g": bool(group)})["bulkOperationRunQuery"]

    def operation(self, gid):
        return self.data("query($id: ID!) { bulkOperation(id: $id) { id status errorCode createdAt completedAt objectCount "
                         "rootObjectCount fileSize url partialDataUrl query type } }", {"id": gid})["bulkOperation"]

    def finished(self, gid, timeout=600):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            operation = self.operation(gid)
            if operation["status"] not in ("CREATED", "RUNNING", "CANCELING"):
                return operation
            time.sleep(0.03)
        raise AssertionError(f"still {operation}")

    def bulk(self, query, group=None):
        """(operation, lines) of a query that runs through."""
        payload = self.start(query, group)
        assert payload["userErrors"] == [], payload
        operation = self.finished(payload["bulkOperation"]["id"])
        if operation["url"] is None:
            return operation, []
        raw = self.fetch(operation["url"]).raw
        assert len(raw) == int(operation["fileSize"])
        return operation, [json.loads(line) for line in raw.decode().splitlines()]

    def fetch(self, url, headers=None):
        """A GET on the storage host."""
        parts = urllib.parse.urlsplit(url)
        return self.request("GET", f"{parts.path}?{parts.query}", None, headers, self.to_storage(parts))

    def to_storage(self, parts):
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=600)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=600, context=trusting)

    def stage(self, lines):
        """Uploads a file of variables; its key."""
        target = self.data('mutation { stagedUploadsCreate(input: [{resource: BULK_MUTATION_VARIABLES, filename: "vars", '
                           'mimeType: "text/jsonl", httpMethod: POST}]) { stagedTargets { url resourceUrl '
                           'parameters { name value } } userErrors { field message } } }')["stagedUploadsCreate"]["stagedTargets"][0]
        raw = lines if isinstance(lines, bytes) else "".join(json.dumps(line) + "\n" for line in lines).encode()
        reply = self.upload(target, raw)
        assert reply.status == 201, reply
        return next(one["value"] for one in target["parameters"] if one["name"] == "key")

    def upload(self, target, raw, leave_out=None):
        mark = "----dray"
        body = b"".join(f'--{mark}\r\nContent-Disposition: form-data; name="{one["name"]}"\r\n\r\n{one["value"]}\r\n'.encode()
                        for one in target["parameters"] if one["name"] != leave_out)
        body += f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="vars"\r\n'.encode()
        body += b"Content-Type: text/jsonl\r\n\r\n" + raw + f"\r\n--{mark}--\r\n".encode()
        parts = urllib.parse.urlsplit(target["url"])
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return self.request("POST", parts.path, body, kind, self.to_storage(parts))

    def start_mutation(self, mutation, key, client=None):
        return self.data("mutation($m: String!, $p: String!, $c: String) { bulkOperationRunMutation(mutation: $m, "
                         "stagedUploadPath: $p, clientIdentifier: $c) { bulkOperation { id status } "
                         "userErrors { field message code } } }", {"m": mutation, "p": key, "c": client})["bulkOperationRunMutation"]
