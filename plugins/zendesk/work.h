// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One batch on its way: what is to be done for each row, what is known of it, and what became of it.
#ifndef ZENDESK_WORK_H
#define ZENDESK_WORK_H

#include "form.h"

#define ZENDESK_ROWS_MAX 100
#define ZENDESK_ID_BYTES_MAX 40
#define ZENDESK_BODY_BYTES_MAX (8u << 20)
#define ZENDESK_JOBS_MAX 4

enum { ZENDESK_UPSERT = 1, ZENDESK_CREATE, ZENDESK_UPDATE, ZENDESK_DELETE, ZENDESK_TAG };

struct zendesk_item {
  uint64_t i;                     // in the batch
  int64_t row;                    // _dray_row
  int action;                     // ZENDESK_UPSERT, ...
  int settled;                    // it has its receipt, or is in a job
  int by_itself;                  // not by a job: more calls follow its own
  int whole;                      // every value is sent, since the record that a change is of is not there
  struct dray_buffer key;         // the match key as text
  char id[ZENDESK_ID_BYTES_MAX];  // Zendesk's; empty: not known
  const struct dray_json *record; // as it was looked up; NULL: not there, or not asked for
  int copies;                     // how many records have the key
};

// Jobs of one write, with the rows they carry in the order of their bodies.
struct zendesk_job {
  char id[64];
  size_t count;
  int64_t rows[ZENDESK_ROWS_MAX];
  char ids[ZENDESK_ROWS_MAX][ZENDESK_ID_BYTES_MAX]; // of updates; empty for what is made
};
struct zendesk_jobs {
  struct zendesk_job items[ZENDESK_JOBS_MAX];
  size_t count;
};

struct zendesk_work {
  struct zendesk_client *client;
  const struct zendesk_form *form;
  const struct zendesk_options *options;
  uint32_t operations; // of the plan: inserts alone only create, updates alone only update
  struct dray_changes changes;
  struct zendesk_item items[ZENDESK_ROWS_MAX];
  size_t count;
  struct dray_str idempotency_key; // of the batch
  int sent;                        // a request that changes something has left
  int bulk_off;                    // jobs are not allowed; outlives the batch
  struct dray_receipt_writer *receipts;
  struct dray_buffer body, path;
  struct zendesk_jobs jobs;
  struct dray_json **trees; // of lookups: records point into them
  size_t tree_count, tree_capacity;
};

// ---- lookup.c ----

// Finds the records of all items that are not settled, by the form's match key: record, id and copies.
// @errors those of zendesk_get.
DRAY_NODISCARD int32_t zendesk_lookup(struct zendesk_work *work, struct dray_error *error);
void zendesk_lookup_free(struct zendesk_work *work);

// ---- single.c ----

// Every item that is not settled, by calls of its own; all get receipts. Returns an error only when nothing was sent.
DRAY_NODISCARD int32_t zendesk_write_singly(struct zendesk_work *work, struct dray_error *error);

// ---- outcome.c ----

// What became of a request that changes something.
enum {
  ZENDESK_DONE = 1,  // 2xx with JSON, or without a body
  ZENDESK_REFUSED,   // for what it is: the vendor's words are in `text`
  ZENDESK_FORBIDDEN, // 403 that is not about scopes
  ZENDESK_NOT_THERE, // 404
  ZENDESK_CONFLICT,  // 409: once more
  ZENDESK_DOUBT,     // nobody knows
  ZENDESK_ALL        // concerns every request: credentials, budget, network. Nothing was done
};
struct zendesk_outcome {
  int kind;
  struct dray_error why; // of ALL and DOUBT
  char text[ZENDESK_WORDS_BYTES_MAX + 1];
};
// Sends one and says what became of it. @errors OUT_OF_MEMORY and the like of making the request: nothing was sent.
DRAY_NODISCARD int32_t zendesk_try(struct zendesk_work *work, const struct zendesk_call *call,
                                   struct zendesk_outcome *out, struct dray_error *error);
// Something concerns all rows. Before anything was sent that is the batch's error; after it, the rows that are not
// settled are for later.
DRAY_NODISCARD int32_t zendesk_give_up(struct zendesk_work *work, const struct dray_error *why,
                                       struct dray_error *error);
void zendesk_settle(struct zendesk_work *work, struct zendesk_item *item, int32_t status, int32_t code,
                    const char *text);

// ---- bulk.c ----

// Sends what can go as jobs and notes them in work->jobs; items that must go singly stay as they are.
DRAY_NODISCARD int32_t zendesk_write_bulk(struct zendesk_work *work, struct dray_error *error);

// ---- jobs.c ----

// {"v":1,"jobs":[{"id":"...","rows":"5-20 22","ids":"7 8"}]}; at most DRAY_HANDLE_BYTES_MAX.
DRAY_NODISCARD int32_t zendesk_jobs_write(const struct zendesk_jobs *jobs, struct dray_buffer *out,
                                          struct dray_error *error);
// @errors PLUGIN_CONTRACT for a handle of another plugin, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_jobs_read(struct dray_str handle, struct zendesk_jobs *out, struct dray_error *error);
// Asks for the jobs and puts a receipt for each of `rows`: PENDING while its job works, UNKNOWN where the job is lost.
// is_set: what is there already is UNCHANGED, and not refused.
// *out_pending: how many are pending. @errors those of zendesk_send, statuses apart; nothing was put then.
DRAY_NODISCARD int32_t zendesk_jobs_ask(struct zendesk_client *client, const struct zendesk_jobs *jobs,
                                        const int64_t *rows, size_t row_count, int is_set,
                                        struct dray_receipt_writer *receipts, size_t *out_pending,
                                        struct dray_error *error);
// Puts the receipts of `rows` that the job's answer (the object job_status; NULL: lost) speaks of.
void zendesk_job_judge(const struct zendesk_job *job, const struct dray_json *status, const int64_t *rows,
                       size_t row_count, int is_set, struct dray_receipt_writer *receipts, size_t *out_pending);
// Words of a refusal because the record is there already.
int zendesk_is_duplicate(const char *words);

#endif // ZENDESK_WORK_H
