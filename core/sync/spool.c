// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The file is blocks of a header (bytes and rows behind it) and rows, each with its length before its encoding. It is
// read by the process that wrote it, so integers are the machine's.
#include "sync/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "dray/stream.h"
#include "table/encode.h"

#define BLOCK_BYTES_MAX (2ull << 30) // one row may be large
#define PATH_BYTES_MAX 4096

struct header {
  uint64_t bytes;
  uint32_t rows;
};

struct dr_spool {
  int fd;
  char path[PATH_BYTES_MAX]; // as it was, for messages
  struct dr_schema *schema;  // one reference
  struct ArrowSchema arrow;  // of what is built: the fields and _dray_absent
  struct dr_encoder encoder;
  struct dray_str *slices;
  struct dray_buffer block, row;
  uint32_t block_rows;
  uint64_t read_at, first_row;
};

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for rows that are put by");
}

static int32_t make_file(struct dr_spool *spool, const char *folder, struct dray_error *error) {
  const int n = snprintf(spool->path, sizeof(spool->path), "%s/rows.XXXXXX.spill", folder);
  if (n < 0 || (size_t)n >= sizeof(spool->path))
    return dray_fail(error, DRAY_E_LIMIT, "the path %s is too long", folder);
  spool->fd = mkstemps(spool->path, (int)strlen(".spill"));
  if (spool->fd < 0) return dr_fail_errno(error, "making", spool->path);
  if (unlink(spool->path) != 0) return dr_fail_errno(error, "removing the name of", spool->path);
  return DRAY_OK;
}

static int32_t make_schema(struct dr_spool *spool, struct dray_error *error) {
  const struct dr_schema *schema = spool->schema;
  struct dray_column_def *defs = calloc(schema->field_count + 1, sizeof(*defs));
  if (defs == NULL) return no_memory(error);
  for (size_t i = 0; i < schema->field_count; i++) {
    const struct dr_field *field = &schema->fields[i];
    defs[i] = (struct dray_column_def){field->name, field->type, field->nullable};
  }
  defs[schema->field_count] = (struct dray_column_def){DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1};
  const int32_t rc = dray_schema_make(defs, schema->field_count + 1, &spool->arrow, error);
  free(defs);
  return rc;
}

int32_t dr_spool_new(const char *folder, struct dr_schema *schema, struct dr_spool **out, struct dray_error *error) {
  struct dr_spool *spool = calloc(1, sizeof(*spool));
  if (spool == NULL) return no_memory(error);
  spool->fd = -1;
  spool->schema = dr_schema_ref(schema);
  dray_buffer_init(&spool->block, BLOCK_BYTES_MAX);
  dray_buffer_init(&spool->row, BLOCK_BYTES_MAX);
  spool->slices = calloc(schema->field_count + 1, sizeof(*spool->slices));
  int32_t rc = spool->slices == NULL ? no_memory(error) : DRAY_OK;
  if (rc == DRAY_OK) rc = dr_encoder_init(&spool->encoder, schema, NULL, 0, 0, error);
  if (rc == DRAY_OK) rc = make_schema(spool, error);
  if (rc == DRAY_OK) rc = make_file(spool, folder, error);
  if (rc != DRAY_OK) {
    dr_spool_free(spool);
    return rc;
  }
  *out = spool;
  return DRAY_OK;
}

void dr_spool_free(struct dr_spool *spool) {
  if (spool == NULL) return;
  if (spool->fd >= 0) (void)close(spool->fd);
  dray_schema_release(&spool->arrow);
  dr_encoder_free(&spool->encoder);
  dr_schema_unref(spool->schema);
  dray_buffer_free(&spool->block);
  dray_buffer_free(&spool->row);
  free(spool->slices);
  free(spool);
}

// ---- adding ----

static int32_t write_block(struct dr_spool *spool, struct dray_error *error) {
  const struct header header = {spool->block.len, spool->block_rows};
  if (spool->block_rows == 0) return DRAY_OK;
  DRAY_TRY(dr_fd_write(spool->fd, &header, sizeof(header), spool->path, error));
  DRAY_TRY(dr_fd_write(spool->fd, spool->block.data, spool->block.len, spool->path, error));
  dray_buffer_clear(&spool->block);
  spool->block_rows = 0;
  return DRAY_OK;
}

