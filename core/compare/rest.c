// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rest files, and where their records come from.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "compare/inside.h"
#include "compare/temp.h"

#define PIECE_BYTES_MAX (UINT64_C(1) << 32)
#define COUNT_BYTES 65536
#define ORIGIN_SHARE 9 // records of 128 bytes have origins of 16

// ---- writing ----

void sieve_piece_init(struct rest_piece *piece) {
  memset(piece, 0, sizeof(*piece));
  dray_buffer_init(&piece->bytes, PIECE_BYTES_MAX);
}

void sieve_piece_free(struct rest_piece *piece) {
  dray_buffer_free(&piece->bytes);
  free(piece->origins);
  piece->origins = NULL;
}

void sieve_piece_clear(struct rest_piece *piece) {
  dray_buffer_clear(&piece->bytes);
  piece->count = 0;
  piece->lines = 0;
}

int32_t sieve_piece_add(struct rest_piece *piece, const char *record, size_t len, int may_have_lines, uint64_t offset,
                        struct dray_error *error) {
  if (piece->count == piece->capacity) {
    const size_t capacity = piece->capacity != 0 ? piece->capacity * 2 : 64;
    struct rest_origin *origins = realloc(piece->origins, capacity * sizeof(*origins));
    if (origins == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu records", capacity);
    piece->origins = origins;
    piece->capacity = capacity;
  }
  char *to = NULL;
  DRAY_TRY(dray_buffer_reserve(&piece->bytes, len + 1, &to, error));
  memcpy(to, record, len);
  to[len] = '\n';
  piece->bytes.len += len + 1;
  piece->origins[piece->count++] = (struct rest_origin){piece->lines, offset};
  piece->lines += 1 + (may_have_lines ? scan_count_lines(record, len, '\0') : 0);
  return DRAY_OK;
}

int32_t sieve_rest_open(struct dr_sieve *sieve, int side, uint64_t memory_bytes, struct dray_error *error) {
  struct sieve_rest *rest = &sieve->rests[side];
  const char *name = side == DR_SIEVE_OLD ? "rest-old" : "rest-new";
  const uint64_t origins = memory_bytes / ORIGIN_SHARE;
  DRAY_TRY(temp_store_open(&rest->content, sieve->temp_folder, name, memory_bytes - origins, error));
  DRAY_TRY(temp_store_open(&rest->origins, sieve->temp_folder, NULL, origins, error));
  return sieve_rest_begin(sieve, side, error);
}

void sieve_rest_close(struct sieve_rest *rest) {
  temp_store_close(&rest->content);
  temp_store_close(&rest->origins);
  *rest = (struct sieve_rest){.content = TEMP_STORE_NONE, .origins = TEMP_STORE_NONE};
}

// A reader drops a BOM at the start of a file: what begins like one needs another before it.
static int starts_like_bom(const char *data, size_t len) {
  return len >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0;
}

int32_t sieve_rest_begin(struct dr_sieve *sieve, int side, struct dray_error *error) {
  struct sieve_rest *rest = &sieve->rests[side];
  const struct dray_buffer *header = &sieve->inputs[side].header;
  if (rest->content.fd >= 0 && ftruncate(rest->content.fd, 0) != 0) {
    return dr_fail_errno(error, "empty a temporary file in", sieve->temp_folder);
  }
  rest->bytes = rest->rows = 0;
  rest->lines = 1;
  // Without a header the first record is not known yet: a BOM is always right.
  if (header->len == 0 || starts_like_bom(header->data, header->len)) {
    DRAY_TRY(temp_store_write(&rest->content, "\xEF\xBB\xBF", 3, 0, error));
    rest->bytes = 3;
  }
  rest->start = rest->bytes;
  if (header->len == 0) return DRAY_OK;
  DRAY_TRY(temp_store_write(&rest->content, header->data, header->len, rest->bytes, error));
  DRAY_TRY(temp_store_write(&rest->content, "\n", 1, rest->bytes + header->len, error));
  rest->bytes += header->len + 1;
  rest->start = rest->bytes;
  rest->lines += scan_count_lines(header->data, header->len, '\0') + 1;
  return DRAY_OK;
}

void sieve_rest_place(struct sieve_rest *rest, struct rest_piece *piece) {
  piece->at_bytes = rest->bytes;
  piece->at_rows = rest->rows;
  piece->at_lines = rest->lines;
  rest->bytes += piece->bytes.len;
  rest->rows += piece->count;
  rest->lines += piece->lines;
}

int32_t sieve_rest_write(struct dr_sieve *sieve, int side, struct rest_piece *piece, struct dray_error *error) {
  struct sieve_rest *rest = &sieve->rests[side];
  if (piece->count == 0) return DRAY_OK;
  for (size_t i = 0; i < piece->count; i++) piece->origins[i].line += piece->at_lines;
  DRAY_TRY(temp_store_write(&rest->content, piece->bytes.data, piece->bytes.len, piece->at_bytes, error));
  return temp_store_write(&rest->origins, piece->origins, piece->count * sizeof(*piece->origins),
                          piece->at_rows * sizeof(*piece->origins), error);
}

// ---- where a record comes from ----

static int32_t count_lines(const struct sieve_input *input, uint64_t from, uint64_t to, uint64_t *out,
                           struct dray_error *error) {
  char before = '\0';
  char *block = malloc(COUNT_BYTES);
  if (block == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to count lines");
  int32_t rc = from > 0 ? dr_fd_pread(input->fd, &before, 1, from - 1, input->path, error) : DRAY_OK;
  uint64_t lines = 0;
  while (from < to && rc == DRAY_OK) {
    const size_t len = to - from < COUNT_BYTES ? (size_t)(to - from) : COUNT_BYTES;
    rc = dr_fd_pread(input->fd, block, len, from, input->path, error);
    if (rc != DRAY_OK) break;
    lines += scan_count_lines(block, len, before);
    before = block[len - 1];
    from += len;
  }
  free(block);
  *out = lines;
  return rc;
}

// What the passes over chunks know and a merge does not.
static int32_t number_lines(struct dr_sieve *sieve, int side, struct dray_error *error) {
  const struct sieve_input *input = &sieve->inputs[side];
  uint64_t at = input->data_start, line = input->first_line;
  for (uint64_t i = 0; i < sieve->chunk_count[side]; i++) {
    struct sieve_chunk *chunk = &sieve->chunks[side][i];
    uint64_t lines = 0;
    DRAY_TRY(count_lines(input, at, chunk->start, &lines, error));
    at = chunk->start;
    line += lines;
    chunk->first_line = line;
  }
  sieve->lines_unknown[side] = 0;
  return DRAY_OK;
}

int32_t dr_sieve_origin(struct dr_sieve *sieve, int side, uint64_t rest_line, struct dr_sieve_origin *out,
                        struct dray_error *error) {
  const struct sieve_rest *rest = &sieve->rests[side];
  const struct sieve_input *input = &sieve->inputs[side];
  struct rest_origin origin = {0};
  uint64_t low = 0, high = sieve->result.sievable ? rest->rows : 0; // the last record that begins at or before the line
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    DRAY_TRY(temp_store_read(&rest->origins, &origin, sizeof(origin), middle * sizeof(origin), error));
    if (origin.line <= rest_line) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) {
    return dray_fail(error, DRAY_E_LIMIT, "no record of the rest begins at or before line %llu",
                     (unsigned long long)rest_line);
  }
  DRAY_TRY(temp_store_read(&rest->origins, &origin, sizeof(origin), (low - 1) * sizeof(origin), error));
  uint64_t from = 0, to = sieve->chunk_count[side]; // the last chunk that begins at or before the record
  while (to - from > 1) {
    const uint64_t middle = from + (to - from) / 2;
    if (sieve->chunks[side][middle].start <= origin.offset) {
      from = middle;
    } else {
      to = middle;
    }
  }
  const struct sieve_chunk *chunk = &sieve->chunks[side][from];
  uint64_t lines = 0;
  DRAY_TRY(sieve_input_check(input, error));
  if (sieve->lines_unknown[side]) DRAY_TRY(number_lines(sieve, side, error));
  DRAY_TRY(count_lines(input, chunk->start, origin.offset, &lines, error));
  *out = (struct dr_sieve_origin){chunk->first_line + lines, origin.offset};
  return DRAY_OK;
}
