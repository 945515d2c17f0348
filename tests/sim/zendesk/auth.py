# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""OAuth tokens (client credentials, codes, rotating refresh tokens), legacy API tokens, scopes, roles."""

import base64
import hashlib
import urllib.parse

from server import Answer
from server.clock import iso, parse_iso

from . import errors

ACCESS_SECONDS, REFRESH_SECONDS, CODE_SECONDS = 1800, 30 * 86400, 120
EXPIRES_MIN, EXPIRES_MAX = 300, 172800
REFRESH_MIN, REFRESH_MAX = 604800, 7776000
# Resources that have scopes of their own; everything else needs the general read or write.
RESOURCES = {"tickets", "users", "organizations", "auditlogs", "macros", "satisfaction_ratings", "triggers", "automations", "requests"}
API_TOKENS_END = parse_iso("2027-04-30T00:00:00Z")
GRANTS = {
    "client_credentials": {"grant_type", "client_id", "client_secret", "scope", "expires_in"},
    "refresh_token": {"grant_type", "client_id", "client_secret", "refresh_token", "scope", "expires_in", "refresh_token_expires_in"},
    "authorization_code": {"grant_type", "client_id", "client_secret", "code", "redirect_uri", "scope", "expires_in",
                           "refresh_token_expires_in", "code_verifier"},
}


