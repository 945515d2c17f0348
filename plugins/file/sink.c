// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Appending in four durable steps: the intent in the journal, the bytes in the file, the acknowledgement in the
// journal. Before the last one a batch does not count, and is cut off when the file is opened next; so a batch that is
// sent again after a kill is either known by its key or not there at all.
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "records.h"

#define OBJECT_BYTES_MAX 200

// ---- names ----

static int32_t refuse_name(struct dray_str object, const char *why, struct dray_error *error) {
  return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "'%.*s' cannot be the name of a file to write: %s",
                   DRAY_STR_ARG(object), why);
}

static int ends_with(struct dray_str text, const char *end) {
  const size_t len = strlen(end);
  return text.len > len && memcmp(text.data + text.len - len, end, len) == 0;
}

int32_t file_sink_name(const struct file_settings *settings, struct dray_str object, char **out, int *out_jsonl,
                       struct dray_error *error) {
  if (object.len == 0 || object.len > OBJECT_BYTES_MAX)
    return refuse_name(object, "it must have 1 to 200 bytes", error);
  if (object.data[0] == '.') return refuse_name(object, "it must not begin with a dot", error);
  if (!dray_utf8_valid(object.data, object.len)) return refuse_name(object, "it is not UTF-8", error);
  for (uint64_t i = 0; i < object.len; i++) {
    const unsigned char c = (unsigned char)object.data[i];
    if (c == '/' || c == '\\' || c < 0x20 || c == 0x7F) return refuse_name(object, "it is a name, not a path", error);
  }
  if (ends_with(object, ".gz")) return refuse_name(object, "files are not written compressed", error);
  const int lines = ends_with(object, ".jsonl") || ends_with(object, ".ndjson");
  const int records = ends_with(object, ".csv") || ends_with(object, ".tsv") || ends_with(object, ".txt");
  const int forced = strcmp(settings->format, "auto") != 0;
  const int jsonl = forced ? strcmp(settings->format, "jsonl") == 0 : lines;
  const char *ending = lines || records ? "" : jsonl ? ".jsonl" : ".csv";
  char *name = malloc(object.len + strlen(ending) + 1);
  if (name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a file name");
  memcpy(name, object.data, object.len);
  memcpy(name + object.len, ending, strlen(ending) + 1);
  *out = name;
  *out_jsonl = jsonl;
  return DRAY_OK;
}

// ---- columns of a CSV file ----

static int32_t take_columns(struct file_sink *sink, char *const *columns, size_t count, const char *first,
                            struct dray_error *error) {
  sink->columns = calloc(count + 2, sizeof(*sink->columns));
  if (sink->columns == NULL)
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns of %s", sink->path);
  for (size_t i = 0; i < count + (first != NULL); i++) {
    const char *name = first == NULL ? columns[i] : i == 0 ? first : columns[i - 1];
    sink->columns[i] = dray_str_dup(dray_str_of(name));
    if (sink->columns[i] == NULL)
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns of %s", sink->path);
    sink->column_count++;
  }
  return DRAY_OK;
}

static int has_column(char *const *columns, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(columns[i], name) == 0) return 1;
  }
  return 0;
}

// The file's own header decides the order; a field that it lacks has nowhere to go.
static int32_t follow_header(const struct file_settings *settings, struct file_sink *sink, char *const *columns,
                             size_t count, struct dray_error *error) {
  struct file_names names = {0};
  int32_t rc = file_names_read(settings, sink->path, &names, error);
  if (rc == DRAY_OK && !has_column(names.items, names.count, FILE_OP_COLUMN)) {
    rc = dray_fail(error, DRAY_E_SCHEMA_OBJECT, "%s is not a file that dray wrote: its header has no column %s",
                   sink->path, FILE_OP_COLUMN);
  }
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) {
    if (has_column(names.items, names.count, columns[i])) continue;
    rc = dray_fail_field(
        error, DRAY_E_SCHEMA_FIELD, columns[i],
        "%s has no column %s in its header; write to another object, or move the file away to begin a new one",
        sink->path, columns[i]);
  }
  if (rc == DRAY_OK) rc = take_columns(sink, names.items, names.count, NULL, error);
  file_names_free(&names);
  return rc;
}

