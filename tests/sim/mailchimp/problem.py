# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Refusals as the vendor words them: a problem document with type, title, status, detail, instance and, for fields, errors.

Everything that answers imports it; it knows nothing about HTTP beyond the status number.
"""

import itertools
import uuid

TYPE = "https://mailchimp.com/developer/marketing/docs/errors/"
NOT_VALIDATED = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
BAD_MERGE_FIELDS = "Your merge fields were invalid."
NOT_ANY_OF = "Data did not match any of the schemas described in anyOf."

_instances = itertools.count(1)


class Problem(Exception):
    """What a request is refused with. `errors` is a list of (field, message)."""

    def __init__(self, status, title, detail, errors=()):
        super().__init__(detail)
        self.status, self.title, self.detail, self.errors = status, title, detail, list(errors)

    def document(self, with_type=True):
        body = {"type": TYPE} if with_type else {}
        body.update(title=self.title, status=self.status, detail=self.detail,
                    instance=str(uuid.UUID(int=next(_instances) << 64 | 0xdead)))
        if self.errors:
            body["errors"] = [{"field": field, "message": message} for field, message in self.errors]
        return body


def invalid(*errors):
    """A body or a query that does not fit the schema."""
    return Problem(400, "Invalid Resource", NOT_VALIDATED, errors)


def refused(detail):
    """A request that fits the schema but not the rules."""
    return Problem(400, "Invalid Resource", detail)


def bad_merge_fields(errors):
    return Problem(400, "Invalid Resource", BAD_MERGE_FIELDS, errors)


def not_found():
    return Problem(404, "Resource Not Found", "The requested resource could not be found.")


def not_allowed(detail="The requested method and resource are not compatible. See the Allow header for this resource's "
                       "available methods."):
    return Problem(405, "Method Not Allowed", detail)


def member_exists(email):
    return Problem(400, "Member Exists", f"{email} is already a list member. Use PUT to insert or update list members.")


def compliance(email):
    return Problem(400, "Member In Compliance State", f"{email} is in a compliance state due to unsubscribe, bounce, or "
                                                      "compliance review and cannot be subscribed.")


def forgotten(email):
    return Problem(400, "Forgotten Email Not Subscribed", f"{email} was permanently deleted and cannot be re-imported. The "
                                                          "contact must re-subscribe to get back on the list.")


def fake(email):
    return refused(f"{email} looks fake or invalid, please enter a real email address.")


def too_many():
    return Problem(429, "Too Many Requests", "You have exceeded the limit of 10 simultaneous connections.")


def key_invalid():
    return Problem(401, "API Key Invalid", "Your API key may be invalid, or you've attempted to access the wrong datacenter.")


def key_missing():
    return Problem(401, "API Key Missing", "Your request did not include an API key.")


def forbidden():
    return Problem(403, "User action not permitted", "User does not have access to the requested operation")


def deactivated():
    return Problem(403, "User Disabled", "This account has been deactivated.")
