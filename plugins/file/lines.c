// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// JSON Lines into the builder: the SDK's reader does the work, this keeps track of where in the file it is.
#include <stdlib.h>

#include "reader.h"

struct file_lines {
  struct file_bytes *bytes;
  struct dray_json_rows *rows;
  uint64_t origin;     // position at which `rows` began
  uint64_t line_start; // position behind the last line feed that was taken
  uint64_t counted;    // records that `rows` had told before this call
};

void file_lines_free(struct file_lines *lines) {
  if (lines == NULL) return;
  dray_json_rows_free(lines->rows);
  file_bytes_close(lines->bytes);
  free(lines);
}

// A member's name as a path of the SDK, which reads dots and brackets.
static int32_t append_path(struct dray_buffer *out, const char *name, struct dray_error *error) {
  DRAY_TRY(dray_buffer_append_str(out, "[\"", error));
  for (; *name != '\0'; name++) {
    if (*name == '"' || *name == '\\') DRAY_TRY(dray_buffer_append_char(out, '\\', error));
    DRAY_TRY(dray_buffer_append_char(out, *name, error));
  }
  return dray_buffer_append(out, "\"]\0", 3, error);
}

static int32_t make_rows(struct file_reader *reader, const char *name, const struct file_mark *from,
                         struct dray_json_rows **out, struct dray_error *error) {
  const struct file_layout *layout = &reader->layout;
  const struct dray_json_rows_options options = {.lines = 1, .name = name, .lines_before = from->lines};
  struct dray_buffer paths;
  dray_buffer_init(&paths, (size_t)layout->count * (2 * DRAY_COLUMN_NAME_MAX + 8) + 1);
  int32_t rc = DRAY_OK;
  size_t count = 0;
  size_t *starts = calloc(layout->count + 1, sizeof(*starts));
  struct dray_json_field *fields = calloc(layout->count + 1, sizeof(*fields));
  if (starts == NULL || fields == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns of %s", name);
    goto done;
  }
  for (size_t i = 0; i < layout->count; i++) {
    if (reader->wanted[i] == FILE_NOT_WANTED) continue;
    starts[count] = paths.len;
    fields[count++].column = reader->wanted[i];
    rc = append_path(&paths, layout->columns[i].name, error);
    if (rc != DRAY_OK) goto done;
  }
  for (size_t i = 0; i < count; i++) fields[i].path = paths.data + starts[i]; // now that the buffer stays where it is
  rc = dray_json_rows_new(fields, count, &options, reader->builder, out, error);
done:
  dray_buffer_free(&paths);
  free(starts);
  free(fields);
  return rc;
}

int32_t file_lines_begin(struct file_reader *reader, struct dray_error *error) {
  const char *path = reader->set.paths[reader->at];
  const char *slash = strrchr(path, '/');
  const struct file_mark *from = &reader->files[reader->at].mark;
  struct file_lines *lines = calloc(1, sizeof(*lines));
  if (lines == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read %s", path);
  lines->origin = from->position;
  lines->line_start = from->position;
  int32_t rc = file_bytes_open(path, from, &lines->bytes, error);
  if (rc == DRAY_OK) rc = make_rows(reader, slash != NULL ? slash + 1 : path, from, &lines->rows, error);
  if (rc != DRAY_OK) {
    file_lines_free(lines);
    return rc;
  }
  file_lines_free(reader->lines);
  reader->lines = lines;
  reader->open = 1;
  return DRAY_OK;
}

uint64_t file_lines_raw_position(const struct file_lines *lines) {
  return dray_input_raw_position(lines->bytes->input);
}

static int32_t feed(struct file_reader *reader, int32_t *out_full, struct dray_error *error) {
  struct file_lines *lines = reader->lines;
  struct file_bytes *bytes = lines->bytes;
  size_t used = 0;
  if (bytes->start == bytes->end && !bytes->at_end) DRAY_TRY(file_bytes_fill(bytes, error));
  const char *from = bytes->chunk + bytes->start;
  DRAY_TRY(dray_json_rows_feed(lines->rows, from, bytes->end - bytes->start, bytes->at_end, &used, out_full, error));
  const char *line_feed = used > 0 ? memrchr(from, '\n', used) : NULL;
  if (line_feed != NULL) lines->line_start = file_bytes_position(bytes) + (uint64_t)(line_feed - from) + 1;
  file_bytes_take(bytes, used);
  return DRAY_OK;
}

int32_t file_lines_read(struct file_reader *reader, int32_t *out_full, struct dray_error *error) {
  struct file_lines *lines = reader->lines;
  struct file_progress *file = &reader->files[reader->at];
  int ended = 0;
  while (!*out_full && !ended) {
    DRAY_TRY(dray_cancel_check(reader->services, error));
    DRAY_TRY(feed(reader, out_full, error));
    ended = lines->bytes->at_end && lines->bytes->start == lines->bytes->end && !*out_full;
  }
  const uint64_t count = dray_json_rows_count(lines->rows);
  reader->rows += count - lines->counted;
  file->rows += count - lines->counted;
  lines->counted = count;
  uint64_t told = 0, told_lines = 0;
  dray_json_rows_mark(lines->rows, &told, &told_lines);
  // Part of a line that is not in the batch may have been taken: then this is no place to resume from.
  reader->between = !ended && lines->origin + told != file_bytes_position(lines->bytes);
  file->mark = *file_bytes_mark(lines->bytes);
  if (!ended) return DRAY_OK;
  file->partial = file->mark.position - lines->line_start;
  file->done = 1;
  reader->open = 0;
  file_lines_free(lines);
  reader->lines = NULL;
  return DRAY_OK;
}
