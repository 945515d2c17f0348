// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The stream. Batches end only behind a whole record, so every batch is a safe place to resume from.
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

// Values from the file stand in messages; what is not UTF-8 in them is shown as '?'.
static void make_printable(char *text) {
  if (dray_utf8_valid(text, strlen(text))) return;
  for (; *text != '\0'; text++) {
    if ((unsigned char)*text >= 0x80) *text = '?';
  }
}

int32_t file_reader_bad_record(struct file_reader *reader, uint64_t line, const struct dray_error *why,
                               int32_t *out_full, struct dray_error *error) {
  struct dray_error told;
  dray_error_init(&told);
  (void)dray_fail(&told, why->code, "%s line %llu: %.800s", base_name(reader->set.paths[reader->at]),
                  (unsigned long long)line, why->text);
  make_printable(told.text);
  dray_builder_abandon_row(reader->builder);
  if (reader->settings->fail_on_error) return dray_fail_field(error, told.code, why->field, "%s", told.text);
  char text[DRAY_ERROR_TEXT_MAX + 64];
  const int len = snprintf(text, sizeof(text), "%s: %s", dray_error_info(told.code)->name, told.text);
  const struct dray_str view = dray_str_make(text, len > 0 ? (uint64_t)len : 0);
  DRAY_TRY(dray_builder_end_bad_row(reader->builder, reader->error_column, view, out_full, error));
  reader->rows++;
  return DRAY_OK;
}

// ---- opening ----

static void free_reader(struct file_reader *reader) {
  if (reader == NULL) return;
  file_records_close(&reader->records);
  file_lines_free(reader->lines);
  dray_builder_free(reader->builder);
  dray_schema_release(&reader->schema);
  file_layout_free(&reader->layout);
  file_set_free(&reader->set);
  dray_buffer_free(&reader->state);
  free(reader->wanted);
  free(reader->files);
  free(reader->map);
  free(reader);
}

