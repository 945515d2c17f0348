// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The mutations that rows become, declared once: from a row of the table come the aliased document of a small batch and
// the document of a bulk operation.
#ifndef SHOPIFY_OPERATIONS_H
#define SHOPIFY_OPERATIONS_H

#include "client.h"

#define SHOPIFY_VARIABLES_MAX 3

enum {
  SHOPIFY_CUSTOMER_SET = 0,
  SHOPIFY_CUSTOMER_CREATE, // with its metafields; the only one that cannot be repeated blindly
  SHOPIFY_CUSTOMER_UPDATE,
  SHOPIFY_CUSTOMER_DELETE,
  SHOPIFY_TAGS_ADD,
  SHOPIFY_TAGS_REMOVE,
  SHOPIFY_EMAIL_CONSENT,
  SHOPIFY_ORDER_UPDATE,
  SHOPIFY_METAFIELDS_SET,    // of a list: a task is one element
  SHOPIFY_METAFIELDS_CREATE, // likewise, of what is not there
  SHOPIFY_METAFIELDS_DELETE,
  SHOPIFY_CUSTOMER_FIND,  // a query: one that is there has an id
  SHOPIFY_METAFIELD_FIND, // likewise: its digest
  SHOPIFY_OPERATION_COUNT
};

struct shopify_operation {
  const char *field; // "customerSet"
  struct {
    const char *name, *type; // "input", "CustomerSetInput!"
  } variables[SHOPIFY_VARIABLES_MAX];
  const char *select; // what is asked of the payload
  const char *call;   // NULL: field(variable: $variable ...){select}; else the whole of it, % behind each variable
  const char *name;   // in the handle of a job; NULL: the field
  const char *object; // the payload's member with the id of what was written or found; NULL: none
  const char *id;     // that id's member; NULL: "id"
  int32_t query;      // 1: no mutation
  int32_t list;       // 1: the only variable is a list, of which a task is one element
  int32_t gone;       // 1: a userError that its object is not there means that there is nothing to do
  int32_t once;       // 1: it must not be sent again before somebody has looked what became of it
};
extern const struct shopify_operation shopify_operations[SHOPIFY_OPERATION_COUNT];

// What one row asks for: the values of the operation's variables, as JSON within a buffer.
struct shopify_task {
  int32_t operation; // SHOPIFY_*
  size_t change;     // index in the batch
  size_t offset[SHOPIFY_VARIABLES_MAX], len[SHOPIFY_VARIABLES_MAX];

  // The outcome, written by whoever sends it.
  int32_t status; // DRAY_RECEIPT_*; 0: not sent yet
  int32_t code;
  int64_t retry_after_ms;
  size_t text, text_len; // in the texts of the sender
  size_t id, id_len;     // of what was written or found, likewise
};

// mutation($input0:...){r0:customerSet(input:$input0){...} r1:...}, with {"input0": ...} beside it. All tasks are
// mutations, or all are queries.
DRAY_NODISCARD int32_t shopify_write_aliased(struct shopify_task *const *tasks, size_t count, const char *values,
                                             struct dray_buffer *body, struct dray_error *error);
// The mutation of a bulk operation, with the variables by their own names.
DRAY_NODISCARD int32_t shopify_write_bulk_mutation(int32_t operation, struct dray_buffer *out,
                                                   struct dray_error *error);
// {"query": metafieldsSet of a list, "variables"} for tasks of one operation that takes a list.
DRAY_NODISCARD int32_t shopify_write_list(struct shopify_task *const *tasks, size_t count, const char *values,
                                          struct dray_buffer *body, struct dray_error *error);
// Its line for a task: {"input": ...} and a line's end.
DRAY_NODISCARD int32_t shopify_write_bulk_line(const struct shopify_task *task, const char *values,
                                               struct dray_buffer *out, struct dray_error *error);

// Judges the payload of a task. `payload` NULL or null: nothing was said of it, and `errors` (NULL: none) may name
// `alias`. Texts go to `texts`. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_judge(struct shopify_task *task, const struct dray_json *payload,
                                     const struct dray_json *errors, const char *alias, struct dray_buffer *texts,
                                     struct dray_error *error);
// The same of an error that is known to be the task's; NULL: nothing was said. A limit is no refusal.
DRAY_NODISCARD int32_t shopify_judge_error(struct shopify_task *task, const struct dray_json *one,
                                           struct dray_buffer *texts, struct dray_error *error);
// Settles a task by a userError with the code STALE_OBJECT: a metafield that was to be made is there (unchanged), or
// one that was looked at has changed since (to be tried again). With another code its status stays 0. @errors LIMIT,
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_settle_stale(struct shopify_task *task, struct dray_str code, struct dray_buffer *texts,
                                            struct dray_error *error);
// Writes the outcome of a task. @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t shopify_settle(struct shopify_task *task, int32_t status, int32_t code, struct dray_str text,
                                      struct dray_buffer *texts, struct dray_error *error);
// Appends "email: Email is invalid; phone: ..." of a list of userErrors.
DRAY_NODISCARD int32_t shopify_write_user_errors(const struct dray_json *errors, struct dray_buffer *out,
                                                 struct dray_error *error);

#endif // SHOPIFY_OPERATIONS_H
