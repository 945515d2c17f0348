// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The state of a stream. The rule it guards: what was read may be read again, but nothing may be skipped. So a file is
// read on only when what was read of it is still there; in every other case it is read from its beginning.
#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define STATE_VERSION 1

// ---- text ----

static int read_signed(const struct dray_json *object, const char *name, int64_t *out) {
  const struct dray_json *value = dray_json_get(object, name);
  return value != NULL && value->kind == DRAY_JSON_NUMBER && dray_parse_int64(value->text, out, NULL) == DRAY_OK;
}

static int read_number(const struct dray_json *object, const char *name, uint64_t *out) {
  int64_t number = 0;
  if (!read_signed(object, name, &number) || number < 0) return 0;
  *out = (uint64_t)number;
  return 1;
}

static int read_hash(const struct dray_json *object, const char *name, uint64_t *out) {
  const struct dray_str text = dray_json_string(dray_json_get(object, name), "");
  if (text.len != 16) return 0;
  uint64_t hash = 0;
  for (uint64_t i = 0; i < text.len; i++) {
    const char c = text.data[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return 0;
    hash = hash << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  *out = hash;
  return 1;
}

static int read_file(const struct dray_json *item, struct file_progress *out) {
  struct file_progress progress = {.known = 1};
  const struct dray_json *done = dray_json_get(item, "done");
  if (!read_signed(item, "size", &progress.size) || !read_signed(item, "mtime", &progress.mtime_ns) ||
      !read_number(item, "position", &progress.mark.position) || !read_number(item, "lines", &progress.mark.lines) ||
      !read_number(item, "rows", &progress.rows) || !read_number(item, "partial", &progress.partial) ||
      !read_hash(item, "hash", &progress.mark.hash) || !read_hash(item, "word", &progress.mark.word) ||
      !read_hash(item, "head", &progress.mark.head) || done == NULL || done->kind != DRAY_JSON_BOOL ||
      progress.partial > progress.mark.position) {
    return 0;
  }
  progress.done = done->boolean;
  *out = progress;
  return 1;
}

static int compare_path(const void *key, const void *item) {
  return strcmp(key, *(char *const *)item);
}

// Returns 0 when the text is not what file_checkpoint_write writes for this stream.
static int read_files(const struct dray_json *root, const struct file_set *set, struct file_progress *files) {
  uint64_t version = 0;
  const struct dray_json *list = dray_json_get(root, "files");
  if (!read_number(root, "version", &version) || version != STATE_VERSION || list == NULL ||
      list->kind != DRAY_JSON_ARRAY || !dray_str_is(dray_json_string(dray_json_get(root, "stream"), ""), set->name)) {
    return 0;
  }
  for (const struct dray_json *item = list->child; item != NULL; item = item->next) {
    struct file_progress progress;
    const struct dray_str path = dray_json_string(dray_json_get(item, "path"), "");
    if (path.len == 0 || !read_file(item, &progress)) return 0;
    char *const *found = bsearch(path.data, set->paths, set->count, sizeof(*set->paths), compare_path);
    if (found != NULL) files[found - set->paths] = progress;
  }
  return 1;
}

int32_t file_checkpoint_read(struct dray_str state, const struct file_set *set, struct file_progress *files,
                             struct dray_error *error) {
  struct dray_json *root = NULL;
  if (state.len == 0) return DRAY_OK;
  const int32_t parsed = dray_json_parse(state, FILE_STATE_BYTES_MAX, &root, NULL);
  if (parsed == DRAY_E_OUT_OF_MEMORY)
    return dray_fail(error, parsed, "no memory for the state of the stream %s", set->name);
  const int good = parsed == DRAY_OK && root->kind == DRAY_JSON_OBJECT && read_files(root, set, files);
  dray_json_free(root);
  if (good) return DRAY_OK;
  return dray_fail(error, DRAY_E_STATE_CHECKPOINT, "the saved state is not one of the stream %s", set->name);
}

static void write_hash(struct dray_json_writer *writer, const char *name, uint64_t hash) {
  char text[17];
  (void)snprintf(text, sizeof(text), "%016" PRIx64, hash);
  dray_json_key(writer, name);
  dray_json_write_text(writer, text);
}

static void write_number(struct dray_json_writer *writer, const char *name, uint64_t number) {
  dray_json_key(writer, name);
  dray_json_write_int(writer, (int64_t)number);
}

int32_t file_checkpoint_write(const struct file_set *set, const struct file_progress *files, struct dray_buffer *out,
                              struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  write_number(&writer, "version", STATE_VERSION);
  dray_json_key(&writer, "stream");
  dray_json_write_text(&writer, set->name);
  dray_json_key(&writer, "files");
  dray_json_begin_array(&writer);
  for (size_t i = 0; i < set->count; i++) {
    const struct file_progress *file = &files[i];
    if (!file->known) continue;
    dray_json_begin_object(&writer);
    dray_json_key(&writer, "path");
    dray_json_write_text(&writer, set->paths[i]);
    write_number(&writer, "size", (uint64_t)file->size);
    write_number(&writer, "mtime", (uint64_t)file->mtime_ns);
    write_number(&writer, "position", file->mark.position);
    write_number(&writer, "lines", file->mark.lines);
    write_hash(&writer, "hash", file->mark.hash);
    write_hash(&writer, "word", file->mark.word);
    write_hash(&writer, "head", file->mark.head);
    write_number(&writer, "partial", file->partial);
    write_number(&writer, "rows", file->rows);
    dray_json_key(&writer, "done");
    dray_json_write_bool(&writer, file->done);
    dray_json_end_object(&writer);
  }
  dray_json_end_array(&writer);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

// ---- what is left ----

static void begin_again(struct file_progress *progress, int64_t size, int64_t mtime_ns) {
  const struct file_progress fresh = {.known = 1, .size = size, .mtime_ns = mtime_ns};
  *progress = fresh;
  file_mark_start(&progress->mark);
}

// Whether what was read is still there: all of it, or (verify_start) the first 64 KiB of it.
static int32_t still_there(const char *path, int verify_start, const struct dray_services *services,
                           const struct file_progress *progress, int *out_still, struct dray_error *error) {
  struct file_mark mark;
  int whole = 0;
  uint64_t look = progress->mark.position;
  if (verify_start && look > FILE_HEAD_BYTES) look = FILE_HEAD_BYTES;
  DRAY_TRY(file_mark_scan(path, look, services, &mark, &whole, error));
  *out_still = whole && file_mark_same(&mark, &progress->mark, verify_start);
  return DRAY_OK;
}

// A record that the end of the file had ended: when more was written behind it, it was not whole and is read again.
static int32_t reopen_partial(const char *path, const struct dray_services *services, struct file_progress *progress,
                              struct dray_error *error) {
  int next = -1, whole = 0;
  if (progress->partial == 0) return DRAY_OK;
  DRAY_TRY(file_peek(path, progress->mark.position, &next, error));
  if (next >= 0 && next != '\n' && next != '\r') {
    DRAY_TRY(
        file_mark_scan(path, progress->mark.position - progress->partial, services, &progress->mark, &whole, error));
    progress->rows -= progress->rows > 0;
  }
  if (next >= 0) progress->partial = 0;
  return DRAY_OK;
}

int32_t file_checkpoint_resume(const char *path, int verify_start, const struct dray_services *services,
                               struct file_progress *progress, int *out_left, struct dray_error *error) {
  struct stat info;
  if (stat(path, &info) != 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_FILE, "path", "%s cannot be read: %s", path, strerror(errno));
  }
  const int64_t size = (int64_t)info.st_size;
  const int64_t mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
  if (!progress->known) {
    begin_again(progress, size, mtime_ns);
    *out_left = FILE_LEFT_ALL;
    return DRAY_OK;
  }
  if (progress->size == size && progress->mtime_ns == mtime_ns) {
    *out_left = progress->done ? FILE_LEFT_NOTHING : FILE_LEFT_REST;
    return DRAY_OK;
  }
  int still = 0;
  DRAY_TRY(still_there(path, verify_start, services, progress, &still, error));
  if (!still) {
    begin_again(progress, size, mtime_ns);
    *out_left = FILE_LEFT_ALL;
    return DRAY_OK;
  }
  DRAY_TRY(reopen_partial(path, services, progress, error));
  progress->size = size;
  progress->mtime_ns = mtime_ns;
  progress->done = 0;
  *out_left = FILE_LEFT_REST;
  return DRAY_OK;
}
