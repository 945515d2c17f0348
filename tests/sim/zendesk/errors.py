# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The shapes in which Zendesk says no: `error` as a string, `error` as an object, `errors` as a list, plain text."""

from server import Answer, Refusal

NO_ACCESS = ("You do not have access to this page. Please contact the account owner of this help desk for further help.")


class Invalid(Exception):
    """A record that Zendesk would refuse. `details`: field -> sentences (or (sentence, code) pairs)."""

    def __init__(self, details, error="RecordInvalid"):
        self.error = error
        self.details = {field: [one if isinstance(one, tuple) else (one, None) for one in said] for field, said in details.items()}
        super().__init__("; ".join(text for said in self.details.values() for text, _ in said))

    def refusal(self):
        details = {field: [{"description": text, **({"error": code} if code else {})} for text, code in said]
                   for field, said in self.details.items()}
        return refusal(422, {"error": self.error, "description": "Record validation errors", "details": details})


class NotFound(Exception):
    """A record that is named and does not exist."""

    def refusal(self):
        return not_found()


class Denied(Exception):
    """A right that the caller lacks for this record."""

    def refusal(self):
        return forbidden(str(self) or NO_ACCESS)


class Conflict(Exception):
    def refusal(self):
        return refusal(409, {"error": "UpdateConflict", "description":
                             "Safe Update prevented the update due to outdated ticket data. Please fetch the latest ticket "
                             "data and try again."})


def refusal(status, body, headers=(), content_type=None):
    return Refusal(Answer(status, body, headers, content_type))


def not_found():
    return refusal(404, {"error": "RecordNotFound", "description": "Not found"})


def invalid_endpoint():
    return Answer(404, {"error": "InvalidEndpoint", "description": "Not found"})


def bad_request(error, description):
    return refusal(400, {"error": error, "description": description})


def bad_parameter(code, title, detail=None):
    return refusal(400, {"errors": [{"code": code, "title": title, **({"detail": detail} if detail else {})}]})


def forbidden(description=NO_ACCESS):
    return refusal(403, {"error": "Forbidden", "description": description})


def forbidden_object(title="Forbidden", message=NO_ACCESS):
    return refusal(403, {"error": {"title": title, "message": message}})


def missing_scopes(scopes):
    return forbidden("You do not have access to this page. Missing the following required scopes: " + ", ".join(scopes))


def not_authenticated():
    return refusal(401, {"error": "Couldn't authenticate you"}, [("WWW-Authenticate", 'Basic realm="Web Password"')])


def bad_token():
    return refusal(401, {"error": "invalid_token", "error_description":
                         "The access token provided is expired, revoked, malformed or invalid for other reasons."},
                   [("WWW-Authenticate", 'Bearer realm="Zendesk", error="invalid_token"')])
