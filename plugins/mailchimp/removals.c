// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Removals: the vendor takes members away one by one, so several requests are under way at once. A member that is gone
// already is as it should be.
#include <openssl/evp.h>
#include <stdio.h>

#include "writing.h"

#define AHEAD_MAX 10

struct removal {
  uint64_t row;
  struct dray_api_pending *pending;
};

// MD5 of the address in small letters: how members are called in paths.
static int hash_of(struct dray_str email, char out[33]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  char lower[512];
  if (email.len == 0 || email.len >= sizeof(lower)) return 0;
  for (uint64_t i = 0; i < email.len; i++) {
    lower[i] = (char)(email.data[i] >= 'A' && email.data[i] <= 'Z' ? email.data[i] + 32 : email.data[i]);
  }
  if (EVP_Digest(lower, (size_t)email.len, digest, &bytes, EVP_md5(), NULL) != 1 || bytes != 16) return 0;
  for (unsigned int i = 0; i < 16; i++) (void)snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
  return 1;
}

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
                                           .body = dray_str_of(ways[way].body)};
  return dray_api_start(&writing->client->api, &request, out, error);
}

// 405: who is archived cannot be archived again, nor can who is pending or has bounced.
static int32_t judge_not_allowed(struct mc_writing *writing, uint64_t row, struct dray_error *error) {
  struct dray_json *root = NULL;
  char path[160], hash[33], words[MC_WORDS_BYTES];
  int32_t status = 0;
  mc_words(writing->answer, words);
  if (!hash_of(mc_email(writing, row), hash)) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a digest");
  (void)snprintf(path, sizeof(path), "/lists/%s/members/%s?fields=status", writing->options->list_id, hash);
  const int32_t rc = mc_get(writing->client, path, &root, &status, error);
  const int archived = rc == DRAY_OK && dray_str_is(dray_json_string(dray_json_get(root, "status"), ""), "archived");
  dray_json_free(root);
  if (rc != DRAY_OK && status != 404) return rc;
  if (archived || status == 404) {
    mc_settle(writing, row, DRAY_RECEIPT_UNCHANGED, 0, NULL);
  } else {
    mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, words);
  }
  return DRAY_OK;
}

static int32_t judge(struct mc_writing *writing, uint64_t row, struct dray_error *error) {
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
  if (status == 405) return judge_not_allowed(writing, row, error);
  if (status == 400 || status == 422) {
    mc_words(writing->answer, words);
    mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, words);
    return DRAY_OK;
  }
  return mc_fail(writing->answer, "removing a member", error);
}

static int32_t finish(struct mc_writing *writing, struct removal *removal, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  struct dray_api_pending *pending = removal->pending;
  removal->pending = NULL;
  int32_t rc = dray_api_finish(pending, writing->answer, &why);
  if (rc == DRAY_OK) rc = judge(writing, removal->row, &why);
  return rc == DRAY_OK ? DRAY_OK : mc_settle_failed(writing, &removal->row, 1, &why, error);
}

// Addresses are one whatever the case of their letters, and the keys of rows are not: when a source begins to write
// them in small letters, each comes as a new row and as a removal of the old one. A member that is spelled otherwise
// than the removal was written by the row that took its place. Only asked of addresses with capitals, which are few.
static int32_t is_of_another_row(struct mc_writing *writing, uint64_t row, const char hash[33], int *out,
                                 struct dray_error *error) {
  struct dray_json *root = NULL;
  char path[200];
  int32_t status = 0;
  const struct dray_str email = mc_email(writing, row);
  uint64_t capitals = 0;
  for (uint64_t i = 0; i < email.len; i++) capitals += email.data[i] >= 'A' && email.data[i] <= 'Z';
  *out = 0;
  if (capitals == 0) return DRAY_OK;
  (void)snprintf(path, sizeof(path), "/lists/%s/members/%s?fields=email_address", writing->options->list_id, hash);
  const int32_t rc = mc_get(writing->client, path, &root, &status, error);
  if (rc != DRAY_OK) return status == 404 ? DRAY_OK : rc;
  const struct dray_str held = dray_json_string(dray_json_get(root, "email_address"), "");
  *out = mc_same_email(held, email) && !dray_str_equal(held, email);
  dray_json_free(root);
  return DRAY_OK;
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
  if (!hash_of(mc_email(writing, row), hash)) {
    mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_NULL, "the row has no email address");
    return DRAY_OK;
  }
  int is_others = 0;
  int32_t rc = is_of_another_row(writing, row, hash, &is_others, &why);
  if (rc == DRAY_OK && is_others) {
    mc_settle(writing, row, DRAY_RECEIPT_UNCHANGED, 0, NULL);
    return DRAY_OK;
  }
  if (rc == DRAY_OK) rc = start(writing, hash, &out->pending, &why);
  return rc == DRAY_OK ? DRAY_OK : mc_settle_failed(writing, &row, 1, &why, error);
}

int32_t mc_write_removals(struct mc_writing *writing, struct dray_error *error) {
  struct removal under_way[AHEAD_MAX] = {{0, NULL}};
  const uint64_t ahead = (uint64_t)writing->client->settings->max_connections;
  uint64_t started = 0, finished = 0, row = next_row(writing, 0);
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK && (row < writing->row_count || finished < started)) {
    if (row < writing->row_count && started - finished < ahead) {
      struct removal *place = &under_way[started % AHEAD_MAX];
      rc = start_next(writing, row, place, error);
      if (rc == DRAY_OK && place->pending != NULL) started++;
      row = next_row(writing, row + 1);
      continue;
    }
    rc = finish(writing, &under_way[finished % AHEAD_MAX], error);
    finished++;
  }
  // An error promises that nothing was applied: requests under way cannot be taken back, so they are waited for first.
  for (; finished < started; finished++) {
    struct dray_error ignored;
    dray_error_init(&ignored);
    (void)finish(writing, &under_way[finished % AHEAD_MAX], &ignored);
  }
  return rc;
}
