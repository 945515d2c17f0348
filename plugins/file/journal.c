// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The journal. One line an entry: JSON, a blank, the hash of the JSON as 16 hex digits. A last line that is torn
// was never acknowledged to anybody and is cut off; a broken line anywhere else is damage.
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"

#define LINE_BYTES_MAX 4096u
#define JOURNAL_BYTES_MAX (64u << 20)
#define SUM_DIGITS 16u
#define COMPACT_LINES 16384u // lines beyond which the journal is written anew when it is opened
#define OPEN_TRIES 10

int32_t file_fail_errno(struct dray_error *error, const char *doing, const char *path) {
  const int full = errno == ENOSPC || errno == EDQUOT;
  return dray_fail(error, full ? DRAY_E_DISK_FULL : DRAY_E_IO, "cannot %s %s: %s", doing, path, strerror(errno));
}

int32_t file_sync_folder(const char *folder, struct dray_error *error) {
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return file_fail_errno(error, "open the folder", folder);
  const int32_t rc = fsync(fd) == 0 ? DRAY_OK : file_fail_errno(error, "sync the folder", folder);
  (void)close(fd);
  return rc;
}

static uint64_t sum_of(struct dray_str text) {
  struct file_mark mark;
  file_mark_start(&mark);
  file_mark_add(&mark, text.data, text.len);
  return file_mark_sum(&mark);
}

// ---- batches ----

static char *batch_name(struct dray_str sync, struct dray_str key) {
  char *name = malloc(sync.len + key.len + 2);
  if (name == NULL) return NULL;
  memcpy(name, sync.data, sync.len);
  name[sync.len] = ' ';
  if (key.len > 0) memcpy(name + sync.len + 1, key.data, key.len);
  name[sync.len + 1 + key.len] = '\0';
  return name;
}

