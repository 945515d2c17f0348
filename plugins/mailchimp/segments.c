// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Who is in a static segment. A tag is one: 500 members of it are changed by one call, where tags of a member cost a
// call each.
#include <stdio.h>
#include <strings.h>

#include "writing.h"

#define NAME_BYTES_MAX 300

static int is_removal(const struct mc_writing *writing, uint64_t row) {
  return dray_change_op(writing->changes, row) == DRAY_OP_DELETE;
}

static void write_emails(const struct mc_writing *writing, const char *member, const uint64_t *rows, uint64_t row_count,
                         int removals, struct dray_json_writer *writer) {
  dray_json_key(writer, member);
  dray_json_begin_array(writer);
  for (uint64_t i = 0; i < row_count; i++) {
    if (is_removal(writing, rows[i]) == removals) dray_json_write_str(writer, mc_email(writing, rows[i]));
  }
  dray_json_end_array(writer);
}

static int32_t make_body(const struct mc_writing *writing, const uint64_t *rows, uint64_t row_count,
                         struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(writing->body);
  dray_json_writer_init(&writer, writing->body, error);
  dray_json_begin_object(&writer);
  write_emails(writing, "members_to_add", rows, row_count, 0, &writer);
  write_emails(writing, "members_to_remove", rows, row_count, 1, &writer);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

// The error that names the address: {"email_addresses": [...], "error": "..."}.
static const char *error_of(const struct dray_json *root, struct dray_str email) {
  const struct dray_json *errors = dray_json_get(root, "errors");
  for (const struct dray_json *one = errors != NULL ? errors->child : NULL; one != NULL; one = one->next) {
    const struct dray_json *emails = dray_json_get(one, "email_addresses");
    for (const struct dray_json *text = emails != NULL ? emails->child : NULL; text != NULL; text = text->next) {
      if (text->kind == DRAY_JSON_STRING && mc_same_email(text->text, email)) {
        return dray_json_string(dray_json_get(one, "error"), "not a member of the audience").data;
      }
    }
  }
  return NULL;
}

static int32_t send(struct mc_writing *writing, const char *segment, const uint64_t *rows, uint64_t row_count,
                    struct dray_error *error) {
  struct dray_json *root = NULL;
  dray_buffer_clear(writing->path);
  DRAY_TRY(dray_buffer_printf(writing->path, error, "/lists/%s/segments/%s", writing->options->list_id, segment));
  DRAY_TRY(make_body(writing, rows, row_count, error));
  DRAY_TRY(mc_send(writing, "POST", rows, row_count, &root, error));
  for (uint64_t i = 0; root != NULL && i < row_count; i++) {
    const char *why = error_of(root, mc_email(writing, rows[i]));
    if (why == NULL) {
      mc_settle(writing, rows[i], DRAY_RECEIPT_APPLIED, 0, NULL);
    } else if (is_removal(writing, rows[i])) {
      mc_settle(writing, rows[i], DRAY_RECEIPT_UNCHANGED, 0, NULL);
    } else {
      mc_settle(writing, rows[i], DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, why);
    }
  }
  dray_json_free(root);
  return DRAY_OK;
}

// ---- tags ----

static struct dray_str tag_of(const struct mc_writing *writing, uint64_t row) {
  const struct dray_column_view *column = &writing->changes->view.columns[writing->tag];
  return dray_column_is_null(column, row) ? dray_str_make(NULL, 0) : dray_column_bytes(column, row);
}

static int32_t id_text(const struct dray_json *id, char out[40], struct dray_error *error) {
  const int good = id != NULL && (id->kind == DRAY_JSON_NUMBER || id->kind == DRAY_JSON_STRING) && id->text.len > 0 &&
                   id->text.len < 40 && strspn(id->text.data, "0123456789") == id->text.len;
  if (!good) return dray_fail(error, DRAY_E_HTTP_CONTENT, "a tag of the answer has no id");
  (void)snprintf(out, 40, "%s", id->text.data);
  return DRAY_OK;
}

// The id of the tag; empty when there is none. Names are compared without regard to case, as the vendor does.
static int32_t find_tag(struct mc_writing *writing, struct dray_str tag, char out[40], struct dray_error *error) {
  struct dray_json *root = NULL;
  out[0] = '\0';
  dray_buffer_clear(writing->path);
  DRAY_TRY(dray_buffer_printf(writing->path, error, "/lists/%s/tag-search", writing->options->list_id));
  DRAY_TRY(dray_api_query(writing->path, 1, "name", tag, error));
  DRAY_TRY(mc_get(writing->client, writing->path->data, &root, NULL, error));
  const struct dray_json *tags = dray_json_get(root, "tags");
  int32_t rc = DRAY_OK;
  for (const struct dray_json *one = tags != NULL ? tags->child : NULL; one != NULL && out[0] == '\0';
       one = one->next) {
    if (!mc_same_email(dray_json_string(dray_json_get(one, "name"), ""), tag)) continue;
    rc = id_text(dray_json_get(one, "id"), out, error);
    if (rc != DRAY_OK) break;
  }
  dray_json_free(root);
  return rc;
}

// Makes the tag. Nothing is left of rows when it cannot be done.
static int32_t make_tag(struct mc_writing *writing, struct dray_str tag, char out[40], struct dray_error *error) {
  struct dray_json *root = NULL;
  struct dray_json_writer writer;
  struct dray_api_request request = {.flags = DRAY_HTTP_NO_RETRY, .method = "POST"};
  dray_buffer_clear(writing->path);
  dray_buffer_clear(writing->body);
  DRAY_TRY(dray_buffer_printf(writing->path, error, "/lists/%s/segments", writing->options->list_id));
  dray_json_writer_init(&writer, writing->body, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "name");
  dray_json_write_str(&writer, tag);
  dray_json_key(&writer, "static_segment");
  dray_json_begin_array(&writer);
  dray_json_end_array(&writer);
  dray_json_end_object(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  request.path = dray_buffer_view(writing->path);
  request.body = dray_buffer_view(writing->body);
  int32_t rc = dray_api_call(&writing->client->api, &request, writing->answer, error);
  if (rc == DRAY_OK && writing->answer->status >= 400) rc = mc_fail(writing->answer, "making a tag", error);
  if (rc == DRAY_OK) rc = dray_api_json(writing->answer, 1u << 20, &root, error);
  if (rc == DRAY_OK) rc = id_text(dray_json_get(root, "id"), out, error);
  dray_json_free(root);
  // The next attempt finds it, if it was made: no row is in doubt for it.
  if (rc != DRAY_OK && error != NULL) error->vendor_code[0] = '\0';
  return rc;
}

static int32_t write_tag(struct mc_writing *writing, const uint64_t *rows, uint64_t row_count,
                         struct dray_error *error) {
  const struct dray_str tag = tag_of(writing, rows[0]);
  char segment[40];
  struct dray_error why;
  int adds = 0;
  dray_error_init(&why);
  for (uint64_t i = 0; i < row_count; i++) adds |= !is_removal(writing, rows[i]);
  int32_t rc = find_tag(writing, tag, segment, &why);
  if (rc == DRAY_OK && segment[0] == '\0' && adds) rc = make_tag(writing, tag, segment, &why);
  if (rc != DRAY_OK) return mc_settle_failed(writing, rows, row_count, &why, error);
  if (segment[0] != '\0') return send(writing, segment, rows, row_count, error);
  for (uint64_t i = 0; i < row_count; i++) mc_settle(writing, rows[i], DRAY_RECEIPT_UNCHANGED, 0, NULL);
  return DRAY_OK;
}

static int32_t write_tags(struct mc_writing *writing, uint8_t *left, struct dray_error *error) {
  for (uint64_t row = 0; row < writing->row_count; row++) {
    uint64_t rows[MC_BATCH_ROWS_MAX], count = 0;
    if (!left[row]) continue;
    for (uint64_t other = row; other < writing->row_count; other++) {
      if (!left[other] || !mc_same_email(tag_of(writing, other), tag_of(writing, row))) continue;
      left[other] = 0;
      rows[count++] = other;
    }
    DRAY_TRY(write_tag(writing, rows, count, error));
  }
  return DRAY_OK;
}

int32_t mc_write_segments(struct mc_writing *writing, struct dray_error *error) {
  uint64_t rows[MC_BATCH_ROWS_MAX], count = 0, hopeless = 0;
  uint8_t left[MC_BATCH_ROWS_MAX] = {0};
  for (uint64_t row = 0; row < writing->row_count; row++) {
    const int has_tag =
        writing->tag < 0 || (tag_of(writing, row).len > 0 && tag_of(writing, row).len <= NAME_BYTES_MAX);
    if (mc_email(writing, row).len > 0 && has_tag) {
      left[row] = 1;
      rows[count++] = row;
      continue;
    }
    mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_NULL, "the row has no email address or no tag");
    hopeless++;
  }
  writing->settled_count = 0; // of what needed no call
  int32_t rc = DRAY_OK;
  if (writing->tag >= 0) {
    rc = write_tags(writing, left, error);
  } else if (count > 0) {
    rc = send(writing, writing->options->segment_id, rows, count, error);
  }
  writing->settled_count += rc == DRAY_OK ? hopeless : 0;
  return rc;
}
