# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The Zendesk simulator as a program; README.md says what it does. It shares no code with dray: it is written from the vendor's
documentation, so that a mistake in the plugin is not made twice.

    python3 server.py --ledger /tmp/ledger.ndjson --tickets 1000

The first line printed is {"port": N, "client_id": ..., "client_secret": ..., "access_token": ..., "refresh_token": ..., ...}.
"""

import gc
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from server import Answer, Route, Router, Simulator, options_of, serve  # noqa: E402
from zendesk import changes, errors  # noqa: E402
from zendesk.auth import ACCESS_SECONDS, Auth  # noqa: E402
from zendesk.exports import Exports  # noqa: E402
from zendesk.jobs import FAULTS, Jobs  # noqa: E402
from zendesk.limits import PLANS, Limits  # noqa: E402
from zendesk.reads import Reads  # noqa: E402
from zendesk.seed import Seeder  # noqa: E402
from zendesk.world import World  # noqa: E402
from zendesk.writes import Writes  # noqa: E402

STATE = ("users", "organizations", "tickets", "groups", "group_memberships", "organization_memberships", "ticket_fields",
         "ticket_forms", "user_fields", "organization_fields", "satisfaction_ratings", "brands", "macros", "audits", "metrics",
         "metric_events", "identities")
# Lists that a plan does not have, and how it says so: 403 (a text), 403 with an object, or 404.
GATED = {
    "team": {"satisfaction_ratings": "403", "ticket_forms": "403 object", "custom_roles": "404", "audit_logs": "404"},
    "growth": {"ticket_forms": "403 object", "custom_roles": "404", "audit_logs": "404"},
    "professional": {"custom_roles": "404", "audit_logs": "404"},
    "enterprise": {}, "enterprise_plus": {},
}
NO_HELP_DESK = {"error": {"title": "No help desk", "message": "There is no help desk configured at this address. This means that the "
                          "address is available and that you can claim it at https://www.zendesk.com/register"}}


class Zendesk(Simulator):
    fault_kinds = {**FAULTS, "stale_cursor": set(), "empty_page": set(), "conflict": set(), "no_scope": {"scopes"}}

    def __init__(self, options):
        super().__init__(options)
        self.world = World(self.clock)
        self.settings = {"bulk_users": not options.no_bulk, "help_desk": True, "metric_sets": options.metric_sets,
                         "gates": dict(GATED[options.plan])}
        self.world.metric_sets_embedded = options.metric_sets == "embedded"
        gc.disable()  # thousands of records that all stay: looking through them again and again is half of the start
        Seeder(self.world, options.seed, options).run()
        gc.freeze()
        gc.enable()
        options.user_id = self.world.admin_id
        if options.role != "admin":
            options.user_id = next(row["id"] for row in self.world.rows("users") if row["role"] == options.role)
        self.auth = Auth(self.world, options)
        self.limits = Limits(self.clock, options)
        self.jobs = Jobs(self)
        self.exports = Exports(self)
        self.reads = Reads(self)
        self.writes = Writes(self)
        self.router = Router(
            self.exports.routes() + self.reads.routes() + self.writes.routes() + self.jobs.routes() + [
                Route("GET", "/oauth/authorizations/new", self.auth.authorize, open=True, query=(
                    "response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method")),
                Route("POST", "/oauth/tokens", self.auth.token, open=True),
                Route("GET", "/api/v2/oauth/tokens/current", self.auth.current),
                Route("DELETE", "/api/v2/oauth/tokens/current", self.auth.current)])

    def hello(self):
        user = self.world.get("users", self.options.user_id)
        return {"client_id": self.options.client_id, "client_secret": self.options.client_secret,
                "access_token": self.auth.first["access"], "refresh_token": self.auth.first["refresh"], "email": user["email"],
                "api_token": self.options.api_token, "subdomain": "example", "public_client_id": self.options.public_client_id,
                "redirect_uri": self.options.redirect_uri}

    # ---- the way of a request ----

    def vendor_path(self, path):
        """Zendesk takes every path with `.json`, too."""
        return path.removesuffix(".json") if path.startswith("/api/v2/") else path

    def admit(self, request):
        self.jobs.run_due()
        if not self.settings["help_desk"]:
            raise errors.refusal(404, NO_HELP_DESK)
        if request.route is not None and request.route.options.get("open"):
            return
        user, scopes = self.auth.identify(request)
        request.user = user
        self.limits.account_wide(request)
        if request.route is None:
            return
        if request.fault("no_scope"):
            raise errors.missing_scopes(request.fault("no_scope").get("scopes", ["read"]))
        self.auth.permit(request.route, request.method, user, scopes)
        if request.fault("conflict") and request.method != "GET":
            raise errors.Conflict().refusal()
        self.gate(request.route.options.get("gate"))

    def fault_fits(self, kind, request):
        if kind.startswith("job_"):
            return request.method != "GET" and request.path.removesuffix(".json").endswith("_many")
        if kind == "empty_page":
            return "/incremental/" in request.path
        return kind != "stale_cursor" or any("cursor" in name or name.startswith("page[") for name in request.query)

    def gate(self, name):
        kind = self.settings["gates"].get(name)
        if kind == "403":
            raise errors.forbidden()
        if kind == "403 object":
            raise errors.forbidden_object()
        if kind == "404":
            raise errors.refusal(404, {"error": "InvalidEndpoint", "description": "Not found"})

    def dress(self, request, answer):
        answer.headers += self.limits.headers(request)
        answer.headers.append(("X-Zendesk-API-Version", "v2"))
        if answer.raw and answer.content_type is None:
            answer.content_type = "text/plain; charset=utf-8"

    def no_route(self, request, allowed):
        return errors.invalid_endpoint()

    def undeclared_query(self, request, names):
        return errors.bad_parameter("InvalidParameter", "Unknown parameter", f"query names that are not known: {', '.join(names)}").answer

    def too_large(self, request):
        return Answer(413, {"error": "PayloadTooLarge", "description": "The request is too large"})

    def throttled(self, request, fault):
        return Answer(429, "Rate limit exceeded, please try again later\n", self.retry_after(fault), "text/plain; charset=utf-8")

    # ---- the test side ----

    def state(self, query):
        """All tables, or those of `tables=users,tickets`; with what stands beside them."""
        self.jobs.run_due()
        names = query["tables"].split(",") if "tables" in query else STATE
        return {**self.world.state(names), "mails": self.world.mails, "ignored_fields": self.world.ignored,
                "jobs": [self.jobs.shown(job) for job in self.jobs.list],
                "counts": {name: len(self.world.tables[name].rows) for name in STATE},
                "tokens": {"access": len(self.auth.access), "refresh": len(self.auth.refresh)}}

    def change(self, order):
        self.jobs.run_due()
        return changes.change(self, order)

    def side(self, request, name):
        """GET, POST /_sim/settings: what an account has or has not."""
        if name != "settings" or request.method not in ("GET", "POST"):
            return None
        if request.method == "POST":
            self.set(request.json())
        return Answer(200, {**self.settings, "rate_limit": self.limits.account,
                            "endpoint_limits": {key: value[0] for key, value in self.limits.endpoints.items()},
                            "export_page": self.exports.page_max, "access_ttl": self.auth.access_seconds})

    def set(self, order):
        known = set(self.settings) | {"rate_limit", "endpoint_limits", "export_page", "access_ttl", "role"}
        if set(order) - known:
            raise ValueError(f"no such settings: {sorted(set(order) - known)}, one of {sorted(known)}")
        with self.lock:
            for name, value in order.items():
                if name == "gates":
                    self.settings["gates"] = {**self.settings["gates"], **value}
                elif name == "rate_limit":
                    self.limits.account = value
                elif name == "endpoint_limits":
                    for key, limit in value.items():
                        self.limits.endpoints[key] = tuple(limit) if isinstance(limit, list) else (limit, self.limits.endpoints[key][1])
                elif name == "export_page":
                    self.exports.page_max = value
                elif name == "access_ttl":
                    self.auth.access_seconds = value
                elif name == "role":
                    self.world.get("users", self.options.user_id)["role"] = value
                else:
                    self.settings[name] = value
            self.world.metric_sets_embedded = self.settings["metric_sets"] == "embedded"

    # ---- custom fields come and go ----

    def fill_field(self, kind, field):
        """A new field stands in every record, empty."""
        value = False if field["type"] == "checkbox" else None
        for row in self.world.rows(kind):
            if kind == "tickets":
                row["custom_fields"] = row["custom_fields"] + [{"id": field["id"], "value": value}]
            else:
                row["user_fields" if kind == "users" else "organization_fields"][field["key"]] = value

    def drop_field(self, kind, field):
        table = {"users": "user_fields", "organizations": "organization_fields", "tickets": "ticket_fields"}[kind]
        self.world.remove(table, field["id"])
        for row in self.world.rows(kind):
            if kind == "tickets":
                row["custom_fields"] = [one for one in row["custom_fields"] if one["id"] != field["id"]]
            else:
                row["user_fields" if kind == "users" else "organization_fields"].pop(field["key"], None)


def main():
    parser = options_of(__doc__.splitlines()[0])
    for name, count in (("users", 120), ("organizations", 25), ("tickets", 150)):
        parser.add_argument(f"--{name}", type=int, default=count, help=f"how many are there at the start ({count})")
    parser.add_argument("--client-id", default="dray_client")
    parser.add_argument("--client-secret", default="dray-client-secret")
    parser.add_argument("--public-client-id", default="dray_public", help="of a client without a secret, with PKCE")
    parser.add_argument("--redirect-uri", default="https://dray.example/callback", help="where both send users back to")
    parser.add_argument("--api-token", default="dray-api-token", help="of the legacy kind, for {email}/token:{this}")
    parser.add_argument("--role", choices=("admin", "agent"), default="admin", help="of the user behind the client")
    parser.add_argument("--access-ttl", type=int, default=ACCESS_SECONDS, help="seconds that an access token lives")
    parser.add_argument("--plan", choices=sorted(PLANS), default="enterprise_plus", help="sets the rate and what is gated")
    parser.add_argument("--high-volume", action="store_true", help="the add-on: 2,500 requests and 30 exports a minute")
    parser.add_argument("--rate-limit", type=int, help="requests a minute instead of the plan's; 0: none")
    parser.add_argument("--export-limit", type=int, help="exports a minute; 0: none")
    parser.add_argument("--export-page", type=int, default=1000, help="records of an export's page at most")
    parser.add_argument("--no-bulk", action="store_true", help="bulk import of users is not enabled: 403")
    parser.add_argument("--metric-sets", choices=("top", "embedded"), default="top")
    parser.add_argument("--job-queued-s", type=float, default=0.05)
    parser.add_argument("--job-working-s", type=float, default=0.1)
    serve(Zendesk(parser.parse_args()))


if __name__ == "__main__":
    main()