// ---- opening ----

static int32_t make_folder(const char *folder, struct dray_error *error) {
  struct stat info;
  if (stat(folder, &info) == 0) {
    if (S_ISDIR(info.st_mode)) return DRAY_OK;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path", "to write, path must be a folder; %s is a file", folder);
  }
  if (errno != ENOENT) return file_fail_errno(error, "look at", folder);
  if (mkdir(folder, 0755) == 0 || errno == EEXIST) return DRAY_OK;
  if (errno == ENOENT) {
    return dray_fail_field(error, DRAY_E_CONFIG_FILE, "path", "the folder that %s is to be made in is not there",
                           folder);
  }
  return file_fail_errno(error, "make the folder", folder);
}

static int32_t last_byte(const struct file_sink *sink, uint64_t size, char *out, struct dray_error *error) {
  if (pread(sink->file, out, 1, (off_t)(size - 1)) != 1) return file_fail_errno(error, "read", sink->path);
  return DRAY_OK;
}

// A file without a journal: taken over when it looks like one of ours.
static int32_t adopt(struct file_sink *sink, uint64_t size, struct dray_error *error) {
  const struct dray_str none = {NULL, 0};
  char last = '\n';
  if (size > 0) DRAY_TRY(last_byte(sink, size, &last, error));
  if (last != '\n') {
    return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "%s is not a file that dray wrote: its last line is not ended",
                     sink->path);
  }
  return file_journal_ack(&sink->journal, size, none, none, error);
}

static int32_t foreign(const struct file_sink *sink, uint64_t size, struct dray_error *error) {
  return dray_fail(error, DRAY_E_STATE_CORRUPT,
                   "%s has %llu bytes, but dray has written %llu: something else changed it; move it away, and dray "
                   "begins a new one",
                   sink->path, (unsigned long long)size, (unsigned long long)sink->journal.acked_length);
}

// Makes the file as long as what was acknowledged.
static int32_t put_right(struct file_sink *sink, uint64_t size, struct dray_error *error) {
  const struct file_journal *journal = &sink->journal;
  const struct dray_str none = {NULL, 0};
  if (!journal->has_acked && !journal->has_intent) return adopt(sink, size, error);
  if (size == 0) { // whoever reads the files took it: the log goes on in a new one
    return journal->acked_length > 0 ? file_journal_ack(&sink->journal, 0, none, none, error) : DRAY_OK;
  }
  if (size == journal->acked_length) return DRAY_OK;
  if (size < journal->acked_length || !journal->has_intent || size > journal->acked_length + journal->intent_bytes) {
    return foreign(sink, size, error);
  }
  if (ftruncate(sink->file, (off_t)journal->acked_length) != 0) return file_fail_errno(error, "cut", sink->path);
  if (fdatasync(sink->file) != 0) return file_fail_errno(error, "sync", sink->path);
  return DRAY_OK;
}

static int32_t open_file(const struct file_settings *settings, struct file_sink *sink, char *const *columns,
                         size_t count, struct dray_error *error) {
  struct stat info = {0};
  sink->file = open(sink->path, O_RDWR | O_CLOEXEC);
  if (sink->file < 0 && errno != ENOENT) return file_fail_errno(error, "open", sink->path);
  if (sink->file >= 0 && fstat(sink->file, &info) != 0) return file_fail_errno(error, "look at", sink->path);
  if (sink->file >= 0 && !S_ISREG(info.st_mode)) {
    return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "%s is not a regular file", sink->path);
  }
  DRAY_TRY(put_right(sink, (uint64_t)info.st_size, error));
  if (sink->jsonl) return DRAY_OK;
  if (file_sink_is_empty(sink) || !settings->header) return take_columns(sink, columns, count, FILE_OP_COLUMN, error);
  return follow_header(settings, sink, columns, count, error);
}

