// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One batch on its way: what is to be done for each row, what is known of it, and what became of it.
#ifndef ZENDESK_WORK_H
#define ZENDESK_WORK_H

#include "form.h"
#include "told.h"

#define ZENDESK_ROWS_MAX 100
#define ZENDESK_ID_BYTES_MAX 40
#define ZENDESK_BODY_BYTES_MAX (8u << 20)
#define ZENDESK_JOBS_MAX 4
#define ZENDESK_JOB_ID_BYTES_MAX 64
#define ZENDESK_OPEN_MAX 64 // twice as many as Zendesk queues and runs for an account

enum { ZENDESK_UPSERT = 1, ZENDESK_CREATE, ZENDESK_UPDATE, ZENDESK_DELETE, ZENDESK_TAG };

struct zendesk_item {
  uint64_t i;                     // in the batch
  int64_t row;                    // _dray_row
  int action;                     // ZENDESK_UPSERT, ...
  int settled;                    // it has its receipt, or is in a job
  int by_itself;                  // not by a job: more calls follow its own
  int partly;                     // a call of it has changed something, and another one follows
  int whole;                      // every value is sent, since the record that a change is of is not there
  struct dray_buffer key;         // the match key as text
  char id[ZENDESK_ID_BYTES_MAX];  // Zendesk's; empty: not known
  const struct dray_json *record; // as it was looked up; NULL: not there, or not asked for
  int copies;                     // how many records have the key
};

// Jobs of one write, with the rows they carry in the order of their bodies.
struct zendesk_job {
  char id[ZENDESK_JOB_ID_BYTES_MAX];
  size_t count;
  int64_t rows[ZENDESK_ROWS_MAX];
  char ids[ZENDESK_ROWS_MAX][ZENDESK_ID_BYTES_MAX]; // of updates; empty for what is made
};
struct zendesk_jobs {
  struct zendesk_job items[ZENDESK_JOBS_MAX];
  size_t count;
};

// Jobs that this instance knows to be open: when one is asked for, all are.
struct zendesk_open {
  char ids[ZENDESK_OPEN_MAX][ZENDESK_JOB_ID_BYTES_MAX];
  uint8_t fresh[ZENDESK_OPEN_MAX];  // it stands in `answer`, and was not taken from there yet
  uint8_t of_run[ZENDESK_OPEN_MAX]; // a lane of this run began it
  size_t count;
  struct dray_json *answer; // of the last show_many
  int64_t asked_us;
  int one_by_one;           // the account has no show_many
  struct zendesk_told told; // the run, whose other lanes begin jobs too
};

