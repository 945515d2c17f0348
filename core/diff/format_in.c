// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading the files of this module. Every byte is under a checksum that is tested before anything in it is believed,
// and what passed is still checked against the limits: a file can be damaged and a checksum can be forged.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"
#include "diff/diff.h"
#include "diff/format.h"
#include "table/encode.h"

#define HEADER_BYTES_MAX (64u << 20)
#define READ_BYTES (20u << 10) // what is read of a block at once: nearly always all of it

int32_t dr_corrupt(struct dray_error *error, const char *path, uint64_t offset, const char *format, ...) {
  char what[512];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(what, sizeof what, format, args);
  va_end(args);
  return dray_fail(error, DRAY_E_MIRROR_CORRUPT, "%s does not verify at byte %llu: %s", path,
                   (unsigned long long)offset, what);
}

int32_t dr_in_open(struct dr_in *in, const char *path, struct dray_error *error) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return dr_fail_errno(error, "open", path);
  struct stat info;
  if (fstat(fd, &info) != 0) {
    const int32_t rc = dr_fail_errno(error, "look at", path);
    (void)close(fd);
    return rc;
  }
  *in = (struct dr_in){.fd = fd, .path = path, .bytes = (uint64_t)info.st_size};
  return DRAY_OK;
}

void dr_in_close(struct dr_in *in) {
  if (in->fd >= 0) (void)close(in->fd);
  in->fd = -1;
  ZSTD_freeDCtx(in->zstd);
  in->zstd = NULL;
}

// ---- the header ----

void dr_file_info_free(struct dr_file_info *info) {
  dr_schema_unref(info->schema);
  for (size_t i = 0; i < info->key_count; i++) free(info->key[i]);
  free(info->key);
  memset(info, 0, sizeof *info);
}