class Auth:
    def __init__(self, world, options):
        self.world, self.options, self.clock = world, options, world.clock
        self.access, self.refresh, self.codes = {}, {}, {}  # secret -> token row
        self.dead = set()  # refresh tokens that were used up or revoked
        self.count = 0
        self.api_tokens = True
        self.access_seconds = options.access_ttl
        self.first = self.issue(options.user_id, "read write", None, None, with_refresh=True)

    def secret(self, kind):
        """Unguessable enough, and the same for the same seed."""
        self.count += 1
        return hashlib.sha256(f"{kind} {self.options.seed} {self.count}".encode()).hexdigest()

    def issue(self, user_id, scope, expires_in, refresh_expires_in, with_refresh):
        now = self.clock.now()
        row = {"id": self.world.new_id("tokens"), "user_id": user_id, "scope": scope, "created": now, "used": None,
               "expires": None if expires_in is None else now + expires_in, "access": self.secret("access"), "refresh": None,
               "refresh_expires": None}
        self.access[row["access"]] = row
        if with_refresh:
            row["refresh"] = self.secret("refresh")
            row["refresh_expires"] = now + (refresh_expires_in or REFRESH_SECONDS)
            self.refresh[row["refresh"]] = row
        return row

    def kill(self, row):
        """The whole pair, at once."""
        self.access.pop(row["access"], None)
        if row["refresh"]:
            self.refresh.pop(row["refresh"], None)
            self.dead.add(row["refresh"])

    def code(self, scope):
        secret = self.secret("code")
        self.codes[secret] = (self.clock.now() + CODE_SECONDS, scope)
        return secret

    # ---- POST /oauth/tokens ----

    def token(self, request):
        request.secret = True
        body = self.token_body(request)
        grant = body.get("grant_type")
        if grant not in GRANTS:
            raise oauth_error(400, "unsupported_grant_type", "The authorization grant type is not supported.")
        unknown = set(body) - GRANTS[grant]
        if unknown:
            raise oauth_error(400, "invalid_request", f"unknown parameters: {', '.join(sorted(unknown))}")
        if body.get("client_id") != self.options.client_id or body.get("client_secret") != self.options.client_secret:
            raise oauth_error(401, "invalid_client", "Client authentication failed due to unknown client, no client authentication "
                                                     "included, or unsupported authentication method.")
        expires = self.period(body, "expires_in", EXPIRES_MIN, EXPIRES_MAX, self.access_seconds)
        request.who = self.options.client_id
        if grant == "client_credentials":
            row = self.issue(self.options.user_id, scope_of(body, None), expires, None, False)
        else:
            later = self.period(body, "refresh_token_expires_in", REFRESH_MIN, REFRESH_MAX, REFRESH_SECONDS)
            scope = self.spend_refresh(body) if grant == "refresh_token" else self.spend_code(body)
            row = self.issue(self.options.user_id, scope_of(body, scope), expires, later, True)
        answer = {"access_token": row["access"], "token_type": "bearer", "scope": row["scope"], "expires_in": expires}
        if row["refresh"]:
            answer.update(refresh_token=row["refresh"], refresh_token_expires_in=int(row["refresh_expires"] - self.clock.now()))
        return Answer(200, answer, [("Cache-Control", "no-store")])

    @staticmethod
    def token_body(request):
        kind = (request.header("content-type") or "").split(";")[0].strip().lower()
        try:
            if kind == "application/x-www-form-urlencoded":
                body = dict(urllib.parse.parse_qsl(request.raw.decode(), keep_blank_values=True, strict_parsing=True))
                return {name: int(value) if name.endswith("expires_in") and value.isdecimal() else value
                        for name, value in body.items()}
            if kind == "application/json":
                body = request.json()
                if isinstance(body, dict) and all(isinstance(value, str) for name, value in body.items()
                                                  if not name.endswith("expires_in")):
                    return body
        except ValueError:
            pass
        raise oauth_error(400, "invalid_request", "The request body is neither JSON nor a form of texts.")

    @staticmethod
    def period(body, name, least, most, default):
        value = body.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            if name in body:
                raise oauth_error(400, "invalid_request", f"{name} must be between {least} and {most}")
        return value

    def spend_refresh(self, body):
        row = self.refresh.get(body.get("refresh_token"))
        if row is None or row["refresh_expires"] < self.clock.now():
            raise oauth_error(400, "invalid_grant", "The provided authorization grant is invalid, expired, revoked, or was issued "
                                                    "to another client.")
        self.kill(row)
        return row["scope"]

    def spend_code(self, body):
        until, scope = self.codes.pop(body.get("code"), (0, None))
        if until < self.clock.now():
            raise oauth_error(400, "invalid_grant", "The provided authorization grant is invalid or expired.")
        return scope

    # ---- every other request ----

    def identify(self, request):
        """Sets request.who and gives (user, scopes; None: all). Refuses otherwise."""
        kind, _, value = (request.header("authorization") or "").partition(" ")
        if kind.lower() == "bearer":
            row = self.access.get(value.strip())
            if row is None or (row["expires"] is not None and row["expires"] <= self.clock.now()):
                raise errors.bad_token()
            row["used"] = self.clock.now()
            request.who = f"token {row['id']}"
            request.token = row
            return self.living(row["user_id"]), set(row["scope"].split())
        if kind.lower() == "basic":
            return self.basic(request, value), None
        raise errors.not_authenticated()

    def living(self, user_id):
        user = self.world.get("users", user_id)
        if user is None or not user["active"] or user["suspended"]:
            raise errors.not_authenticated()
        return user

    def basic(self, request, value):
        """`{email}/token:{API token}`; a password is no longer taken by the API."""
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            raise errors.not_authenticated() from None
        address, slash, word = name.rpartition("/")
        user = self.world.get("users", self.world.user_by_email.get(address.lower()))
        if (not slash or word != "token" or user is None or user["role"] == "end-user" or secret != self.options.api_token
                or not self.api_tokens or self.clock.now() >= API_TOKENS_END):
            raise errors.not_authenticated()
        request.who = f"api token of {address.lower()}"
        request.token = None
        return self.living(user["id"])

    @staticmethod
    def permit(route, method, user, scopes):
        verb = "read" if method == "GET" else "write"
        if scopes is not None:
            resource = route.options.get("resource")
            enough = {verb} | ({resource, f"{resource}:{verb}"} if resource in RESOURCES else set())
            if not scopes & enough:
                raise errors.missing_scopes([f"{resource}:{verb}" if resource in RESOURCES else verb])
        if user["role"] == "end-user" or (route.options.get("admin") and user["role"] != "admin"):
            raise errors.forbidden()

    def current(self, request):
        row = request.token
        if row is None:
            raise errors.not_found()
        if request.method == "DELETE":
            self.kill(row)
            return Answer(204)
        return Answer(200, {"token": {
            "url": f"{request.base}/api/v2/oauth/tokens/{row['id']}.json", "id": row["id"], "user_id": row["user_id"],
            "client_id": 41, "token": row["access"][:10], "refresh_token": row["refresh"] and row["refresh"][:10],
            "created_at": iso(row["created"]), "expires_at": row["expires"] and iso(row["expires"]),
            "refresh_token_expires_at": row["refresh_expires"] and iso(row["refresh_expires"]),
            "used_at": row["used"] and iso(row["used"]), "scopes": row["scope"].split()}})


def scope_of(body, granted):
    """What was asked for, also when no such scope exists: the token then is refused everything. No more than was granted before."""
    asked = body.get("scope", granted or "read write")
    if not isinstance(asked, str):
        raise oauth_error(400, "invalid_scope", "scope is a text")
    if granted is not None and not set(asked.split()) <= set(granted.split()):
        raise oauth_error(400, "invalid_scope", "The requested scope exceeds the scope granted.")
    return asked


def oauth_error(status, error, description):
    return errors.refusal(status, {"error": error, "error_description": description})