int32_t dr_spool_add(struct dr_spool *spool, const struct dr_batch *batch, struct dray_error *error) {
  for (uint64_t i = 0; i < dr_batch_rows(batch); i++) {
    dray_buffer_clear(&spool->row);
    DRAY_TRY(dr_encode_row(&spool->encoder, batch, i, &spool->row, error));
    const uint64_t bytes = spool->row.len;
    DRAY_TRY(dray_buffer_append(&spool->block, (const char *)&bytes, sizeof(bytes), error));
    DRAY_TRY(dray_buffer_append(&spool->block, spool->row.data, spool->row.len, error));
    spool->block_rows++;
    const int full = spool->block.len >= DR_BATCH_BYTES_DEFAULT || spool->block_rows == DR_BATCH_ROWS_DEFAULT;
    if (full) DRAY_TRY(write_block(spool, error));
  }
  return DRAY_OK;
}

// ---- reading ----

static int32_t read_block(struct dr_spool *spool, struct header *out, struct dray_error *error) {
  struct header header = {0, 0};
  char *to = NULL;
  const off_t end = lseek(spool->fd, 0, SEEK_END);
  if (end < 0) return dr_fail_errno(error, "reading", spool->path);
  *out = header;
  if (spool->read_at == (uint64_t)end) return DRAY_OK;
  DRAY_TRY(dr_fd_pread(spool->fd, &header, sizeof(header), spool->read_at, spool->path, error));
  dray_buffer_clear(&spool->block);
  DRAY_TRY(dray_buffer_reserve(&spool->block, header.bytes, &to, error));
  DRAY_TRY(dr_fd_pread(spool->fd, to, header.bytes, spool->read_at + sizeof(header), spool->path, error));
  spool->block.len = header.bytes;
  spool->read_at += sizeof(header) + header.bytes;
  *out = header;
  return DRAY_OK;
}

static int32_t build_row(struct dr_spool *spool, struct dray_str row, struct dray_builder *builder,
                         struct dray_error *error) {
  const size_t count = spool->encoder.column_count;
  int32_t full = 0;
  DRAY_TRY(dr_decode_slices(row, count, spool->slices, error));
  for (size_t i = 0; i < count; i++) {
    DRAY_TRY(dr_decode_value(spool->slices[i], builder, spool->encoder.columns[i], error));
  }
  return dray_builder_end_row(builder, &full, error);
}

static int32_t build_rows(struct dr_spool *spool, uint32_t rows, struct dray_builder *builder,
                          struct dray_error *error) {
  uint64_t at = 0;
  for (uint32_t i = 0; i < rows; i++) {
    uint64_t bytes = 0;
    const uint64_t left = spool->block.len - at;
    if (left >= sizeof(bytes)) memcpy(&bytes, spool->block.data + at, sizeof(bytes));
    if (left < sizeof(bytes) || bytes > left - sizeof(bytes)) {
      return dray_fail(error, DRAY_E_MIRROR_CORRUPT, "%s: a row ends behind its block", spool->path);
    }
    DRAY_TRY(build_row(spool, dray_str_make(spool->block.data + at + sizeof(bytes), bytes), builder, error));
    at += sizeof(bytes) + bytes;
  }
  return DRAY_OK;
}

int32_t dr_spool_next(struct dr_spool *spool, struct dr_batch **out, struct dray_error *error) {
  struct dray_builder *builder = NULL;
  struct ArrowArray array = {.release = NULL};
  struct dr_batch *batch = NULL;
  struct header header = {0, 0};
  DRAY_TRY(write_block(spool, error));
  DRAY_TRY(read_block(spool, &header, error));
  if (header.rows == 0) {
    *out = NULL;
    return DRAY_OK;
  }
  int32_t rc = dray_builder_new(&spool->arrow, header.rows, UINT32_MAX, &builder, error);
  if (rc == DRAY_OK) rc = build_rows(spool, header.rows, builder, error);
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, &array, error);
  if (rc == DRAY_OK) rc = dr_batch_wrap(spool->schema, &array, &batch, error);
  dray_builder_free(builder);
  dray_array_release(&array);
  if (rc != DRAY_OK) return rc;
  batch->first_row = spool->first_row;
  spool->first_row += header.rows;
  *out = batch;
  return DRAY_OK;
}