uint64_t dr_seed_id(uint64_t seed) {
  uint8_t bytes[8];
  dr_put_u64(bytes, seed);
  return dr_sum(bytes, sizeof bytes, UINT64_C(0x5EED1D)) & UINT32_MAX; // half of it: the secret cannot be computed back
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

int32_t dr_file_info_set(struct dr_file_info *info, struct dr_schema *schema, const char *const *key, size_t key_count,
                         uint64_t seed, struct dray_error *error) {
  memset(info, 0, sizeof *info);
  info->key = calloc(key_count + 1, sizeof *info->key);
  if (info->key == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu key columns", key_count);
  info->schema = dr_schema_ref(schema);
  for (; info->key_count < key_count; info->key_count++) {
    info->key[info->key_count] = dray_str_dup(dray_str_of(key[info->key_count]));
    if (info->key[info->key_count] == NULL) {
      dr_file_info_free(info);
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu key columns", key_count);
    }
  }
  qsort(info->key, key_count, sizeof *info->key, by_name);
  info->seed_id = dr_seed_id(seed);
  return DRAY_OK;
}

// Takes a length and that many bytes off the front of *rest; 0 when they are not there.
static int take_text(struct dray_str *rest, struct dray_str *out) {
  if (rest->len < 4) return 0;
  const uint32_t len = dr_get_u32(rest->data);
  if (rest->len - 4 < len) return 0;
  *out = dray_str_make(rest->data + 4, len);
  *rest = dray_str_make(rest->data + 4 + len, rest->len - 4 - len);
  return 1;
}

static int32_t parse_header(const struct dr_in *in, struct dray_str rest, struct dr_file_info *out,
                            struct dray_error *error) {
  struct dray_str text;
  const uint32_t encoding = dr_get_u32(rest.data + 32), keys = dr_get_u32(rest.data + 44);
  const uint32_t keep = dr_get_u32(rest.data + 36), mixed = dr_get_u32(rest.data + 40);
  out->number = dr_get_u64(rest.data);
  out->generation = dr_get_u64(rest.data + 8);
  out->seed_id = dr_get_u64(rest.data + 16);
  out->twin = dr_get_u64(rest.data + 24);
  if (encoding != DR_ENCODING_VERSION) {
    return dray_fail(error, DRAY_E_STATE_VERSION,
                     "%s holds rows in encoding %u, this version of dray knows %d: " DR_WAYS_OUT, in->path, encoding,
                     DR_ENCODING_VERSION);
  }
  if (keep > DR_KEEP_KEY || mixed > 1) {
    return dr_corrupt(error, in->path, 52, "it keeps %u of its rows, under keys of kind %u", keep, mixed);
  }
  out->keep = (int)keep;
  out->mixed = (int)mixed;
  rest = dray_str_make(rest.data + DR_HEADER_FIXED_BYTES, rest.len - DR_HEADER_FIXED_BYTES);
  if (keys == 0 || keys > rest.len / 4) return dr_corrupt(error, in->path, 60, "%u key columns", keys);
  out->key = calloc(keys, sizeof *out->key);
  if (out->key == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %u key columns", keys);
  for (; out->key_count < keys; out->key_count++) {
    if (!take_text(&rest, &text)) return dr_corrupt(error, in->path, 64, "the key columns are cut short");
    out->key[out->key_count] = dray_str_dup(text);
    if (out->key[out->key_count] == NULL) {
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %u key columns", keys);
    }
  }
  if (!take_text(&rest, &text) || rest.len != 0) return dr_corrupt(error, in->path, 64, "the schema is cut short");
  const int32_t rc = dr_schema_from_json(text, &out->schema, error);
  if (rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY) return rc;
  return dr_corrupt(error, in->path, 64, "the schema cannot be read");
}

// The header's bytes behind its first 16, and the sum behind them, are in `body`.
static int32_t check_header(const struct dr_in *in, const char *magic, const uint8_t *front,
                            const struct dray_buffer *body, struct dray_error *error) {
  if (memcmp(front, magic, 8) != 0) return dr_corrupt(error, in->path, 0, "it does not begin with %s", magic);
  const uint64_t sum = dr_sum(body->data, body->len - 8, dr_sum(front, 16, 0));
  if (dr_get_u64(body->data + body->len - 8) != sum) {
    return dr_corrupt(error, in->path, 0, "the checksum of the header is wrong");
  }
  const uint32_t version = dr_get_u32(front + 8);
  if (version == DR_FORMAT_VERSION) return DRAY_OK;
  return dray_fail(error, DRAY_E_STATE_VERSION, "%s has format %u, this version of dray knows %u: " DR_WAYS_OUT,
                   in->path, version, DR_FORMAT_VERSION);
}

int32_t dr_in_header(struct dr_in *in, const char *magic, struct dr_file_info *out, struct dray_error *error) {
  uint8_t front[16];
  struct dr_file_info info = {0};
  if (in->bytes < sizeof front) return dr_corrupt(error, in->path, in->bytes, "it is cut in its header");
  DRAY_TRY(dr_fd_pread(in->fd, front, sizeof front, 0, in->path, error));
  const uint32_t len = dr_get_u32(front + 12);
  if (len < DR_HEADER_FIXED_BYTES || len > HEADER_BYTES_MAX || len + 8 > in->bytes - sizeof front) {
    return dr_corrupt(error, in->path, 12, "a header of %u bytes in a file of %llu", len,
                      (unsigned long long)in->bytes);
  }
  struct dray_buffer body;
  dray_buffer_init(&body, HEADER_BYTES_MAX + 8);
  int32_t rc = dray_buffer_reserve(&body, len + 8, NULL, error);
  if (rc != DRAY_OK) goto done;
  rc = dr_fd_pread(in->fd, body.data, len + 8, sizeof front, in->path, error);
  if (rc != DRAY_OK) goto done;
  body.len = len + 8;
  rc = check_header(in, magic, front, &body, error);
  if (rc == DRAY_OK) rc = parse_header(in, dray_str_make(body.data, len), &info, error);
  if (rc != DRAY_OK) goto done;
  in->data = sizeof front + len + 8;
  *out = info;
done:
  if (rc != DRAY_OK) dr_file_info_free(&info);
  dray_buffer_free(&body);
  return rc;
}

// ---- the footer ----

int32_t dr_in_footer(struct dr_in *in, struct dr_footer *out, struct dray_error *error) {
  uint8_t bytes[DR_FOOTER_BYTES];
  if (in->bytes < in->data + DR_FOOTER_BYTES) return dr_corrupt(error, in->path, in->bytes, "its end is missing");
  const uint64_t at = in->bytes - DR_FOOTER_BYTES;
  DRAY_TRY(dr_fd_pread(in->fd, bytes, sizeof bytes, at, in->path, error));
  if (memcmp(bytes, DR_MAGIC_FOOTER, 8) != 0) {
    return dr_corrupt(error, in->path, at, "there is no footer: the file is cut or was never finished");
  }
  if (dr_get_u64(bytes + DR_FOOTER_BYTES - 8) != dr_sum(bytes, DR_FOOTER_BYTES - 8, at)) {
    return dr_corrupt(error, in->path, at, "the checksum of the footer is wrong");
  }
  if (dr_get_u64(bytes + 96) != in->bytes) {
    return dr_corrupt(error, in->path, at, "the footer belongs to a file of %llu bytes",
                      (unsigned long long)dr_get_u64(bytes + 96));
  }
  *out = (struct dr_footer){
      .records = dr_get_u64(bytes + 8),
      .changes = dr_get_u64(bytes + 16),
      .places_offset = dr_get_u64(bytes + 24),
      .places_count = dr_get_u64(bytes + 32),
      .entries_offset = dr_get_u64(bytes + 40),
      .entries_count = dr_get_u64(bytes + 48),
      .keys_offset = dr_get_u64(bytes + 56),
      .keys_count = dr_get_u64(bytes + 64),
      .index_offset = dr_get_u64(bytes + 72),
      .index_count = dr_get_u64(bytes + 80),
      .digest = dr_get_u64(bytes + 88),
  };
  return DRAY_OK;
}

// ---- blocks ----

void dr_block_init(struct dr_block *block) {
  memset(block, 0, sizeof *block);
  block->offset = UINT64_MAX;
  dray_buffer_init(&block->bytes, (size_t)DR_BLOCK_BYTES_MAX + READ_BYTES);
  dray_buffer_init(&block->unpacked, DR_BLOCK_BYTES_MAX);
}

void dr_block_free(struct dr_block *block) {
  dray_buffer_free(&block->bytes);
  dray_buffer_free(&block->unpacked);
}

int32_t dr_block_unpack(struct dr_in *in, struct dr_block *block, struct dray_error *error) {
  char *to = NULL;
  if (block->raw.data != NULL) return DRAY_OK;
  if (block->packed == 0) {
    block->raw = block->stored;
    return DRAY_OK;
  }
  if (in->zstd == NULL) in->zstd = ZSTD_createDCtx();
  if (in->zstd == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to unpack blocks of %s", in->path);
  dray_buffer_clear(&block->unpacked);
  DRAY_TRY(dray_buffer_reserve(&block->unpacked, block->raw_bytes, &to, error));
  const size_t len = ZSTD_decompressDCtx(in->zstd, to, block->raw_bytes, block->stored.data, (size_t)block->stored.len);
  if (ZSTD_isError(len) || len != block->raw_bytes) {
    return dr_corrupt(error, in->path, block->offset, "a block does not unpack to its %u bytes", block->raw_bytes);
  }
  block->raw = dray_str_make(to, len);
  return DRAY_OK;
}

// Reads the block with its header and sum into block->bytes; in one go if it is no larger than `expect`.
static int32_t read_stored(struct dr_in *in, uint64_t offset, uint64_t expect, struct dr_block *block,
                           struct dray_error *error) {
  const size_t frame = DR_BLOCK_HEADER_BYTES + DR_BLOCK_SUM_BYTES;
  char *to = NULL;
  if (offset > in->bytes || in->bytes - offset < frame) return dr_corrupt(error, in->path, offset, "a block is cut");
  uint64_t have = expect < frame || expect > READ_BYTES ? READ_BYTES : expect;
  if (have > in->bytes - offset) have = in->bytes - offset;
  dray_buffer_clear(&block->bytes);
  DRAY_TRY(dray_buffer_reserve(&block->bytes, (size_t)have, &to, error));
  DRAY_TRY(dr_fd_pread(in->fd, to, (size_t)have, offset, in->path, error));
  const uint32_t packed = dr_get_u32(to + 4), stored = dr_get_u32(to + 8), raw = dr_get_u32(to + 12);
  if (stored > in->bytes - offset - frame || raw > DR_BLOCK_BYTES_MAX || stored > raw || packed > 1 ||
      (packed == 0 && stored != raw)) {
    return dr_corrupt(error, in->path, offset, "a block claims %u bytes stored, %u unpacked", stored, raw);
  }
  block->bytes.len = (size_t)have;
  if (frame + stored <= have) return DRAY_OK;
  DRAY_TRY(dray_buffer_reserve(&block->bytes, frame + stored - (size_t)have, &to, error));
  return dr_fd_pread(in->fd, to, frame + stored - (size_t)have, offset + have, in->path, error);
}

int32_t dr_in_block_packed(struct dr_in *in, uint64_t offset, uint64_t expect, uint32_t kind, struct dr_block *block,
                           struct dray_error *error) {
  if (block->offset == offset && (kind == 0 || block->kind == kind)) return DRAY_OK;
  block->offset = UINT64_MAX; // until it is whole
  DRAY_TRY(read_stored(in, offset, expect, block, error));
  const char *head = block->bytes.data;
  const uint32_t stored = dr_get_u32(head + 8);
  const uint64_t sum = dr_sum(head, DR_BLOCK_HEADER_BYTES + stored, offset);
  if (dr_get_u64(head + DR_BLOCK_HEADER_BYTES + stored) != sum) {
    return dr_corrupt(error, in->path, offset, "the checksum of a block of %u bytes is wrong", stored);
  }
  if (kind != 0 && dr_get_u32(head) != kind) {
    return dr_corrupt(error, in->path, offset, "a block of kind %u where one of kind %u belongs", dr_get_u32(head),
                      kind);
  }
  block->kind = dr_get_u32(head);
  block->packed = dr_get_u32(head + 4);
  block->raw_bytes = dr_get_u32(head + 12);
  block->first = dr_get_u64(head + 16);
  block->count = dr_get_u32(head + 24);
  block->stored = dray_str_make(head + DR_BLOCK_HEADER_BYTES, stored);
  block->raw = dray_str_make(NULL, 0);
  block->sum = sum;
  block->end = offset + DR_BLOCK_HEADER_BYTES + stored + DR_BLOCK_SUM_BYTES;
  block->offset = offset;
  return DRAY_OK;
}

int32_t dr_in_block(struct dr_in *in, uint64_t offset, uint32_t kind, struct dr_block *block,
                    struct dray_error *error) {
  DRAY_TRY(dr_in_block_packed(in, offset, 0, kind, block, error));
  return dr_block_unpack(in, block, error);
}

int dr_block_is_true(const uint8_t *bytes, uint32_t kind, uint64_t offset, uint64_t first, uint32_t count,
                     uint32_t stored) {
  return dr_get_u64(bytes + DR_BLOCK_HEADER_BYTES + stored) == dr_sum(bytes, DR_BLOCK_HEADER_BYTES + stored, offset) &&
         dr_get_u32(bytes) == kind && dr_get_u32(bytes + 4) == 0 && dr_get_u32(bytes + 8) == stored &&
         dr_get_u32(bytes + 12) == stored && dr_get_u64(bytes + 16) == first && dr_get_u32(bytes + 24) == count;
}

int32_t dr_in_table(struct dr_in *in, uint32_t kind, uint64_t offset, uint64_t count, size_t item_bytes,
                    struct dray_buffer *out, struct dray_error *error) {
  struct dr_block block;
  dr_block_init(&block);
  int32_t rc = DRAY_OK;
  uint64_t have = 0;
  while (have < count) {
    if ((rc = dr_in_block(in, offset, kind, &block, error)) != DRAY_OK) goto done;
    if (block.first != have || block.count == 0 || block.count > count - have ||
        block.raw.len != (uint64_t)block.count * item_bytes) {
      rc = dr_corrupt(error, in->path, offset, "a table's block has %u items from %llu on", block.count,
                      (unsigned long long)block.first);
      goto done;
    }
    if ((rc = dray_buffer_append(out, block.raw.data, (size_t)block.raw.len, error)) != DRAY_OK) goto done;
    have += block.count;
    offset = block.end;
  }
done:
  dr_block_free(&block);
  return rc;
}

// ---- records ----

// Blocks must begin at 0 and rise, in number and in place.
static int32_t check_places(const struct dr_rows_in *rows, struct dray_error *error) {
  uint64_t last_first = 0, last_offset = 0;
  for (size_t at = 0; at < rows->places.len; at += 16) {
    const uint64_t first = dr_get_u64(rows->places.data + at), offset = dr_get_u64(rows->places.data + at + 8);
    if ((at == 0 ? first != 0 : first <= last_first) || offset <= last_offset || first >= rows->count) {
      return dr_corrupt(error, rows->in->path, offset, "the directory of blocks is out of order");
    }
    last_first = first;
    last_offset = offset;
  }
  return rows->count > 0 && rows->places.len == 0
             ? dr_corrupt(error, rows->in->path, 0, "the directory of blocks is empty")
             : DRAY_OK;
}

int32_t dr_rows_in_open(struct dr_rows_in *rows, struct dr_in *in, const struct dr_footer *footer,
                        struct dray_error *error) {
  memset(rows, 0, sizeof *rows);
  rows->in = in;
  rows->count = footer->records;
  dr_block_init(&rows->block);
  dray_buffer_init(&rows->places, SIZE_MAX / 4);
  int32_t rc = dr_in_table(in, DR_BLOCK_PLACES, footer->places_offset, footer->places_count, 16, &rows->places, error);
  if (rc == DRAY_OK) rc = check_places(rows, error);
  if (rc != DRAY_OK) dr_rows_in_close(rows);
  return rc;
}

void dr_rows_in_close(struct dr_rows_in *rows) {
  dr_block_free(&rows->block);
  dray_buffer_free(&rows->places);
  free(rows->ends);
  rows->ends = NULL;
  rows->ends_capacity = 0;
}

// The place of the block that holds record `number`: the last that does not begin behind it.
static size_t find_place(const struct dr_rows_in *rows, uint64_t number) {
  const size_t count = rows->places.len / 16;
  size_t low = 0, high = count;
  if (rows->place < count && dr_get_u64(rows->places.data + rows->place * 16) <= number) low = rows->place;
  if (low + 1 < count && dr_get_u64(rows->places.data + low * 16 + 16) > number) return low;
  if (low + 2 < count && dr_get_u64(rows->places.data + low * 16 + 32) > number) return low + 1;
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    if (dr_get_u64(rows->places.data + middle * 16) <= number) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

uint64_t dr_rows_in_end(const struct dr_rows_in *rows, uint64_t number) {
  const size_t next = (find_place(rows, number) + 1) * 16;
  return next < rows->places.len ? dr_get_u64(rows->places.data + next) : rows->count;
}

int32_t dr_rows_in_load(struct dr_rows_in *rows, uint64_t number, struct dray_error *error) {
  struct dr_block *block = &rows->block;
  if (number >= rows->count) {
    return dr_corrupt(error, rows->in->path, 0, "record %llu of %llu", (unsigned long long)number,
                      (unsigned long long)rows->count);
  }
  if (block->offset != UINT64_MAX && number >= block->first && number - block->first < block->count) return DRAY_OK;
  const size_t place = find_place(rows, number), at = place * 16;
  const uint64_t offset = dr_get_u64(rows->places.data + at + 8);
  const uint64_t next = at + 16 < rows->places.len ? dr_get_u64(rows->places.data + at + 24) : offset;
  rows->open = 0;
  DRAY_TRY(dr_in_block_packed(rows->in, offset, next - offset, DR_BLOCK_ROWS, block, error));
  if (block->first != dr_get_u64(rows->places.data + at) || number - block->first >= block->count) {
    block->offset = UINT64_MAX;
    return dr_corrupt(error, rows->in->path, offset, "a block does not hold record %llu", (unsigned long long)number);
  }
  rows->place = place;
  return DRAY_OK;
}

// Takes the lengths in front of a block's records apart; 0 when they do not fill the block.
static int read_ends(struct dr_rows_in *rows) {
  const struct dr_block *block = &rows->block;
  const uint8_t *at = (const uint8_t *)block->raw.data, *end = at + block->raw.len;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < block->count; i++) {
    uint64_t length = 0;
    unsigned shift = 0;
    do {
      if (at == end || shift > 28) return 0;
      length |= (uint64_t)(*at & 127) << shift;
      shift += 7;
    } while ((*at++ & 128) != 0);
    sum += length;
    if (sum > DR_BLOCK_BYTES_MAX) return 0;
    rows->ends[i] = (uint32_t)sum;
  }
  rows->front = (size_t)(at - (const uint8_t *)block->raw.data);
  return sum == (uint64_t)(end - at);
}

static int32_t open_records(struct dr_rows_in *rows, struct dray_error *error) {
  struct dr_block *block = &rows->block;
  DRAY_TRY(dr_block_unpack(rows->in, block, error));
  if (block->count > rows->ends_capacity && block->count <= block->raw.len) {
    uint32_t *ends = realloc(rows->ends, ((size_t)block->count + 64) * sizeof *ends);
    if (ends == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %u records", block->count);
    rows->ends = ends;
    rows->ends_capacity = (size_t)block->count + 64;
  }
  if (block->count > block->raw.len || !read_ends(rows)) {
    const uint64_t offset = block->offset;
    block->offset = UINT64_MAX;
    return dr_corrupt(error, rows->in->path, offset, "the records do not fill their block");
  }
  rows->open = 1;
  return DRAY_OK;
}

int32_t dr_rows_in_get(struct dr_rows_in *rows, uint64_t number, struct dray_str *out, struct dray_error *error) {
  DRAY_TRY(dr_rows_in_load(rows, number, error));
  if (!rows->open) DRAY_TRY(open_records(rows, error));
  const size_t slot = (size_t)(number - rows->block.first);
  const uint32_t begin = slot > 0 ? rows->ends[slot - 1] : 0;
  *out = dray_str_make(rows->block.raw.data + rows->front + begin, rows->ends[slot] - begin);
  return DRAY_OK;
}
