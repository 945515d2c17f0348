// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The inputs: what they are, what their headers say, and whether they stay as they are.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "compare/inside.h"

#define HEAD_BYTES 65536

void sieve_input_close(struct sieve_input *input) {
  for (uint32_t i = 0; input->names != NULL && i < input->column_count; i++) free(input->names[i]);
  free(input->names);
  dray_buffer_free(&input->header);
  if (input->fd >= 0) (void)close(input->fd);
  free((char *)(uintptr_t)input->path);
  input->path = NULL;
  input->names = NULL;
  input->fd = -1;
}

int32_t sieve_input_check(const struct sieve_input *input, struct dray_error *error) {
  struct stat now;
  if (fstat(input->fd, &now) != 0) return dr_fail_errno(error, "read", input->path);
  if (now.st_size == input->info.st_size && now.st_mtim.tv_sec == input->info.st_mtim.tv_sec &&
      now.st_mtim.tv_nsec == input->info.st_mtim.tv_nsec) {
    return DRAY_OK;
  }
  return dray_fail(error, DRAY_E_IO, "%s was changed while it was read (it had %lld bytes and has %lld)", input->path,
                   (long long)input->info.st_size, (long long)now.st_size);
}

// ---- the first record ----

// Reads the first record. *out_record = 0: there is none. The record lives as long as the reader.
static int32_t read_first(struct sieve_input *input, struct dray_csv_reader *reader, char *block,
                          struct dray_csv_record *record, int32_t *out_record, uint64_t *out_used,
                          struct dray_error *error) {
  uint64_t at = 0;
  *out_record = 0;
  while (!*out_record) {
    const uint64_t left = input->size - at;
    const size_t len = left < HEAD_BYTES ? (size_t)left : HEAD_BYTES;
    size_t used = 0;
    DRAY_TRY(dr_fd_pread(input->fd, block, len, at, input->path, error));
    DRAY_TRY(dray_csv_reader_feed(reader, block, len, len == left, &used, record, out_record, error));
    at += used;
    if (len == left && used == len && !*out_record) break;
  }
  *out_used = at;
  return DRAY_OK;
}

