// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// From a change to the JSON object that Zendesk takes, and back: whether a record holds what a change says.
#ifndef ZENDESK_FORM_H
#define ZENDESK_FORM_H

#include "dray/sdk/changes.h"
#include "objects.h"

enum { ZENDESK_MATCH_ID = 1, ZENDESK_MATCH_EXTERNAL_ID, ZENDESK_MATCH_EMAIL, ZENDESK_MATCH_NONE };

struct zendesk_slot {
  int place;        // where in the body: form.c
  const char *name; // of the member; borrowed from the object's fields
  int keeps;        // null is not sent
};

// What the columns of a plan are; made in `begin`.
struct zendesk_form {
  const struct zendesk_object *object;
  const struct zendesk_options *options; // borrowed
  struct zendesk_slot *slots;            // one for each column of the view
  size_t count;
  int match;              // ZENDESK_MATCH_*; of objects that are matched by one column
  ptrdiff_t match_column; // -1: none
  ptrdiff_t email_column; // users: -1 where it is not mapped
};

// @errors CONFIG_VALUE (match_by), SCHEMA_FIELD, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_form_make(const struct zendesk_object *object, const struct zendesk_fields *fields,
                                         const struct zendesk_options *options, const struct dray_write_plan *plan,
                                         struct zendesk_form *out, struct dray_error *error);
void zendesk_form_free(struct zendesk_form *form);

enum {
  ZENDESK_BODY_WITH_MATCH = 1, // the match key stands in it: external_id or email
  ZENDESK_BODY_NEW = 2,        // what only new records take: requester, submitter, skip_verify_email
  ZENDESK_BODY_WHOLE = 4       // every value of the row, not only what has changed
};
// Writes the object of a change, `id` in front (empty: none).
void zendesk_form_write(const struct zendesk_form *form, const struct dray_changes *changes, uint64_t i,
                        struct dray_str id, int flags, struct dray_json_writer *writer);
// The column's value as text (digits of a number); appended. A null gives nothing. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_form_text(const struct dray_changes *changes, ptrdiff_t column, uint64_t i,
                                         struct dray_buffer *out, struct dray_error *error);
ptrdiff_t zendesk_form_find(const struct zendesk_form *form, const char *name); // -1: not mapped
// Writes a list that is given as text: ["a", "b"], or a, b.
void zendesk_write_list(struct dray_str text, struct dray_json_writer *writer);
// Writes, as a list, what the list `was` (a text as above, or an array; NULL: empty) had and `now` has not. Returns how
// many.
size_t zendesk_write_gone(const struct dray_json *was, struct dray_str now, struct dray_json_writer *writer);
// Whether the record holds all that the change says, comments and requesters apart. *out_comment = 1 when the change
// brings a comment, which is to be looked for elsewhere. @errors OUT_OF_MEMORY, LIMIT.
DRAY_NODISCARD int32_t zendesk_form_holds(const struct zendesk_form *form, const struct dray_changes *changes,
                                          uint64_t i, const struct dray_json *record, int *out_holds, int *out_comment,
                                          struct dray_error *error);
// ASCII without regard to case, as Zendesk compares external ids and addresses.
int zendesk_same(struct dray_str a, struct dray_str b);

#endif // ZENDESK_FORM_H