static int32_t remember(struct file_journal *journal, struct dray_str sync, struct dray_str key,
                        struct dray_error *error) {
  if (key.len == 0) return DRAY_OK;
  if (journal->batch_count == journal->batch_capacity) {
    const size_t capacity = journal->batch_capacity == 0 ? 64 : journal->batch_capacity * 2;
    char **grown = realloc(journal->batches, capacity * sizeof(*grown));
    if (grown == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the journal %s", journal->path);
    journal->batches = grown;
    journal->batch_capacity = capacity;
  }
  char *name = batch_name(sync, key);
  if (name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the journal %s", journal->path);
  if (journal->batch_count == FILE_JOURNAL_KEYS_MAX) {
    free(journal->batches[0]);
    memmove(journal->batches, journal->batches + 1, (journal->batch_count - 1) * sizeof(*journal->batches));
    journal->batch_count--;
  }
  journal->batches[journal->batch_count++] = name;
  return DRAY_OK;
}

int file_journal_has(const struct file_journal *journal, struct dray_str sync, struct dray_str key) {
  if (key.len == 0) return 0;
  for (size_t i = journal->batch_count; i-- > 0;) { // a resend is most often of the last one
    const struct dray_str name = dray_str_of(journal->batches[i]);
    if (name.len == sync.len + key.len + 1 && memcmp(name.data, sync.data, sync.len) == 0 &&
        name.data[sync.len] == ' ' && memcmp(name.data + sync.len + 1, key.data, key.len) == 0) {
      return 1;
    }
  }
  return 0;
}

// ---- lines ----

static int32_t write_entry(struct dray_buffer *out, const char *what, uint64_t number, struct dray_str sync,
                           struct dray_str key, struct dray_error *error) {
  struct dray_json_writer writer;
  const size_t from = out->len;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, what);
  dray_json_write_int(&writer, (int64_t)number);
  if (key.len > 0) {
    dray_json_key(&writer, "sync");
    dray_json_write_str(&writer, sync);
    dray_json_key(&writer, "batch");
    dray_json_write_str(&writer, key);
  }
  dray_json_end_object(&writer);
  DRAY_TRY(dray_json_writer_finish(&writer));
  const struct dray_str json = dray_str_make(out->data + from, out->len - from);
  return dray_buffer_printf(out, error, " %016" PRIx64 "\n", sum_of(json));
}

static int whole_line(struct dray_str line, struct dray_str *out_json) {
  char sum[SUM_DIGITS + 1];
  if (line.len < SUM_DIGITS + 3 || line.data[line.len - SUM_DIGITS - 1] != ' ') return 0;
  *out_json = dray_str_make(line.data, line.len - SUM_DIGITS - 1);
  (void)snprintf(sum, sizeof(sum), "%016" PRIx64, sum_of(*out_json));
  return memcmp(sum, line.data + line.len - SUM_DIGITS, SUM_DIGITS) == 0;
}

static int32_t take_entry(struct file_journal *journal, const struct dray_json *entry, int *out_known,
                          struct dray_error *error) {
  const struct dray_json *acked = dray_json_get(entry, "acked");
  const struct dray_json *intent = dray_json_get(entry, "intent");
  const struct dray_json *number = acked != NULL ? acked : intent;
  int64_t value = 0;
  *out_known = number != NULL && number->kind == DRAY_JSON_NUMBER &&
               dray_parse_int64(number->text, &value, NULL) == DRAY_OK && value >= 0;
  if (!*out_known) return DRAY_OK;
  journal->has_intent = acked == NULL;
  if (acked == NULL) {
    journal->intent_bytes = (uint64_t)value;
    return DRAY_OK;
  }
  journal->has_acked = 1;
  journal->acked_length = (uint64_t)value;
  return remember(journal, dray_json_string(dray_json_get(entry, "sync"), ""),
                  dray_json_string(dray_json_get(entry, "batch"), ""), error);
}

static int32_t damaged(const struct file_journal *journal, uint64_t line, struct dray_error *error) {
  return dray_fail(
      error, DRAY_E_STATE_CORRUPT,
      "line %llu of %s is damaged, so it is not known what of the file was written; move both files away to start anew",
      (unsigned long long)line, journal->path);
}

static int32_t take_line(struct file_journal *journal, struct dray_str line, int *out_good, struct dray_error *error) {
  struct dray_str json;
  struct dray_json *entry = NULL;
  *out_good = 0;
  if (!whole_line(line, &json)) return DRAY_OK;
  const int32_t parsed = dray_json_parse(json, LINE_BYTES_MAX, &entry, NULL);
  if (parsed == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, parsed, "no memory for the journal %s", journal->path);
  if (parsed != DRAY_OK) return DRAY_OK;
  const int32_t rc = take_entry(journal, entry, out_good, error);
  dray_json_free(entry);
  return rc;
}

static int32_t take_lines(struct file_journal *journal, struct dray_str text, uint64_t *out_lines,
                          struct dray_error *error) {
  uint64_t at = 0, number = 0;
  while (at < text.len) {
    const char *feed = memchr(text.data + at, '\n', text.len - at);
    const uint64_t end = feed != NULL ? (uint64_t)(feed - text.data) : text.len;
    int good = 0;
    number++;
    if (feed == NULL) break; // torn: whoever wrote it was not told that it was written
    DRAY_TRY(take_line(journal, dray_str_make(text.data + at, end - at), &good, error));
    if (!good) return damaged(journal, number, error);
    at = end + 1;
  }
  journal->length = at;
  *out_lines = number;
  return DRAY_OK;
}

static int32_t read_all(int file, const char *path, struct dray_buffer *out, struct dray_error *error) {
  for (;;) {
    char *to = NULL;
    DRAY_TRY(dray_buffer_reserve(out, 65536, &to, error));
    const ssize_t n = pread(file, to, 65536, (off_t)out->len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_fail_errno(error, "read", path);
    if (n == 0) return DRAY_OK;
    out->len += (size_t)n;
  }
}

static int32_t write_all(int file, const char *path, struct dray_str data, uint64_t offset, struct dray_error *error) {
  while (data.len > 0) {
    const ssize_t n = pwrite(file, data.data, data.len, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_fail_errno(error, "write", path);
    data = dray_str_make(data.data + n, data.len - (uint64_t)n);
    offset += (uint64_t)n;
  }
  return DRAY_OK;
}

// Appends an entry and makes it durable; on failure the journal is as it was.
static int32_t append_entry(struct file_journal *journal, const char *what, uint64_t number, struct dray_str sync,
                            struct dray_str key, struct dray_error *error) {
  struct dray_buffer line;
  dray_buffer_init(&line, LINE_BYTES_MAX);
  int32_t rc = write_entry(&line, what, number, sync, key, error);
  if (rc == DRAY_OK) rc = write_all(journal->file, journal->path, dray_buffer_view(&line), journal->length, error);
  if (rc == DRAY_OK && fdatasync(journal->file) != 0) rc = file_fail_errno(error, "sync", journal->path);
  if (rc == DRAY_OK) {
    journal->length += line.len;
  } else {
    (void)!ftruncate(journal->file, (off_t)journal->length); // if not: a torn line, cut off when it is opened next
  }
  dray_buffer_free(&line);
  return rc;
}

int32_t file_journal_intent(struct file_journal *journal, uint64_t bytes, struct dray_error *error) {
  const struct dray_str none = {NULL, 0};
  DRAY_TRY(append_entry(journal, "intent", bytes, none, none, error));
  journal->has_intent = 1;
  journal->intent_bytes = bytes;
  return DRAY_OK;
}

int32_t file_journal_ack(struct file_journal *journal, uint64_t length, struct dray_str sync, struct dray_str key,
                         struct dray_error *error) {
  DRAY_TRY(remember(journal, sync, key, error)); // first, since after the entry nothing may fail any more
  const int32_t rc = append_entry(journal, "acked", length, sync, key, error);
  if (rc != DRAY_OK) {
    if (key.len > 0) free(journal->batches[--journal->batch_count]);
    return rc;
  }
  journal->has_acked = 1;
  journal->acked_length = length;
  journal->has_intent = 0;
  return DRAY_OK;
}

// ---- opening ----

static int same_file(int file, const char *path) {
  struct stat open_info, path_info;
  return fstat(file, &open_info) == 0 && stat(path, &path_info) == 0 && open_info.st_ino == path_info.st_ino &&
         open_info.st_dev == path_info.st_dev;
}

// Opens and locks what stands at the path; a journal that was replaced in between is left for the new one.
static int32_t open_locked(const char *path, int *out, struct dray_error *error) {
  for (int i = 0; i < OPEN_TRIES; i++) {
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) return file_fail_errno(error, "open", path);
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
      (void)close(file);
      return dray_fail(error, DRAY_E_BUSY, "another run is writing to the file of %s", path);
    }
    if (same_file(file, path)) {
      *out = file;
      return DRAY_OK;
    }
    (void)close(file);
  }
  return dray_fail(error, DRAY_E_BUSY, "%s is being replaced all the time", path);
}

// Writes the journal anew with what still matters, beside the old one, and puts it in its place.
static int32_t compact(struct file_journal *journal, const char *folder, struct dray_error *error) {
  struct dray_buffer text;
  char fresh_path[FILENAME_MAX];
  dray_buffer_init(&text, JOURNAL_BYTES_MAX);
  (void)snprintf(fresh_path, sizeof(fresh_path), "%s.new", journal->path);
  int fresh = -1;
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < journal->batch_count && rc == DRAY_OK; i++) {
    const char *key = strrchr(journal->batches[i], ' ');
    const struct dray_str sync = dray_str_make(journal->batches[i], (uint64_t)(key - journal->batches[i]));
    rc = write_entry(&text, "acked", journal->acked_length, sync, dray_str_of(key + 1), error);
  }
  if (rc != DRAY_OK) goto done;
  fresh = open(fresh_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fresh < 0 || flock(fresh, LOCK_EX | LOCK_NB) != 0) {
    rc = file_fail_errno(error, "open", fresh_path);
    goto done;
  }
  rc = write_all(fresh, fresh_path, dray_buffer_view(&text), 0, error);
  if (rc == DRAY_OK && fsync(fresh) != 0) rc = file_fail_errno(error, "sync", fresh_path);
  if (rc == DRAY_OK && rename(fresh_path, journal->path) != 0) rc = file_fail_errno(error, "replace", journal->path);
  if (rc != DRAY_OK) goto done;
  (void)close(journal->file);
  journal->file = fresh;
  journal->length = text.len;
  fresh = -1;
  rc = file_sync_folder(folder, error);
done:
  if (fresh >= 0) (void)close(fresh);
  dray_buffer_free(&text);
  return rc;
}

