// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of a life. Every version of every row has another content; which one a mirror holds is seen by a pass.
#include "life_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"

#define TEXT_MAX 9000

static const char *const key_integer[] = {"id"};
static const char *const key_text[] = {"name"};
static const char *const key_both[] = {"id", "name"};

struct dr_schema *life_schema(const struct life_shape *shape) {
  struct dray_column_def defs[4];
  size_t count = 0;
  if (shape->key != LIFE_KEY_TEXT) defs[count++] = (struct dray_column_def){"id", {DRAY_TYPE_INT64, 0, 0}, 0};
  if (shape->key != LIFE_KEY_INTEGER) defs[count++] = (struct dray_column_def){"name", {DRAY_TYPE_STRING, 0, 0}, 0};
  defs[count++] = (struct dray_column_def){"version", {DRAY_TYPE_INT64, 0, 0}, 1};
  if (shape->text_max > 0) defs[count++] = (struct dray_column_def){"text", {DRAY_TYPE_STRING, 0, 0}, 1};
  struct dr_schema *schema = NULL;
  return dr_schema_new(defs, count, &schema, NULL) == DRAY_OK ? schema : NULL;
}

struct dr_mirror_options life_options(const struct life *life, const char *folder, int create) {
  const int kind = (int)life->shape->key;
  return (struct dr_mirror_options){.folder = folder,
                                    .schema = life->schema,
                                    .key = kind == LIFE_KEY_BOTH   ? key_both
                                           : kind == LIFE_KEY_TEXT ? key_text
                                                                   : key_integer,
                                    .key_count = kind == LIFE_KEY_BOTH ? 2 : 1,
                                    .seed = 7,
                                    .memory_bytes = life->shape->memory_bytes,
                                    .create = create,
                                    .keep = life->keep,
                                    .threads = life->threads};
}

static int32_t put_row(const struct life_shape *shape, struct dray_builder *builder, size_t key, uint32_t version,
                       struct dray_error *error) {
  char text[TEXT_MAX + 8];
  size_t column = 0;
  if (shape->key != LIFE_KEY_TEXT) {
    const int64_t id = shape->key == LIFE_KEY_BOTH ? (int64_t)key / 7 : (int64_t)key;
    DRAY_TRY(dray_builder_int64(builder, column++, id, error));
  }
  if (shape->key != LIFE_KEY_INTEGER) {
    const int len = snprintf(text, sizeof text, "%05zu", key);
    DRAY_TRY(dray_builder_bytes(builder, column++, dray_str_make(text, (uint64_t)len), error));
  }
  DRAY_TRY(dray_builder_int64(builder, column++, (int64_t)version, error));
  if (shape->text_max > 0) {
    const size_t len = (size_t)(disk_mix(key, version) % shape->text_max);
    for (size_t i = 0; i < len; i += 8) { // does not pack well
      const uint64_t word = disk_mix(disk_mix(key, version), i);
      for (size_t at = 0; at < 8; at++) text[i + at] = (char)('0' + (word >> (8 * at) & 63));
    }
    DRAY_TRY(dray_builder_bytes(builder, column, dray_str_make(text, len), error));
  }
  return dray_builder_end_row(builder, NULL, error);
}

size_t life_key_of(const struct life_shape *shape, const struct dr_changes *changes, size_t i) {
  const struct dray_view *view = &changes->rows->view;
  if (shape->key == LIFE_KEY_INTEGER) return (size_t)dray_column_int64(&view->columns[0], i);
  char digits[8] = {0};
  const struct dray_str name = dray_column_bytes(&view->columns[shape->key == LIFE_KEY_BOTH ? 1 : 0], i);
  if (name.len != 5) abort();
  memcpy(digits, name.data, 5);
  return (size_t)strtoull(digits, NULL, 10);
}

// The rows [first, first + count) of the keys that exist, as one batch.
static int32_t make_batch(const struct life *life, const struct life_pass *pass, size_t *key, struct dr_batch **out,
                          struct dray_error *error) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {0};
  DRAY_TRY(dray_builder_new(&life->schema->arrow, UINT64_MAX, UINT64_MAX, &builder, error));
  int32_t rc = DRAY_OK;
  uint64_t count = 0;
  for (; rc == DRAY_OK && *key < life->shape->keys && count < pass->batch_rows; (*key)++) {
    if (pass->rows[*key] == 0 || (pass->skip_salt != 0 && disk_mix(pass->skip_salt, *key) % 2 == 0)) continue;
    rc = put_row(life->shape, builder, *key, pass->rows[*key], error);
    count++;
  }
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &array, error);
  dray_builder_free(builder);
  if (rc == DRAY_OK) rc = dr_batch_wrap(life->schema, &array, out, error);
  return rc;
}

int32_t life_pass(const struct life *life, struct dr_mirror *mirror, const char *set_path, const struct life_pass *pass,
                  struct dr_diff_counts *out, struct dray_error *error) {
  const struct dr_diff_options options = {.flags = pass->flags, .changeset_path = set_path};
  struct dr_diff *diff = NULL;
  size_t key = 0;
  DRAY_TRY(dr_diff_begin(mirror, &options, &diff, error));
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK && key < life->shape->keys) {
    struct dr_batch *batch = NULL;
    rc = make_batch(life, pass, &key, &batch, error);
    if (rc == DRAY_OK) rc = dr_diff_add(diff, batch, error);
  }
  if (rc == DRAY_OK) rc = dr_diff_finish(diff, out, error);
  if (rc == DRAY_OK) out->column_updates = NULL; // the diff's
  dr_diff_free(diff);
  return rc;
}

static uint64_t digest_of(const struct dr_changes *changes, uint64_t digest) {
  for (size_t i = 0; i < changes->count; i++) {
    digest = disk_mix(digest, changes->op[i]);
    digest = disk_mix(digest, changes->key_hash[i].high ^ changes->key_hash[i].low);
    digest = disk_mix(digest, changes->row_hash[i]);
    for (size_t at = 0; at < changes->changed_stride; at++) {
      digest = disk_mix(digest, changes->changed[i * changes->changed_stride + at]);
    }
    for (size_t column = 0; column < changes->rows->view.column_count; column++) {
      const struct dray_column_view *view = &changes->rows->view.columns[column];
      if (dray_column_is_null(view, i)) continue;
      if (view->type.id == DRAY_TYPE_INT64) {
        digest = disk_mix(digest, (uint64_t)dray_column_int64(view, i));
        continue;
      }
      const struct dray_str text = dray_column_bytes(view, i);
      for (uint64_t at = 0; at < text.len; at += 5) digest = disk_mix(digest, (uint8_t)text.data[at]);
    }
  }
  return digest;
}

int32_t life_digest(const char *set_path, uint64_t *out, uint64_t *out_count, struct dray_error *error) {
  struct dr_changeset *set = NULL;
  uint64_t seq = 0, digest = 1;
  DRAY_TRY(dr_changeset_open(set_path, &set, error));
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK) {
    struct dr_changes *changes = NULL;
    rc = dr_changeset_next(set, seq, 100, 1u << 20, 1, &changes, error);
    if (rc != DRAY_OK || changes == NULL) break;
    digest = digest_of(changes, digest);
    seq += changes->count;
    dr_changes_free(changes);
  }
  if (rc == DRAY_OK) *out_count = dr_changeset_count(set);
  dr_changeset_close(set);
  *out = disk_mix(digest, seq);
  return rc;
}
