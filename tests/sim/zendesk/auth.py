# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""OAuth tokens (client credentials, codes, rotating refresh tokens), legacy API tokens, scopes, roles."""

import base64
import hashlib
import re
import urllib.parse

from server import Answer
from server.clock import iso, parse_iso

from . import errors

ACCESS_SECONDS, REFRESH_SECONDS, CODE_SECONDS = 1800, 30 * 86400, 120
EXPIRES_MIN, EXPIRES_MAX = 300, 172800
REFRESH_MIN, REFRESH_MAX = 604800, 7776000
# Resources that have scopes of their own; everything else needs the general read or write.
RESOURCES = {"tickets", "users", "organizations", "auditlogs", "macros", "satisfaction_ratings", "triggers", "automations", "requests"}
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
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
        self.access, self.refresh = {}, {}  # secret -> token row
        self.codes = {}                     # secret -> what was granted, and until when it can be asked for
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

    def code(self, scope, client=None, challenge=None):
        secret = self.secret("code")
        self.codes[secret] = {"until": self.clock.now() + CODE_SECONDS, "scope": scope, "client": client or self.options.client_id,
                              "redirect_uri": self.options.redirect_uri, "challenge": challenge}
        return secret

    # ---- GET /oauth/authorizations/new ----

    def authorize(self, request):
        """The page where a user says yes; here that is said at once, and the browser sent back with a code."""
        query = request.query
        is_public = query.get("client_id") == self.options.public_client_id
        if not is_public and query.get("client_id") != self.options.client_id:
            raise oauth_error(400, "invalid_client", "No such client")
        if query.get("redirect_uri") != self.options.redirect_uri:
            raise oauth_error(400, "invalid_request", "Invalid redirect URI: it is not one of the client's")
        if query.get("response_type") != "code" or not query.get("scope"):
            raise oauth_error(400, "invalid_request", "response_type=code and scope are needed")
        challenge = query.get("code_challenge")
        method_fits = query.get("code_challenge_method") == ("S256" if challenge else None)
        if not method_fits or (challenge is not None and not CHALLENGE.fullmatch(challenge)) or (is_public and challenge is None):
            raise oauth_error(400, "invalid_request", "a code_challenge is 43 characters by code_challenge_method S256; public clients need one")
        back = {"code": self.code(query["scope"], query["client_id"], challenge), **{name: query[name] for name in ("state",) if name in query}}
        return Answer(302, None, [("Location", f"{query['redirect_uri']}?{urllib.parse.urlencode(back)}")])

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
        if not self.is_client(body):
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

    def is_client(self, body):
        """By its secret; a public client has none, and proves by the verifier that it is who asked."""
        if body.get("client_id") == self.options.public_client_id:
            return "client_secret" not in body and body.get("grant_type") != "client_credentials"
        return body.get("client_id") == self.options.client_id and body.get("client_secret") == self.options.client_secret

    def spend_code(self, body):
        missing = [name for name in ("code", "redirect_uri", "scope") if not body.get(name)]
        if missing:
            raise oauth_error(400, "invalid_request", f"missing: {', '.join(missing)}")
        granted = self.codes.pop(body["code"], None)  # good for one attempt
        if granted is None or granted["until"] < self.clock.now():
            raise oauth_error(400, "invalid_grant", "The provided authorization grant is invalid or expired.")
        verified = granted["challenge"] is None and "code_verifier" not in body
        if granted["challenge"] is not None:
            verified = challenge_of(body.get("code_verifier", "")) == granted["challenge"]
        if granted["client"] != body["client_id"] or granted["redirect_uri"] != body["redirect_uri"] or not verified:
            raise oauth_error(400, "invalid_grant", "The provided authorization grant was issued to another client, redirect URI or "
                                                    "code challenge.")
        return granted["scope"]

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


def challenge_of(verifier):
    """RFC 7636 §4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


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
