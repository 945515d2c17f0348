// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Batches of changes for the tests: columns id, name, amount and tags, and the reserved ones.
#ifndef WEBHOOK_TEST_BATCH_H
#define WEBHOOK_TEST_BATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugin.h"

struct rows {
  struct ArrowSchema schema;
  struct dray_builder *builder;
  int64_t next_row;
};

void rows_open(struct rows *rows);
void rows_close(struct rows *rows);
// name NULL: null, "-": absent; cents < 0: absent; `changed`: letters of the changed columns, such as "n" or "na".
void rows_add(struct rows *rows, int op, int64_t id, const char *name, int64_t cents, const char *changed);
struct ArrowArray rows_finish(struct rows *rows); // the caller releases it
// The plan of a run with these rows; options as JSON.
struct dray_write_plan rows_plan(const struct rows *rows, const char *options_json);

#endif // WEBHOOK_TEST_BATCH_H
