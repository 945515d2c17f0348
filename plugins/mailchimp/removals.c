// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Removals: the vendor takes members away one by one, so several requests are under way at once. A member that is gone
// already is as it should be. How its address is spelled by now does not matter: the host knows rows by the folded
// address (DRAY_FIELD_CASELESS), so a removal never stands beside a row that wants the member.
#include <stdio.h>

#include "writing.h"

struct removal {
  uint64_t row;
  struct dray_api_pending *pending;
};

static const struct {
  const char *method, *suffix, *body;
} ways[] = {[MC_DELETE_ARCHIVE] = {"DELETE", "", NULL},
            [MC_DELETE_UNSUBSCRIBE] = {"PATCH", "", "{\"status\":\"unsubscribed\"}"},
            [MC_DELETE_PERMANENT] = {"POST", "/actions/delete-permanent", NULL}};

static int32_t start(struct mc_writing *writing, const char hash[33], struct dray_api_pending **out,
                     struct dray_error *error) {
  const int32_t way = writing->options->deletion;
  dray_buffer_clear(writing->path);
  DRAY_TRY(dray_buffer_printf(writing->path, error, "/lists/%s/members/%s%s", writing->options->list_id, hash,
                              ways[way].suffix));
  const struct dray_api_request request = {.flags = DRAY_HTTP_NO_RETRY,
                                           .method = ways[way].method,
                                           .path = dray_buffer_view(writing->path),
                                           .body = dray_str_of(ways[way].body),
                                           .does_once = 1};
  return dray_api_start(&writing->client->api, &request, out, error);
}

// Rows that were refused with 405, to be looked at when no request is under way.
struct refused {
  uint64_t rows[MC_BATCH_ROWS_MAX];
  uint64_t count;
  char words[MC_WORDS_BYTES]; // of the last of them: they say the same
};

// 405: who is archived cannot be archived again, nor can who is pending or has bounced.
static void judge_not_allowed(struct mc_writing *writing, uint64_t row, const struct dray_json *member, void *ctx) {
  const struct refused *refused = ctx;
  if (member == NULL || dray_str_is(dray_json_string(dray_json_get(member, "status"), ""), "archived")) {
    mc_settle(writing, row, DRAY_RECEIPT_UNCHANGED, 0, NULL);
  } else {
    mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, refused->words);
  }
}

static int32_t judge(struct mc_writing *writing, uint64_t row, struct refused *refused, struct dray_error *error) {
  const int32_t status = writing->answer->status;
  char words[MC_WORDS_BYTES];
  if (status < 400) {
    mc_settle(writing, row, DRAY_RECEIPT_APPLIED, 0, NULL);
    return DRAY_OK;
  }
  if (status == 404) {
    mc_settle(writing, row, DRAY_RECEIPT_UNCHANGED, 0, NULL);
    return DRAY_OK;
  }
  if (status == 405) {
    mc_words(writing->answer, refused->words);
    refused->rows[refused->count++] = row;
    return DRAY_OK;
  }
  if (status == 400 || status == 422) {
    mc_words(writing->answer, words);
    mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, words);
    return DRAY_OK;
  }
  return mc_fail(writing->answer, "removing a member", error);
}

static int32_t finish(struct mc_writing *writing, struct removal *removal, struct refused *refused,
                      struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  struct dray_api_pending *pending = removal->pending;
  removal->pending = NULL;
  int32_t rc = dray_api_finish(pending, writing->answer, &why);
  if (rc == DRAY_OK) rc = judge(writing, removal->row, refused, &why);
  return rc == DRAY_OK ? DRAY_OK : mc_settle_failed(writing, &removal->row, 1, &why, error);
}

// The next row that is to be removed, from *row on; row_count: none.
static uint64_t next_row(const struct mc_writing *writing, uint64_t row) {
  while (row < writing->row_count &&
         (writing->settled[row] || dray_change_op(writing->changes, row) != DRAY_OP_DELETE)) {
    row++;
  }
  return row;
}

static int32_t start_next(struct mc_writing *writing, uint64_t row, struct removal *out, struct dray_error *error) {
  char hash[33];
  struct dray_error why;
  dray_error_init(&why);
  *out = (struct removal){.row = row};
  if (!mc_member_hash(mc_email(writing, row), hash)) {
    mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_NULL, "the row has no email address");
    return DRAY_OK;
  }
  const int32_t rc = start(writing, hash, &out->pending, &why);
  return rc == DRAY_OK ? DRAY_OK : mc_settle_failed(writing, &row, 1, &why, error);
}

static int32_t remove_all(struct mc_writing *writing, struct refused *refused, struct dray_error *error) {
  struct removal under_way[MC_CONNECTIONS_MAX] = {{0, NULL}};
  const uint64_t ahead = (uint64_t)writing->client->settings->max_connections;
  uint64_t started = 0, finished = 0, row = next_row(writing, 0);
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK && (row < writing->row_count || finished < started)) {
    if (row < writing->row_count && started - finished < ahead) {
      struct removal *place = &under_way[started % MC_CONNECTIONS_MAX];
      rc = start_next(writing, row, place, error);
      if (rc == DRAY_OK && place->pending != NULL) started++;
      row = next_row(writing, row + 1);
      continue;
    }
    rc = finish(writing, &under_way[finished % MC_CONNECTIONS_MAX], refused, error);
    finished++;
  }
  // An error promises that nothing was applied: requests under way cannot be taken back, so they are waited for first.
  for (; finished < started; finished++) {
    struct dray_error ignored;
    dray_error_init(&ignored);
    (void)finish(writing, &under_way[finished % MC_CONNECTIONS_MAX], refused, &ignored);
  }
  return rc;
}

int32_t mc_write_removals(struct mc_writing *writing, struct dray_error *error) {
  struct refused refused = {.count = 0};
  DRAY_TRY(remove_all(writing, &refused, error));
  const struct mc_look_up look_up = {
      .fields = "status", .rows = refused.rows, .row_count = refused.count, .take = judge_not_allowed, .ctx = &refused};
  return mc_look_up(writing, &look_up, error);
}