static int32_t add_names(struct dr_sieve *sieve, struct sieve_input *input, const struct dray_csv_record *first,
                         struct dray_error *error) {
  const struct dr_sieve_options *options = sieve->options;
  const size_t count = options->columns != NULL ? options->column_count : first->field_count;
  input->names = calloc(count + 1, sizeof(*input->names));
  if (input->names == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu column names", count);
  for (size_t i = 0; i < count; i++) {
    char numbered[32];
    (void)snprintf(numbered, sizeof(numbered), "column_%zu", i + 1);
    const struct dray_str name = options->columns != NULL ? dray_str_of(options->columns[i])
                                 : options->header        ? first->fields[i].text
                                                          : dray_str_of(numbered);
    if (name.len == 0 || !dray_text_valid(name)) {
      return sieve_refuse(sieve, "column %zu of %s has no usable name", i + 1, input->path);
    }
    input->names[i] = dray_str_dup(name);
    input->column_count = (uint32_t)i + 1;
    if (input->names[i] == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a column name");
  }
  return DRAY_OK;
}

// Keeps the header as it stands; its line end is cut off.
static int32_t keep_header(struct sieve_input *input, uint64_t from, uint64_t to, char *block,
                           struct dray_error *error) {
  while (from < to) {
    const size_t len = to - from < HEAD_BYTES ? (size_t)(to - from) : HEAD_BYTES;
    DRAY_TRY(dr_fd_pread(input->fd, block, len, from, input->path, error));
    DRAY_TRY(dray_buffer_append(&input->header, block, len, error));
    from += len;
  }
  struct dray_buffer *header = &input->header;
  while (header->len > 0 && (header->data[header->len - 1] == '\n' || header->data[header->len - 1] == '\r')) {
    header->len--;
  }
  return DRAY_OK;
}

static int32_t count_first_lines(struct sieve_input *input, char *block, struct dray_error *error) {
  char before = '\0';
  input->first_line = 1;
  for (uint64_t at = 0; at < input->data_start;) {
    const uint64_t left = input->data_start - at;
    const size_t len = left < HEAD_BYTES ? (size_t)left : HEAD_BYTES;
    DRAY_TRY(dr_fd_pread(input->fd, block, len, at, input->path, error));
    input->first_line += scan_count_lines(block, len, before);
    before = block[len - 1];
    at += len;
  }
  return DRAY_OK;
}

static int32_t read_head(struct dr_sieve *sieve, struct sieve_input *input, struct dray_csv_reader *reader, char *block,
                         struct dray_error *error) {
  const struct dr_sieve_options *options = sieve->options;
  struct dray_csv_record first = {0};
  int32_t got = 0;
  uint64_t used = 0;
  DRAY_TRY(read_first(input, reader, block, &first, &got, &used, error));
  const int named = options->columns != NULL && !options->header;
  if (!got && !named) return sieve_refuse(sieve, "%s holds no record, so its columns are not known", input->path);
  if (got && first.code != 0 && !named)
    return sieve_refuse(sieve, "the first record of %s cannot be read", input->path);
  if (got && options->columns != NULL && options->header && first.field_count != options->column_count) {
    return sieve_refuse(sieve, "%zu column names are given, but %s has %zu", options->column_count, input->path,
                        first.field_count);
  }
  DRAY_TRY(add_names(sieve, input, &first, error));
  if (options->header) {
    DRAY_TRY(keep_header(input, first.byte_offset, used, block, error));
    input->data_start = used;
  } else {
    DRAY_TRY(dr_fd_pread(input->fd, block, input->size < 3 ? (size_t)input->size : 3, 0, input->path, error));
    input->data_start = input->size >= 3 && memcmp(block, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
  }
  return count_first_lines(input, block, error);
}

int32_t sieve_input_open(struct dr_sieve *sieve, int side, struct dray_error *error) {
  struct sieve_input *input = &sieve->inputs[side];
  struct dray_csv_reader *reader = NULL;
  char *block = NULL;
  input->path = dray_str_dup(dray_str_of(sieve->options->paths[side]));
  if (input->path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  // Without O_NONBLOCK the open of a pipe would wait for its writer.
  input->fd = open(input->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (input->fd < 0) return dr_fail_errno(error, "open", input->path);
  if (fstat(input->fd, &input->info) != 0) return dr_fail_errno(error, "read", input->path);
  if (!S_ISREG(input->info.st_mode)) return sieve_refuse(sieve, "%s is not a regular file", input->path);
  input->size = (uint64_t)input->info.st_size;
  block = malloc(HEAD_BYTES);
  int32_t rc = block != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", input->path);
  if (rc == DRAY_OK && input->size >= 2) {
    rc = dr_fd_pread(input->fd, block, 2, 0, input->path, error);
    if (rc == DRAY_OK && memcmp(block, "\x1F\x8B", 2) == 0) rc = sieve_refuse(sieve, "%s is gzip", input->path);
  }
  if (rc == DRAY_OK) rc = dray_csv_reader_new(&sieve->options->csv, &reader, error);
  if (rc == DRAY_OK) rc = read_head(sieve, input, reader, block, error);
  dray_csv_reader_free(reader);
  free(block);
  return rc;
}

// ---- columns ----

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int32_t refuse_doubles(struct dr_sieve *sieve, const struct sieve_input *input, struct dray_error *error) {
  char **sorted = malloc((input->column_count + 1u) * sizeof(*sorted));
  if (sorted == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for column names");
  memcpy(sorted, input->names, input->column_count * sizeof(*sorted));
  qsort(sorted, input->column_count, sizeof(*sorted), compare_names);
  int32_t rc = DRAY_OK;
  for (uint32_t i = 1; i < input->column_count && rc == DRAY_OK; i++) {
    if (strcmp(sorted[i - 1], sorted[i]) == 0) rc = sieve_refuse(sieve, "two columns have the name %.100s", sorted[i]);
  }
  free(sorted);
  return rc;
}

int32_t sieve_columns_match(struct dr_sieve *sieve, struct dray_error *error) {
  const struct sieve_input *a = &sieve->inputs[0], *b = &sieve->inputs[1];
  const struct dr_sieve_options *options = sieve->options;
  if (a->column_count != b->column_count) {
    return sieve_refuse(sieve, "%s has %u columns, %s has %u", a->path, a->column_count, b->path, b->column_count);
  }
  for (uint32_t i = 0; i < a->column_count; i++) {
    if (strcmp(a->names[i], b->names[i]) == 0) continue;
    return sieve_refuse(sieve, "column %u is %.80s in one file and %.80s in the other", i + 1, a->names[i],
                        b->names[i]);
  }
  DRAY_TRY(refuse_doubles(sieve, a, error));
  for (size_t i = 0; i < options->key_count; i++) {
    uint32_t at = 0;
    while (at < a->column_count && strcmp(a->names[at], options->keys[i].column) != 0) at++;
    if (at == a->column_count) return sieve_refuse(sieve, "there is no column %.80s", options->keys[i].column);
    sieve->plan.columns[i] = (struct key_column){at, options->keys[i].type};
  }
  sieve->plan.column_count = (uint32_t)options->key_count;
  sieve->dialect.column_count = a->column_count;
  return DRAY_OK;
}
