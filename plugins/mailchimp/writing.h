// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A batch on its way: what the files of the destination share. destination.c begins and ends, members.c sends members,
// removals.c takes them away one by one, segments.c changes who is in a segment.
#ifndef MAILCHIMP_WRITING_H
#define MAILCHIMP_WRITING_H

#include "client.h"
#include "dray/sdk/fold.h"
#include "objects.h"

#define MC_BATCH_ROWS_MAX 500 // of a call

struct mc_writing {
  struct mc_client *client;
  const struct mc_options *options;
  const struct mc_object *object;
  uint32_t operations;             // of the plan: without INSERT nobody is made, without UPDATE nobody is changed
  const struct mc_column *columns; // as in the view
  ptrdiff_t email, tag;            // columns; -1: none
  struct dray_receipt_writer *receipts;
  struct dray_buffer *body, *path, *text; // scratch
  struct dray_api_answer *answer;

  // The batch.
  const struct dray_changes *changes;
  uint64_t row_count;
  uint8_t settled[MC_BATCH_ROWS_MAX]; // rows that have their receipt
  uint64_t settled_count;
  uint8_t partly[MC_BATCH_ROWS_MAX]; // rows of which a call has changed something, and another one follows
  uint8_t left[MC_BATCH_ROWS_MAX];   // rows whose member had unsubscribed before it was archived
};

// The row's address without blanks around it; len 0: none.
struct dray_str mc_email(const struct mc_writing *writing, uint64_t row);
int mc_same_email(struct dray_str a, struct dray_str b);
// The address in small letters of any script, as Mailchimp knows it. Returns its bytes; 0: none, or too long for one.
#define MC_EMAIL_BYTES_MAX 512u
#define MC_FOLDED_BYTES (MC_EMAIL_BYTES_MAX + MC_EMAIL_BYTES_MAX / 2)
size_t mc_fold_email(struct dray_str email, char out[MC_FOLDED_BYTES]);

// Gives a row its receipt.
void mc_settle(struct mc_writing *writing, uint64_t row, int32_t status, int32_t code, const char *text);
// Rows that were in a call that failed with the error: UNKNOWN where they may have arrived, else RETRY. While no row of
// the batch has a receipt and none may have arrived, the error itself is returned instead, which promises as much.
DRAY_NODISCARD int32_t mc_settle_failed(struct mc_writing *writing, const uint64_t *rows, uint64_t row_count,
                                        const struct dray_error *why, struct dray_error *error);
// Sends a body and gets the tree of an answer of 200. On any failure the rows have been settled with it and *out is
// NULL. @errors of mc_settle_failed.
DRAY_NODISCARD int32_t mc_send(struct mc_writing *writing, const char *method, const uint64_t *rows, uint64_t row_count,
                               struct dray_json **out, struct dray_error *error);

// MD5 of the address in small letters: how members are called in paths. 0: no address, or no memory.
int mc_member_hash(struct dray_str email, char out[33]);
// Members of rows, each asked for by itself. `take` gets the fields that were asked for, or NULL where nobody is there.
struct mc_look_up {
  const char *fields;
  const uint64_t *rows;
  uint64_t row_count;
  void (*take)(struct mc_writing *writing, uint64_t row, const struct dray_json *member, void *ctx);
  void *ctx;
};
// Rows whose member could not be looked up have been settled. No request of this instance is under way. @errors of
// mc_settle_failed.
DRAY_NODISCARD int32_t mc_look_up(struct mc_writing *writing, const struct mc_look_up *look_up,
                                  struct dray_error *error);

// Write the rows of the batch. @errors those that promise that nothing was applied.
DRAY_NODISCARD int32_t mc_write_members(struct mc_writing *writing, struct dray_error *error);
DRAY_NODISCARD int32_t mc_write_removals(struct mc_writing *writing, struct dray_error *error);
DRAY_NODISCARD int32_t mc_write_segments(struct mc_writing *writing, struct dray_error *error);

// How members are sent.
enum {
  MC_AS_OLD = 0, // what has changed, and no status that brings somebody back
  MC_AS_NEW = 1, // everything, with a status; whoever is there is left alone
  MC_AS_BACK = 2 // the same for those who are in the archive
};
// The body of a call for these rows (members_body.c). @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t mc_members_body(const struct mc_writing *writing, const uint64_t *rows, uint64_t row_count,
                                       int how, int sync_tags, struct dray_error *error);
int mc_says_tags(const struct mc_writing *writing, uint64_t row);
// Whether a row is sent with a status, which makes a member of whoever is none.
int mc_says_status(const struct mc_writing *writing, uint64_t row, int how);

// The merge fields of one audience, from discover to begin (merge_fields.c).
struct mc_known_fields {
  struct dray_json *root; // NULL: not known
  int64_t asked_ms;
  char list_id[72];
};
// @errors CONFIG_VALUE for an audience that is not there, those of mc_get.
DRAY_NODISCARD int32_t mc_known_fields_ask(struct mc_client *client, const char *list_id, struct mc_known_fields *out,
                                           struct dray_error *error);
void mc_known_fields_free(struct mc_known_fields *known);

// Finds the merge fields that the columns name, and makes those that are missing where the options say so
// (merge_fields.c). `columns`: one for each of the plan's schema. Asks once a run, whatever its lanes, and not at all
// for what is `known` since a moment, which is used up. @errors SCHEMA_FIELD, CONFIG_VALUE, those of the client.
DRAY_NODISCARD int32_t mc_merge_columns_resolve(struct mc_client *client, const struct mc_options *options,
                                                const struct dray_write_plan *plan, struct mc_known_fields *known,
                                                struct mc_column *columns, struct dray_error *error);

#endif // MAILCHIMP_WRITING_H
