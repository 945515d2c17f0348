# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The Mailchimp simulator as a program: the API under /3.0, OAuth under /oauth2, and a second port that hands out results.

    python3 server.py [--members 3000] [--ledger PATH] ...

Here is the way of a request through keys, roles, connections and bodies; what it does is in api_*.py and batches.py.
"""

import argparse
import base64
import binascii
import json
import pathlib
import sys
import threading
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from mailchimp import problem, seed, shapes, shown  # noqa: E402
from mailchimp.account import Account  # noqa: E402
from mailchimp.api_lists import Lists  # noqa: E402
from mailchimp.api_members import Members  # noqa: E402
from mailchimp.api_reports import OAuth, Reports  # noqa: E402
from mailchimp.batches import Batches  # noqa: E402
from mailchimp.changes import Changes, state_of  # noqa: E402
from server import Answer, Refusal, Request, Route, Router, Simulator, options_of, serve  # noqa: E402
from server.wire import Server  # noqa: E402

PROBLEM_TYPE = "application/problem+json; charset=utf-8"
JSON_TYPE = "application/json; charset=utf-8"
# The vendor leaves `type` out of these, as recordings of the last years show.
UNTYPED = ("Member In Compliance State", "Forgotten Email Not Subscribed")

STORM = 5  # refusals in a row that get a document; as many more get a bare 429, all others a bare 403


class Mailchimp(Simulator):
    fault_kinds = {"refuse_member": {"email", "message"}, "untyped": set(), "batch_stuck": {"at"}, "batch_empty": set(),
                   "batch_lost": set(), "batch_errors": {"operations"}, "expired_link": {"times"}, "drift": {"touch", "archive"}}

    def __init__(self, options):
        super().__init__(options)
        self.account = Account()
        seed.fill(self.account, options, self.clock.now())
        self.per_user = threading.Lock()
        self.api_routes = []
        lists = Lists(self.account, self.clock)
        self.batches = Batches(self.clock, options.batch_step_ms / 1000, self.perform, lambda: self.downloads.url)
        self.changes = Changes(self.account, self.clock)
        for part in (Reports(self.account, self.clock), lists, Members(self.account, self.clock, lists), self.batches):
            self.api_routes += [self.route(*row) for row in part.table()]
        oauth = OAuth(self.account, self.clock)
        self.router = Router(self.api_routes + [
            Route("GET", "/oauth2/metadata", self.plain(oauth.metadata)),
            Route("GET", "/oauth2/authorize", self.plain(oauth.authorize), ("response_type", "client_id", "redirect_uri", "state")),
            Route("POST", "/oauth2/token", self.form(oauth.token))])
        self.downloads = Downloads(self)

    def route(self, method, template, handler, query, shape):
        return Route(method, "/3.0" + template.rstrip("/"), self.judged(handler, shape), query=query, api=True)

    # ---- handlers become what the server wants ----

    def judged(self, handler, shape):
        def handle(request):
            try:
                if shape is not None:
                    request.body = self.body_of(request)
                    shapes.judge(shape, request.body)
                status, value = handler(request)
            except problem.Problem as reason:
                raise Refusal(self.problem(request, reason)) from None
            if isinstance(value, str):
                return Answer(status, value, content_type=JSON_TYPE)
            return Answer(status, value)
        return handle

    def body_of(self, request):
        try:
            return request.json()
        except ValueError:
            raise problem.Problem(400, "JSON Parse Error", "We encountered an unspecified JSON parsing error.") from None

    def plain(self, handler):
        return lambda request: Answer(*handler(request))

    def form(self, handler):
        def handle(request):
            request.secret = True
            request.form = urllib.parse.parse_qsl(request.raw.decode("utf-8", "replace"))
            return Answer(*handler(request))
        return handle

    def problem(self, request, reason):
        typed = reason.title not in UNTYPED and request.fault("untyped") is None
        return Answer(reason.status, reason.document(typed), self.allowed(request) if reason.status == 405 else (), PROBLEM_TYPE)

    def allowed(self, request):
        """The header that a 405 speaks of."""
        return [("Allow", ", ".join(one for one in self.router.find(None, request.path)[1] if one != request.method))]

    # ---- keys, roles, connections ----

    def secret_of(self, request):
        """What the request is authorised with: the password of basic, or a bearer token."""
        word, _, rest = (request.header("authorization") or "").partition(" ")
        if word.lower() == "bearer":
            return rest.strip()
        if word.lower() == "basic":
            try:
                return base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return None
        return None

    def before(self, request):
        """Ten requests in work for each user, over all its keys and apps; who keeps coming gets no JSON any more."""
        request.user = request.budget = None
        if not request.path.startswith("/3.0"):
            return None
        user = self.account.users.get(self.secret_of(request))
        if user is None:
            return None
        with self.per_user:
            budget = request.budget = user.budget
            budget.in_flight += 1
            budget.refused = budget.refused + 1 if budget.in_flight > self.options.connections else 0
            request.user, refused = user, budget.refused
        if refused == 0:
            return None
        request.who = user.name
        if refused <= STORM:
            return self.throttled(request, {})
        return Answer(429 if refused <= 2 * STORM else 403, None)

    def after(self, request):
        if request.budget is not None:
            with self.per_user:
                request.budget.in_flight -= 1

    def throttled(self, request, fault):
        return Answer(429, problem.too_many().document(), self.retry_after(fault), PROBLEM_TYPE)

    def admit(self, request):
        if request.route is None or not request.route.options.get("api"):
            if not request.path.startswith("/3.0"):
                return
        try:
            secret = self.secret_of(request)
            if not secret:
                raise problem.key_missing()
            user = self.account.user_of(secret)
            request.who = user.name
            request.user = request.user or user
            if not user.may(request.method):
                raise problem.forbidden()
        except problem.Problem as reason:
            raise Refusal(self.problem(request, reason)) from None

    def answer_to(self, request):
        override = request.header("x-http-method-override")
        if override and request.method == "POST":
            request.method = override.upper()
        return super().answer_to(request)

    def handled(self, request):
        self.batches.tick()
        return super().handled(request)

    def dress(self, request, answer):
        answer.headers.append(("X-Request-Id", f"sim-{self.ledger.count + 1}"))

    def no_route(self, request, allowed):
        return self.problem(request, problem.not_allowed() if allowed else problem.not_found())

    def undeclared_query(self, request, names):
        return self.problem(request, problem.invalid(*((name, "This query parameter is not known") for name in names)))

    def too_large(self, request):
        return Answer(413, None)

    # ---- the operations of batches ----

    def perform(self, user, operation, batch_id):
        """[(status, text)] of one operation; a GET of a collection goes on through its pages."""
        query = {name: value if isinstance(value, str) else shown.text_of(value)
                 for name, value in operation.get("params", {}).items()}
        path = operation["path"] if operation["path"].startswith("/") else "/" + operation["path"]
        path, _, more = path.partition("?")
        query = {**dict(urllib.parse.parse_qsl(more)), **query}
        answers = []
        while True:
            status, text, total = self.perform_one(user, operation, path, query, batch_id)
            answers.append((status, text))
            count, offset = int(query.get("count", shapes.COUNT_DEFAULT)), int(query.get("offset", 0))
            if operation["method"] != "GET" or total is None or count == 0 or offset + count >= total:
                return answers
            query["offset"] = str(offset + count)

    def perform_one(self, user, operation, path, query, batch_id):
        target = "/3.0" + urllib.parse.quote(path) + ("?" + urllib.parse.urlencode(query) if query else "")
        headers = {"content-type": "application/json"} if operation.get("body") else {}
        request = Request(operation["method"], target, headers, operation.get("body", "").encode(), ("batch", 0), "")
        request.user, request.who = user, user.name
        request.route, request.params = self.router.find(request.method, request.path)
        try:
            if request.route is None or not request.route.options.get("api"):
                raise Refusal(self.no_route(request, request.params if request.route is None else None))
            if request.route.template.startswith("/3.0/batches"):
                raise Refusal(self.problem(request, problem.refused("Batch operations cannot be nested.")))
            if not user.may(request.method):
                raise Refusal(self.problem(request, problem.forbidden()))
            unknown = request.route.undeclared(request.pairs)
            if unknown:
                raise Refusal(self.undeclared_query(request, unknown))
            answer = request.route.handler(request)
        except Refusal as refusal:
            answer = refusal.answer
        self.note(request, answer.status, f"batch {batch_id}")
        self.traffic.note(request, answer, None)
        text = answer.raw.decode()
        return answer.status, text, total_of(text) if request.method == "GET" and answer.status == 200 else None

    # ---- the test side ----

    def hello(self):
        names = {user.name: secret for secret, user in reversed(self.account.users.items())}
        return {"download_port": self.downloads.port, "api_key": names["owner"], "viewer_key": names["viewer"],
                "deactivated_key": names["gone"], "oauth_token": names["owner (app)"],
                "list_id": next(iter(self.account.lists), None), "lists": list(self.account.lists)}

    def state(self, query):
        self.batches.tick()
        return state_of(self.account, self.batches, query)

    def change(self, order):
        return self.changes.change(order)


def total_of(text):
    """total_items of a collection, None for anything else."""
    value = json.loads(text)
    return value.get("total_items") if isinstance(value, dict) else None


class Downloads(Simulator):
    """The host that hands out results: its own port, no credentials, the ledger and the faults of the API's."""

    def __init__(self, api):
        options = argparse.Namespace(**{**vars(api.options), "ledger": None, "traffic": None})
        super().__init__(options)
        self.clock, self.lock, self.ledger, self.faults, self.calls = api.clock, api.lock, api.ledger, api.faults, api.calls
        self.traffic = api.traffic
        self.router = Router([Route("GET", "/{name}", lambda request: self.give(api, request), ("Expires", "Signature"))])
        server = Server(self, 0, options.tls, options.idle_s)
        self.port = server.address[1]
        self.url = f"{'https' if options.tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def give(self, api, request):
        status, body = api.batches.download(request)
        if status != 200:
            return Answer(status, body, content_type="application/xml")
        return Answer(200, body, content_type="application/x-gzip")


def main():
    parser = options_of(__doc__.partition("\n")[0])
    parser.add_argument("--members", type=int, default=3000, help="of the first audience; the second has 150 at most")
    parser.add_argument("--campaigns", type=int, default=12)
    parser.add_argument("--recipients", type=int, default=200, help="of each campaign, at most")
    parser.add_argument("--connections", type=int, default=10, help="requests in work at a time for one user")
    parser.add_argument("--batch-step-ms", type=float, default=100, help="how long each state of a batch lasts")
    serve(Mailchimp(parser.parse_args()))


if __name__ == "__main__":
    main()