static int32_t choose_columns(struct file_reader *reader, const struct dray_read_request *request,
                              struct dray_error *error) {
  const struct file_layout *layout = &reader->layout;
  reader->wanted = malloc(layout->count * sizeof(*reader->wanted));
  if (reader->wanted == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns");
  for (size_t i = 0; i < layout->count; i++) reader->wanted[i] = request->column_count == 0 ? 0 : FILE_NOT_WANTED;
  for (uint64_t k = 0; k < request->column_count; k++) {
    struct dray_nearest nearest;
    size_t i = 0;
    dray_nearest_init(&nearest, request->columns[k]);
    for (; i < layout->count && !dray_str_is(request->columns[k], layout->columns[i].name); i++) {
      dray_nearest_offer(&nearest, layout->columns[i].name);
    }
    if (i == layout->count) {
      return dray_fail(error, DRAY_E_SCHEMA_COLUMN, "the stream %s has no column %.*s%s", reader->set.name,
                       DRAY_STR_ARG(request->columns[k]), dray_nearest_hint(&nearest));
    }
    reader->wanted[i] = 0;
  }
  return DRAY_OK;
}

static int32_t make_builder(struct file_reader *reader, const struct dray_read_request *request,
                            struct dray_error *error) {
  const struct file_layout *layout = &reader->layout;
  struct dray_column_def *columns = calloc(layout->count + 2, sizeof(*columns));
  if (columns == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns");
  size_t count = 0;
  for (size_t i = 0; i < layout->count; i++) {
    if (reader->wanted[i] == FILE_NOT_WANTED) continue;
    const struct dray_column_def column = {layout->columns[i].name, layout->columns[i].type, 1};
    reader->wanted[i] = count;
    columns[count++] = column;
  }
  const struct dray_column_def error_def = {DRAY_COLUMN_ERROR, {DRAY_TYPE_STRING, 0, 0}, 1};
  reader->error_column = count;
  if (!reader->settings->fail_on_error) columns[count++] = error_def;
  if (layout->uneven) {
    const struct dray_column_def absent_def = {DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1};
    columns[count++] = absent_def;
  }
  int32_t rc = dray_schema_make(columns, count, &reader->schema, error);
  if (rc == DRAY_OK) {
    rc = dray_builder_new(&reader->schema, request->batch_rows_max, request->batch_bytes_max, &reader->builder, error);
  }
  free(columns);
  return rc;
}

// A full read may be larger than its state may be: it then has no place to resume from. An incremental one must have
// one.
static int32_t check_state_fits(struct file_reader *reader, const struct dray_read_request *request,
                                struct dray_error *error) {
  uint64_t bytes = 256;
  for (size_t i = 0; i < reader->set.count; i++) bytes += 2 * strlen(reader->set.paths[i]) + 300;
  if (bytes <= FILE_STATE_BYTES_MAX || request->mode != DRAY_READ_INCREMENTAL) return DRAY_OK;
  return dray_fail_field(
      error, DRAY_E_LIMIT, "path",
      "%zu files are too many for one stream to remember; move those that are done away, split them over several "
      "connections, or read in full",
      reader->set.count);
}

static int32_t prepare(struct file_reader *reader, const struct dray_read_request *request, struct dray_error *error) {
  struct file_sets sets = {0};
  DRAY_TRY(file_sets_find(reader->settings, &sets, error));
  int32_t rc = file_sets_take(&sets, request->stream, &reader->set, error);
  file_sets_free(&sets);
  if (rc != DRAY_OK) return rc;
  DRAY_TRY(check_state_fits(reader, request, error));
  DRAY_TRY(file_layout_make(reader->settings, &reader->set, reader->services, &reader->layout, error));
  DRAY_TRY(choose_columns(reader, request, error));
  DRAY_TRY(make_builder(reader, request, error));
  reader->files = calloc(reader->set.count, sizeof(*reader->files));
  if (reader->files == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the files of a stream");
  DRAY_TRY(file_checkpoint_read(request->state, &reader->set, reader->files, error));
  for (size_t i = 0; i < reader->set.count; i++) {
    struct stat info;
    if (stat(reader->set.paths[i], &info) == 0) reader->bytes_total += (uint64_t)info.st_size;
  }
  return DRAY_OK;
}

// ---- the stream's slots ----

static int32_t stream_schema(struct dray_stream *stream, struct ArrowSchema *out, struct dray_error *error) {
  const struct file_reader *reader = stream->private_data;
  return dray_schema_copy(&reader->schema, out, error);
}

static uint64_t raw_position(const struct file_reader *reader) {
  if (reader->lines != NULL) return file_lines_raw_position(reader->lines);
  return reader->records.bytes != NULL ? dray_input_raw_position(reader->records.bytes->input) : 0;
}

// Opens the next file of which something is left. *out_more = 0 when there is none.
static int32_t next_file(struct file_reader *reader, int *out_more, struct dray_error *error) {
  for (; reader->at < reader->set.count; reader->at++) {
    const char *path = reader->set.paths[reader->at];
    struct file_progress *file = &reader->files[reader->at];
    const int known = file->known;
    int left = FILE_LEFT_ALL;
    DRAY_TRY(file_checkpoint_resume(path, reader->settings->verify_start, reader->services, file, &left, error));
    if (known && left == FILE_LEFT_ALL) {
      dray_log_printf(reader->services, DRAY_LOG_INFO, "%s is not what was read before: it is read from its beginning",
                      path);
    }
    if (left == FILE_LEFT_NOTHING) {
      reader->bytes_before += (uint64_t)file->size;
      continue;
    }
    DRAY_TRY(reader->set.jsonl ? file_lines_begin(reader, error) : file_csv_begin(reader, error));
    *out_more = 1;
    return DRAY_OK;
  }
  *out_more = 0;
  return DRAY_OK;
}

static int32_t fill_batch(struct file_reader *reader, struct dray_error *error) {
  int32_t full = 0;
  while (!full) {
    int more = 1;
    DRAY_TRY(dray_cancel_check(reader->services, error));
    if (!reader->open) DRAY_TRY(next_file(reader, &more, error));
    if (!more) break;
    DRAY_TRY(reader->set.jsonl ? file_lines_read(reader, &full, error) : file_csv_read(reader, &full, error));
    if (reader->open) continue;
    reader->bytes_before += (uint64_t)reader->files[reader->at].size;
    reader->at++;
  }
  return DRAY_OK;
}

static int32_t stream_next(struct dray_stream *stream, struct ArrowArray *out, struct dray_error *error) {
  struct file_reader *reader = stream->private_data;
  int32_t rc =
      reader->failed ? dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the stream ended with an error before") : DRAY_OK;
  if (rc == DRAY_OK) rc = fill_batch(reader, error);
  if (rc == DRAY_OK) rc = dray_builder_finish(reader->builder, out, error);
  if (rc != DRAY_OK) reader->failed = 1;
  return rc;
}

static int32_t stream_state(struct dray_stream *stream, struct dray_str *out, struct dray_error *error) {
  struct file_reader *reader = stream->private_data;
  dray_buffer_clear(&reader->state);
  if (!reader->failed && !reader->between) {
    struct dray_error local;
    dray_error_init(&local);
    const int32_t rc = file_checkpoint_write(&reader->set, reader->files, &reader->state, &local);
    if (rc == DRAY_E_LIMIT) {
      dray_buffer_clear(&reader->state); // too many files: no safe place, see check_state_fits
    } else if (rc != DRAY_OK) {
      if (error != NULL) *error = local;
      return rc;
    }
  }
  *out = dray_buffer_view(&reader->state);
  return DRAY_OK;
}

static void stream_progress(struct dray_stream *stream, struct dray_progress *out) {
  const struct file_reader *reader = stream->private_data;
  out->rows = reader->rows;
  const uint64_t bytes = reader->bytes_before + raw_position(reader);
  out->bytes = bytes < reader->bytes_total ? bytes : reader->bytes_total; // a file may have grown since it was measured
  out->rows_total = 0;
  out->bytes_total = reader->bytes_total;
}

static void stream_close(struct dray_stream *stream) {
  free_reader(stream->private_data);
  stream->private_data = NULL;
}

int32_t file_reader_open(const struct file_settings *settings, const struct dray_services *services,
                         const struct dray_read_request *request, struct dray_stream *out, struct dray_error *error) {
  struct file_reader *reader = calloc(1, sizeof(*reader));
  if (reader == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read a stream");
  reader->settings = settings;
  reader->services = services;
  dray_buffer_init(&reader->state, FILE_STATE_BYTES_MAX);
  const int32_t rc = prepare(reader, request, error);
  if (rc != DRAY_OK) {
    free_reader(reader);
    return rc;
  }
  out->private_data = reader;
  out->schema = stream_schema;
  out->next = stream_next;
  out->state = stream_state;
  out->progress = stream_progress;
  out->close = stream_close;
  return DRAY_OK;
}
