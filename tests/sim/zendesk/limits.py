# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Rates: account-wide by plan, and those of single endpoints. Windows are fixed and on the simulator's clock."""

from server import Answer, Refusal

PLANS = {"team": 200, "growth": 400, "professional": 400, "enterprise": 700, "enterprise_plus": 2500}
HIGH_VOLUME = 2500
# name -> (requests, seconds); `exports` is changed by the high volume add-on. 0 switches a limit off.
ENDPOINTS = {"exports": (10, 60), "deleted_tickets": (10, 60), "ticket_update": (30, 600), "user_update": (5, 60),
             "ticket_delete": (400, 60), "tickets_index": (100, 60)}


class Limits:
    def __init__(self, clock, options):
        self.clock = clock
        self.account = options.rate_limit if options.rate_limit is not None else (
            max(PLANS[options.plan], HIGH_VOLUME) if options.high_volume else PLANS[options.plan])
        self.endpoints = dict(ENDPOINTS)
        if options.high_volume:
            self.endpoints["exports"] = (30, 60)
        if options.export_limit is not None:
            self.endpoints["exports"] = (options.export_limit, 60)
        self.windows = {}

    def take(self, name, limit, seconds):
        """(allowed, left, seconds until the window ends)."""
        now = self.clock.now()
        begun, count = self.windows.get(name, (now, 0))
        if now - begun >= seconds:
            begun, count = now, 0
        allowed = count < limit
        self.windows[name] = (begun, count + (1 if allowed else 0))
        return allowed, max(0, limit - count - 1), max(1, int(begun + seconds - now + 0.999))

    def account_wide(self, request):
        """Sets request.rate for the headers; refuses beyond the plan's rate."""
        request.rate = None
        if not self.account:
            return
        allowed, left, reset = self.take("account", self.account, 60)
        request.rate = (self.account, left, reset)
        if not allowed:
            raise Refusal(Answer(429, {"error": "APIRateLimitExceeded",
                                       "description": "Number of allowed API requests per minute exceeded"},
                                 [("Retry-After", str(reset))]))

    def endpoint(self, request, name, what=""):
        """One more use of an endpoint's own limit, e.g. ("user_update", id)."""
        limit, seconds = self.endpoints[name]
        if not limit:
            return
        allowed, left, reset = self.take((name, what), limit, seconds)
        request.endpoint_rate = (name, limit, left, reset)
        if allowed:
            return
        if name == "exports":
            raise Refusal(Answer(429, "Number of allowed incremental ticket export API requests per minute exceeded\n",
                                 [("Retry-After", str(reset))]))
        raise Refusal(Answer(429, {"error": "TooManyRequests", "description": f"The rate limit of {name} is {limit} in {seconds} s"},
                             [("Retry-After", str(reset))]))

    @staticmethod
    def headers(request):
        made = []
        if getattr(request, "rate", None):
            limit, left, reset = request.rate
            made += [("X-Rate-Limit", str(limit)), ("X-Rate-Limit-Remaining", str(left))]
            if request.path.startswith(("/api/v2/tickets", "/api/v2/users", "/api/v2/organizations", "/api/v2/incremental")):
                made += [("ratelimit-limit", str(limit)), ("ratelimit-remaining", str(left)), ("ratelimit-reset", str(reset))]
        if getattr(request, "endpoint_rate", None):
            name, limit, left, reset = request.endpoint_rate
            if name in ("tickets_index", "exports"):
                word = {"tickets_index": "tickets-index", "exports": "incremental-exports"}[name]
                made.append((f"zendesk-ratelimit-{word}", f"total={limit}; remaining={left}; resets={reset}"))
        return made
