// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The body of a request: the two templates, and what their names stand for.
#ifndef WEBHOOK_FORM_H
#define WEBHOOK_FORM_H

#include "settings.h"
#include "template.h"

struct webhook_form {
  struct webhook_template *body;
  struct webhook_template *row;
  int single;       // the body is of one row: {{row}}
  int changed_only; // updates bring the changed fields only
  int deletes_row;  // deletes bring the row, not its key alone
  size_t *keys;     // columns of the match keys
  size_t key_count;
};

// What does not come from the rows.
struct webhook_batch {
  struct dray_str object, sync, run, batch_id;
  int64_t now_us;
};

// Checks the templates as far as it can be done without knowing the columns. *out_single: see above. @errors
// CONFIG_VALUE.
DRAY_NODISCARD int32_t webhook_form_check(const struct webhook_shape *shape, int *out_single, struct dray_error *error);
// @errors CONFIG_VALUE, SCHEMA_FIELD for a column that the row template names and the plan lacks, SCHEMA_KEY,
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t webhook_form_make(const struct webhook_shape *shape, const struct dray_write_plan *plan,
                                         struct webhook_form *out, struct dray_error *error);
void webhook_form_free(struct webhook_form *form);
// Appends the body. The same rows with the same batch give the same bytes, apart from {{sent_at}}. @errors
// DATA_TOO_LARGE past the buffer's maximum, LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t webhook_form_render(const struct webhook_form *form, const struct dray_view *view,
                                           const struct webhook_batch *batch, struct dray_buffer *out,
                                           struct dray_error *error);

#endif // WEBHOOK_FORM_H
