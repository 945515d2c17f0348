# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The batch of up to 500 members, the one write that is refused row by row."""

from mailchimp import problem
from mailchimp.members import hash_of


def write_batch(audience, body, now, skip_required, skip_duplicates, refused_by_fault):
    """The Batch with its members and errors. `refused_by_fault(email)` gives a Problem or None."""
    batch = Batch(audience, body, now, skip_required)
    seen = set()
    for row in body["members"]:
        key = hash_of(row["email_address"])
        if key in seen:
            if not skip_duplicates:
                batch.fail(row, f"{row['email_address']} is in this batch more than once. Only its first appearance was "
                                "taken.")
            else:
                batch.rows.append({"email": row["email_address"], "became": "ignored duplicate"})
            continue
        seen.add(key)
        fault = refused_by_fault(row["email_address"])
        if fault is not None:
            batch.fail(row, fault.detail)
        else:
            batch.write(key, row)
    return batch


class Batch:
    def __init__(self, audience, body, now, skip_required):
        self.audience, self.now, self.skip_required = audience, now, skip_required
        self.update, self.sync = body.get("update_existing", False), body.get("sync_tags", False)
        self.created, self.updated, self.errors, self.rows = [], [], [], []

    def fail(self, row, error, code="ERROR_GENERIC", field="", message=""):
        self.errors.append({"email_address": row["email_address"], "error": error, "error_code": code, "field": field,
                            "field_message": message})
        self.rows.append({"email": row["email_address"], "became": "refused", "error": error})

    def write(self, key, row):
        member = self.audience.members.get(key)
        try:
            if member is None:
                self.write_new(row)
            elif not self.update:
                self.fail(row, f"{row['email_address']} is already a list member, do you want to update? please provide "
                               "update_existing:true in the request body", "ERROR_CONTACT_EXISTS")
            else:
                self.write_old(member, row)
        except problem.Problem as reason:
            field, message = reason.errors[0] if reason.errors else ("", "")
            self.fail(row, reason.detail, "ERROR_GENERIC", field, message)

    def write_new(self, row):
        if "status" not in row:
            raise problem.invalid(("status", "Required fields were not provided: status"))
        member = self.audience.create(row, row["status"], self.now, self.skip_required)
        self.created.append(member)
        self.rows.append({"email": row["email_address"], "became": "created"})

    def write_old(self, member, row):
        changed = self.audience.change(member, row, self.now, self.skip_required)
        if self.sync:
            changed |= self.audience.sync_tags(member, row.get("tags", ()), self.now)
        else:
            for name in row.get("tags", ()):
                changed |= self.audience.tag(member, name, True, self.now)
        self.updated.append(member)
        self.rows.append({"email": row["email_address"], "became": "changed" if changed else "unchanged"})
