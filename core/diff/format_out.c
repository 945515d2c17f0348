// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writing the files of this module: header, blocks, tables, footer. Knows nothing of what the bytes mean.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/file.h"
#include "diff/format.h"
#include "table/encode.h"

#define WAITING_BYTES (256u << 10)
#define PACK_LEVEL (-1) // old rows are read here and there, and literals that are not packed unpack in half the time

void dr_out_init(struct dr_out *out, int fd, const char *path) {
  memset(out, 0, sizeof *out);
  out->fd = fd;
  out->path = path;
  out->packer.level = PACK_LEVEL;
  dray_buffer_init(&out->waiting, (size_t)DR_BLOCK_BYTES_MAX + WAITING_BYTES);
}

void dr_out_free(struct dr_out *out) {
  dray_buffer_free(&out->waiting);
  dr_packer_free(&out->packer);
}

int32_t dr_out_flush(struct dr_out *out, struct dray_error *error) {
  if (out->waiting.len == 0) return DRAY_OK;
  DRAY_TRY(dr_fd_write(out->fd, out->waiting.data, out->waiting.len, out->path, error));
#ifdef SYNC_FILE_RANGE_WRITE // a hint, where there is much: the sync at the end tells of errors, an empty set has none
  const off_t begin = (off_t)(out->offset - out->waiting.len), len = (off_t)out->waiting.len;
  if (out->to_be_synced && len >= WAITING_BYTES) (void)sync_file_range(out->fd, begin, len, SYNC_FILE_RANGE_WRITE);
#endif
  dray_buffer_clear(&out->waiting);
  return DRAY_OK;
}

int32_t dr_out_write(struct dr_out *out, const void *data, size_t len, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append(&out->waiting, data, len, error));
  out->offset += len;
  return out->waiting.len >= WAITING_BYTES ? dr_out_flush(out, error) : DRAY_OK;
}