static char *join(const char *folder, const char *name) {
  const size_t bytes = strlen(folder) + strlen(name) + 2;
  char *path = malloc(bytes);
  if (path != NULL) (void)snprintf(path, bytes, "%s/%s", folder, name);
  return path;
}

int32_t file_sink_open(const struct file_settings *settings, const char *name, int jsonl, char *const *columns,
                       size_t column_count, struct file_sink *out, struct dray_error *error) {
  struct file_sink sink = {.file = -1, .journal = {.file = -1}, .jsonl = jsonl};
  int32_t rc = make_folder(settings->path, error);
  if (rc != DRAY_OK) return rc;
  sink.folder = dray_str_dup(dray_str_of(settings->path));
  sink.name = dray_str_dup(dray_str_of(name));
  sink.path = join(settings->path, name);
  if (sink.folder == NULL || sink.name == NULL || sink.path == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to write a file");
  }
  if (rc == DRAY_OK) rc = file_journal_open(sink.folder, sink.name, &sink.journal, error);
  if (rc == DRAY_OK) rc = open_file(settings, &sink, columns, column_count, error);
  if (rc != DRAY_OK) {
    file_sink_close(&sink);
    return rc;
  }
  *out = sink;
  return DRAY_OK;
}

void file_sink_close(struct file_sink *sink) {
  if (sink->file >= 0) (void)close(sink->file);
  file_journal_close(&sink->journal);
  for (size_t i = 0; i < sink->column_count; i++) free(sink->columns[i]);
  free(sink->columns);
  free(sink->folder);
  free(sink->name);
  free(sink->path);
  memset(sink, 0, sizeof(*sink));
  sink->file = -1;
  sink->journal.file = -1;
}

int file_sink_is_empty(const struct file_sink *sink) {
  return sink->journal.acked_length == 0;
}

// ---- appending ----

static int32_t write_at(struct file_sink *sink, struct dray_str data, uint64_t offset, struct dray_error *error) {
  while (data.len > 0) {
    const ssize_t n = pwrite(sink->file, data.data, data.len, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_fail_errno(error, "write", sink->path);
    data = dray_str_make(data.data + n, data.len - (uint64_t)n);
    offset += (uint64_t)n;
  }
  if (fdatasync(sink->file) != 0) return file_fail_errno(error, "sync", sink->path);
  return DRAY_OK;
}

static int32_t make_file(struct file_sink *sink, struct dray_error *error) {
  if (sink->file >= 0) return DRAY_OK;
  sink->file = open(sink->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (sink->file < 0) return file_fail_errno(error, "make", sink->path);
  return file_sync_folder(sink->folder, error);
}

int32_t file_sink_append(struct file_sink *sink, struct dray_str rows, struct dray_str sync, struct dray_str key,
                         struct dray_error *error) {
  if (sink->broken)
    return dray_fail(error, DRAY_E_IO, "%s could not be put right after a failed write; run again", sink->path);
  const uint64_t from = sink->journal.acked_length;
  DRAY_TRY(file_journal_intent(&sink->journal, rows.len, error));
  int32_t rc = make_file(sink, error);
  if (rc == DRAY_OK) rc = write_at(sink, rows, from, error);
  if (rc == DRAY_OK) rc = file_journal_ack(&sink->journal, from + rows.len, sync, key, error);
  // After a failed sync the descriptor is not to be trusted: nothing more is written until the file is opened again.
  if (rc != DRAY_OK && sink->file >= 0)
    sink->broken = ftruncate(sink->file, (off_t)from) != 0 || rc != DRAY_E_DISK_FULL;
  return rc;
}