static int32_t load(struct file_journal *journal, const char *folder, struct dray_error *error) {
  struct dray_buffer text;
  uint64_t lines = 0;
  dray_buffer_init(&text, JOURNAL_BYTES_MAX);
  int32_t rc = read_all(journal->file, journal->path, &text, error);
  if (rc == DRAY_OK) rc = take_lines(journal, dray_buffer_view(&text), &lines, error);
  if (rc == DRAY_OK && text.len == 0) rc = file_sync_folder(folder, error); // it was made just now
  if (rc == DRAY_OK && journal->length < text.len && ftruncate(journal->file, (off_t)journal->length) != 0) {
    rc = file_fail_errno(error, "cut", journal->path);
  }
  // An intent must be judged first: that is done before the next write, in a later run it is compacted.
  if (rc == DRAY_OK && lines > COMPACT_LINES && !journal->has_intent && journal->batch_count > 0) {
    rc = compact(journal, folder, error);
  }
  dray_buffer_free(&text);
  return rc;
}

int32_t file_journal_open(const char *folder, const char *name, struct file_journal *out, struct dray_error *error) {
  struct file_journal journal = {.file = -1};
  const size_t bytes = strlen(folder) + strlen(name) + sizeof("/..dray");
  journal.path = malloc(bytes);
  if (journal.path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a journal");
  (void)snprintf(journal.path, bytes, "%s/.%s.dray", folder, name);
  int32_t rc = open_locked(journal.path, &journal.file, error);
  if (rc == DRAY_OK) rc = load(&journal, folder, error);
  if (rc != DRAY_OK) {
    file_journal_close(&journal);
    return rc;
  }
  *out = journal;
  return DRAY_OK;
}

void file_journal_close(struct file_journal *journal) {
  if (journal->file >= 0) (void)close(journal->file); // and with it the lock
  for (size_t i = 0; i < journal->batch_count; i++) free(journal->batches[i]);
  free(journal->batches);
  free(journal->path);
  memset(journal, 0, sizeof(*journal));
  journal->file = -1;
}