int32_t dr_temp_open(const char *folder, char **out_path, int *out_fd, struct dray_error *error) {
  char *path = dr_path_join(folder, "tmp.XXXXXX");
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path in %s", folder);
  const int fd = mkstemp(path);
  if (fd < 0) {
    const int32_t rc = dr_fail_errno(error, "create", path);
    free(path);
    return rc;
  }
  (void)unlink(path);
  (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  *out_path = path;
  *out_fd = fd;
  return DRAY_OK;
}

static void chain(struct dr_out *out, uint64_t sum) {
  uint8_t bytes[16];
  dr_put_u64(bytes, out->digest);
  dr_put_u64(bytes + 8, sum);
  out->digest = dr_sum(bytes, sizeof bytes, 0);
}

// ---- the header ----

static int32_t put_text(struct dray_buffer *to, struct dray_str text, struct dray_error *error) {
  uint8_t len[4];
  dr_put_u32(len, (uint32_t)text.len);
  DRAY_TRY(dray_buffer_append(to, len, sizeof len, error));
  return dray_buffer_append(to, text.data, (size_t)text.len, error);
}

static int32_t header_body(const struct dr_file_info *info, struct dray_buffer *body, struct dray_buffer *json,
                           struct dray_error *error) {
  uint8_t fixed[DR_HEADER_FIXED_BYTES];
  dr_put_u64(fixed, info->number);
  dr_put_u64(fixed + 8, info->generation);
  dr_put_u64(fixed + 16, info->seed_id);
  dr_put_u64(fixed + 24, info->twin);
  dr_put_u32(fixed + 32, DR_ENCODING_VERSION);
  dr_put_u32(fixed + 36, (uint32_t)info->keep);
  dr_put_u32(fixed + 40, (uint32_t)info->mixed);
  dr_put_u32(fixed + 44, (uint32_t)info->key_count);
  DRAY_TRY(dray_buffer_append(body, fixed, sizeof fixed, error));
  for (size_t i = 0; i < info->key_count; i++) DRAY_TRY(put_text(body, dray_str_of(info->key[i]), error));
  DRAY_TRY(dr_schema_to_json(info->schema, json, error));
  return put_text(body, dray_buffer_view(json), error);
}

int32_t dr_out_header(struct dr_out *out, const char *magic, const struct dr_file_info *info,
                      struct dray_error *error) {
  struct dray_buffer body, json;
  dray_buffer_init(&body, 64u << 20);
  dray_buffer_init(&json, 32u << 20);
  int32_t rc = header_body(info, &body, &json, error);
  if (rc != DRAY_OK) goto done;
  uint8_t front[16], end[8];
  memcpy(front, magic, 8);
  dr_put_u32(front + 8, DR_FORMAT_VERSION);
  dr_put_u32(front + 12, (uint32_t)body.len);
  const uint64_t sum = dr_sum(body.data, body.len, dr_sum(front, sizeof front, out->offset));
  dr_put_u64(end, sum);
  if ((rc = dr_out_write(out, front, sizeof front, error)) != DRAY_OK) goto done;
  if ((rc = dr_out_write(out, body.data, body.len, error)) != DRAY_OK) goto done;
  if ((rc = dr_out_write(out, end, sizeof end, error)) != DRAY_OK) goto done;
  chain(out, sum);
done:
  dray_buffer_free(&body);
  dray_buffer_free(&json);
  return rc;
}

// ---- blocks ----

size_t dr_packed_max(size_t raw_bytes) {
  return ZSTD_compressBound(raw_bytes);
}

int32_t dr_pack(struct dr_packer *packer, struct dray_str raw, char *to, size_t room, size_t *out_len,
                struct dray_error *error) {
  if (packer->zstd == NULL) packer->zstd = ZSTD_createCCtx();
  if (packer->zstd == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to pack blocks of a mirror");
  const size_t len = ZSTD_compressCCtx(packer->zstd, to, room, raw.data, (size_t)raw.len, packer->level);
  if (ZSTD_isError(len)) {
    return dray_fail(error,
                     ZSTD_getErrorCode(len) == ZSTD_error_memory_allocation ? DRAY_E_OUT_OF_MEMORY : DRAY_E_INTERNAL,
                     "a block of a mirror cannot be packed: %s", ZSTD_getErrorName(len));
  }
  *out_len = len < raw.len ? len : 0;
  return DRAY_OK;
}

void dr_packer_free(struct dr_packer *packer) {
  ZSTD_freeCCtx(packer->zstd);
  packer->zstd = NULL;
}

// A block whose stored body lies behind its header's place in `waiting` already.
static int32_t end_block(struct dr_out *out, char *to, uint32_t kind, int packed, size_t stored, size_t raw,
                         uint64_t first, uint32_t count, struct dray_error *error) {
  dr_put_u32(to, kind);
  dr_put_u32(to + 4, packed ? 1 : 0);
  dr_put_u32(to + 8, (uint32_t)stored);
  dr_put_u32(to + 12, (uint32_t)raw);
  dr_put_u64(to + 16, first);
  dr_put_u32(to + 24, count);
  dr_put_u32(to + 28, 0);
  const uint64_t sum = dr_sum(to, DR_BLOCK_HEADER_BYTES + stored, out->offset);
  dr_put_u64(to + DR_BLOCK_HEADER_BYTES + stored, sum);
  const size_t total = DR_BLOCK_HEADER_BYTES + stored + DR_BLOCK_SUM_BYTES;
  out->waiting.len += total;
  out->offset += total;
  chain(out, sum);
  return out->waiting.len >= WAITING_BYTES ? dr_out_flush(out, error) : DRAY_OK;
}

int32_t dr_out_block(struct dr_out *out, uint32_t kind, uint64_t first, uint32_t count, int pack, struct dray_str raw,
                     struct dray_error *error) {
  if (raw.len > DR_BLOCK_BYTES_MAX) {
    return dray_fail(error, DRAY_E_DATA_TOO_LARGE, "a row of %llu bytes is larger than the %u that %s can hold",
                     (unsigned long long)raw.len, DR_BLOCK_BYTES_MAX, out->path);
  }
  if (out->packer.level == DR_LEVEL_NONE) pack = 0;
  const size_t room = pack ? dr_packed_max((size_t)raw.len) : (size_t)raw.len;
  char *to = NULL;
  DRAY_TRY(dray_buffer_reserve(&out->waiting, DR_BLOCK_HEADER_BYTES + room + DR_BLOCK_SUM_BYTES, &to, error));
  char *body = to + DR_BLOCK_HEADER_BYTES;
  size_t len = 0;
  if (pack) DRAY_TRY(dr_pack(&out->packer, raw, body, room, &len, error));
  const int packed = len != 0;
  if (!packed) {
    len = (size_t)raw.len;
    if (len > 0) memcpy(body, raw.data, len);
  }
  return end_block(out, to, kind, packed, len, (size_t)raw.len, first, count, error);
}

int32_t dr_out_stored_block(struct dr_out *out, const struct dr_block *block, uint64_t first,
                            struct dray_error *error) {
  char *to = NULL;
  const size_t stored = (size_t)block->stored.len;
  DRAY_TRY(dray_buffer_reserve(&out->waiting, DR_BLOCK_HEADER_BYTES + stored + DR_BLOCK_SUM_BYTES, &to, error));
  memcpy(to + DR_BLOCK_HEADER_BYTES, block->stored.data, stored);
  return end_block(out, to, block->kind, (int)block->packed, stored, block->raw_bytes, first, block->count, error);
}

int32_t dr_out_table(struct dr_out *out, uint32_t kind, const struct dray_buffer *items, size_t item_bytes,
                     uint64_t *out_offset, struct dray_error *error) {
  const uint64_t begin = out->offset;
  const size_t step = DR_TABLE_RAW_BYTES / item_bytes * item_bytes;
  for (size_t at = 0; at < items->len; at += step) {
    const size_t len = items->len - at < step ? items->len - at : step;
    DRAY_TRY(dr_out_block(out, kind, at / item_bytes, (uint32_t)(len / item_bytes), 0,
                          dray_str_make(items->data + at, len), error));
  }
  *out_offset = begin;
  return DRAY_OK;
}

// ---- the footer ----

int32_t dr_out_footer(struct dr_out *out, struct dr_footer *footer, struct dray_error *error) {
  footer->digest = out->digest;
  const uint64_t values[] = {footer->records,      footer->changes,        footer->places_offset,
                             footer->places_count, footer->entries_offset, footer->entries_count,
                             footer->keys_offset,  footer->keys_count,     footer->index_offset,
                             footer->index_count,  footer->digest,         out->offset + DR_FOOTER_BYTES,
                             DR_FORMAT_VERSION};
  uint8_t bytes[DR_FOOTER_BYTES] = {0};
  memcpy(bytes, DR_MAGIC_FOOTER, 8);
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) dr_put_u64(bytes + 8 + 8 * i, values[i]);
  dr_put_u64(bytes + DR_FOOTER_BYTES - 8, dr_sum(bytes, DR_FOOTER_BYTES - 8, out->offset));
  DRAY_TRY(dr_out_write(out, bytes, sizeof bytes, error));
  return dr_out_flush(out, error);
}
