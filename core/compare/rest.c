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

static int32_t open_files(struct dr_sieve *sieve, int side, struct dray_error *error) {
  struct sieve_rest *rest = &sieve->rests[side];
  DRAY_TRY(temp_open_named(sieve->temp_folder, side == DR_SIEVE_OLD ? "rest-old" : "rest-new", &rest->fd, &rest->path,
                           error));
  return temp_open(sieve->temp_folder, &rest->origins, error);
}

int32_t sieve_rest_open(struct dr_sieve *sieve, int side, struct dray_error *error) {
  DRAY_TRY(open_files(sieve, side, error));
  return sieve_rest_begin(sieve, side, error);
}

void sieve_rest_close(struct sieve_rest *rest) {
  if (rest->path != NULL) (void)unlink(rest->path);
  if (rest->fd >= 0) (void)close(rest->fd);
  if (rest->origins >= 0) (void)close(rest->origins);
  free(rest->path);
  *rest = (struct sieve_rest){.fd = -1, .origins = -1};
}

// A reader drops a BOM at the start of a file: what begins like one needs another before it.
static int starts_like_bom(const char *data, size_t len) {
  return len >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0;
}

int32_t sieve_rest_begin(struct dr_sieve *sieve, int side, struct dray_error *error) {
  struct sieve_rest *rest = &sieve->rests[side];
  const struct dray_buffer *header = &sieve->inputs[side].header;
  if (ftruncate(rest->fd, 0) != 0) return dr_fail_errno(error, "empty", rest->path);
  rest->bytes = rest->rows = 0;
  rest->lines = 1;
  // Without a header the first record is not known yet: a BOM is always right.
  if (header->len == 0 || starts_like_bom(header->data, header->len)) {
    DRAY_TRY(temp_write(rest->fd, "\xEF\xBB\xBF", 3, 0, sieve->temp_folder, error));
    rest->bytes = 3;
  }
  if (header->len == 0) return DRAY_OK;
  DRAY_TRY(temp_write(rest->fd, header->data, header->len, rest->bytes, sieve->temp_folder, error));
  DRAY_TRY(temp_write(rest->fd, "\n", 1, rest->bytes + header->len, sieve->temp_folder, error));
  rest->bytes += header->len + 1;
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
  const struct sieve_rest *rest = &sieve->rests[side];
  if (piece->count == 0) return DRAY_OK;
  for (size_t i = 0; i < piece->count; i++) piece->origins[i].line += piece->at_lines;
  DRAY_TRY(temp_write(rest->fd, piece->bytes.data, piece->bytes.len, piece->at_bytes, sieve->temp_folder, error));
  return temp_write(rest->origins, piece->origins, piece->count * sizeof(*piece->origins),
                    piece->at_rows * sizeof(*piece->origins), sieve->temp_folder, error);
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

int32_t dr_sieve_origin(struct dr_sieve *sieve, int side, uint64_t rest_line, struct dr_sieve_origin *out,
                        struct dray_error *error) {
  const struct sieve_rest *rest = &sieve->rests[side];
  const struct sieve_input *input = &sieve->inputs[side];
  struct rest_origin origin = {0};
  uint64_t low = 0, high = sieve->result.sievable ? rest->rows : 0; // the last record that begins at or before the line
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    DRAY_TRY(dr_fd_pread(rest->origins, &origin, sizeof(origin), middle * sizeof(origin), sieve->temp_folder, error));
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
  DRAY_TRY(dr_fd_pread(rest->origins, &origin, sizeof(origin), (low - 1) * sizeof(origin), sieve->temp_folder, error));
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
  DRAY_TRY(count_lines(input, chunk->start, origin.offset, &lines, error));
  *out = (struct dr_sieve_origin){chunk->first_line + lines, origin.offset};
  return DRAY_OK;
}