// Rows of which every value is sent the next time, since Zendesk did not know the record that a change was of.
struct zendesk_wholes {
  int64_t *rows;
  size_t count, capacity;
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
  struct zendesk_open *open;       // the instance's
  struct zendesk_wholes *wholes;   // the instance's, of this plan
  struct zendesk_told told;
  int jobs_seen;         // they may be
  int64_t jobs_noted_us; // when the state was told last that there are jobs; 0: never
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
// Whether an action done twice is as good as done once.
int zendesk_does_once(const struct zendesk_work *work, int action);
// Something concerns all rows. Before anything was sent that is the batch's error; after it, the rows that are not
// settled are for later.
DRAY_NODISCARD int32_t zendesk_give_up(struct zendesk_work *work, const struct dray_error *why,
                                       struct dray_error *error);
void zendesk_settle(struct zendesk_work *work, struct zendesk_item *item, int32_t status, int32_t code,
                    const char *text);
// The row is to be sent again: the error is not about what it is. Its code and the time to wait go along.
void zendesk_put_off(struct zendesk_work *work, struct zendesk_item *item, const struct dray_error *why);

// ---- bulk.c ----

// Sends what can go as jobs and notes them in work->jobs; items that must go singly stay as they are.
DRAY_NODISCARD int32_t zendesk_write_bulk(struct zendesk_work *work, struct dray_error *error);

// ---- jobs.c ----

// {"v":1,"jobs":[{"id":"...","rows":"5-20 22","ids":"7 8"}]}; at most DRAY_HANDLE_BYTES_MAX.
DRAY_NODISCARD int32_t zendesk_jobs_write(const struct zendesk_jobs *jobs, struct dray_buffer *out,
                                          struct dray_error *error);
// @errors PLUGIN_CONTRACT for a handle of another plugin, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t zendesk_jobs_read(struct dray_str handle, struct zendesk_jobs *out, struct dray_error *error);
// How results become receipts.
struct zendesk_verdict {
  int is_set;                    // what is there already is UNCHANGED, and not refused
  int is_made_by_email;          // rows make users by their address: who has it already is UNCHANGED, and not refused
  struct zendesk_wholes *wholes; // rows that lack a name are put off, once, to be sent whole; NULL: they are refused
  struct dray_receipt_writer *receipts;
  size_t pending; // how many are: counted
};
// Asks for the jobs and puts a receipt for each of `rows`: PENDING while its job works, UNKNOWN where the job is lost.
// @errors those of zendesk_send, statuses apart; nothing was put then.
DRAY_NODISCARD int32_t zendesk_jobs_ask(struct zendesk_client *client, struct zendesk_open *open,
                                        const struct zendesk_jobs *jobs, const int64_t *rows, size_t row_count,
                                        struct zendesk_verdict *verdict, struct dray_error *error);
// Whether a job_status says that it is queued or at work.
int zendesk_job_works(const struct dray_json *status);
// Puts the receipts of `rows` that the job's answer (the object job_status; NULL: lost) speaks of.
void zendesk_job_judge(const struct zendesk_job *job, const struct dray_json *status, const int64_t *rows,
                       size_t row_count, struct zendesk_verdict *verdict);
// Words of a refusal because the record is there already.
int zendesk_is_duplicate(const char *words);
// Words of a refusal because the address is a user's already, and for no other reason.
int zendesk_has_address(const char *words);
// Words of a refusal because a new record needs a name.
int zendesk_is_nameless(const char *words);
int zendesk_wholes_has(const struct zendesk_wholes *wholes, int64_t row);
// 0: no memory, it is not noted.
int zendesk_wholes_add(struct zendesk_wholes *wholes, int64_t row);

// ---- open.c ----

void zendesk_open_note(struct zendesk_open *open, const char *id);
// The same of a job that was begun now, for all lanes of the run: one of them asks for the jobs of all.
void zendesk_open_begun(struct zendesk_open *open, const char *id);
int zendesk_open_has(const struct zendesk_open *open, const char *id);
void zendesk_open_forget(struct zendesk_open *open, const char *id);
void zendesk_open_free(struct zendesk_open *open);
// Asks for all open jobs by one call, where there are several and what is known of one of `jobs` is too old.
DRAY_NODISCARD int32_t zendesk_open_ask(struct zendesk_client *client, struct zendesk_open *open,
                                        const struct zendesk_jobs *jobs, struct dray_error *error);
// The job_status that was answered, once; NULL: it is to be asked for by itself. Borrowed until the next ask.
const struct dray_json *zendesk_open_take(struct zendesk_client *client, struct zendesk_open *open, const char *id);

// Whether the credentials may see what becomes of jobs; asked once a run where that is not known otherwise. *out = 0 is
// warned of. @errors those of zendesk_get.
DRAY_NODISCARD int32_t zendesk_jobs_may_be_seen(struct zendesk_work *work, int *out, struct dray_error *error);
// Remembers, for whatever process comes after, that a job is about to be sent. @errors those of the state service.
DRAY_NODISCARD int32_t zendesk_jobs_note(struct zendesk_work *work, struct dray_error *error);
// *out: whether a job of this connection was sent so lately that it may be at work. @errors as zendesk_jobs_note.
DRAY_NODISCARD int32_t zendesk_jobs_lately(struct zendesk_work *work, int *out, struct dray_error *error);

#endif // ZENDESK_WORK_H
