// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A mirror as its users know it: opening, closing, verifying, removing.
#include "diff/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define PATH_BYTES_MAX 4096

int32_t dr_mirror_usable(const struct dr_mirror *mirror, struct dray_error *error) {
  if (mirror->broken != DRAY_OK) {
    return dray_fail(error, mirror->broken, "the mirror cannot be used until it is opened again, since: %s",
                     mirror->broken_text);
  }
  if (mirror->busy) return dray_fail(error, DRAY_E_INTERNAL, "a pass over the mirror in %s is open", mirror->folder);
  return DRAY_OK;
}

int32_t dr_mirror_break(struct dr_mirror *mirror, int32_t code, const struct dray_error *error) {
  mirror->broken = code;
  (void)snprintf(mirror->broken_text, sizeof mirror->broken_text, "%.*s", (int)sizeof mirror->broken_text - 1,
                 error != NULL ? error->text : "a write failed");
  return code;
}

void dr_mirror_close(struct dr_mirror *mirror) {
  if (mirror == NULL) return;
  dr_mirror_unload(mirror);
  dr_slots_free(&mirror->slots);
  dr_encoder_free(&mirror->keys);
  dr_file_info_free(&mirror->info);
  dray_buffer_free(&mirror->held);
  dray_buffer_free(&mirror->row);
  dray_buffer_free(&mirror->frame);
  free(mirror->folder);
  free(mirror);
}

// ---- making the object ----

static int32_t set_keys(struct dr_mirror *mirror, const struct dr_mirror_options *options, struct dray_error *error) {
  uint32_t *columns = calloc(options->key_count + 1, sizeof *columns);
  if (columns == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a mirror");
  int32_t rc = DRAY_OK;
  for (size_t i = 0; rc == DRAY_OK && i < options->key_count; i++) {
    const ptrdiff_t at = dr_schema_find(options->schema, dray_str_of(options->key[i]));
    if (at < 0) {
      rc = dray_fail_field(error, DRAY_E_SCHEMA_KEY, options->key[i], "the key column %s is not in the rows",
                           options->key[i]);
    } else {
      columns[i] = (uint32_t)at;
    }
  }
  if (rc == DRAY_OK && options->key_count == 0) rc = dray_fail(error, DRAY_E_SCHEMA_KEY, "there is no key column");
  if (rc == DRAY_OK) {
    rc = dr_encoder_init(&mirror->keys, options->schema, columns, options->key_count, options->seed, error);
  }
  free(columns);
  return rc;
}

static int32_t make(const struct dr_mirror_options *options, struct dr_mirror **out, struct dray_error *error) {
  if (options->keep < DR_KEEP_ROW || options->keep > DR_KEEP_KEY) {
    return dray_fail(error, DRAY_E_INTERNAL, "there is no %d among the things a mirror can keep", options->keep);
  }
  struct dr_mirror *mirror = calloc(1, sizeof *mirror);
  if (mirror == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a mirror");
  dray_buffer_init(&mirror->held, DR_ROW_BYTES_MAX + DR_CHANGE_BYTES);
  dray_buffer_init(&mirror->row, DR_ROW_BYTES_MAX);
  dray_buffer_init(&mirror->frame, DR_FRAME_BYTES_MAX);
  mirror->seed = options->seed;
  mirror->threads = options->threads;
  mirror->scratch = options->scratch;
  mirror->memory_bytes = options->memory_bytes == 0 ? DR_MEMORY_DEFAULT : options->memory_bytes;
  if (mirror->memory_bytes < DR_MEMORY_MIN) mirror->memory_bytes = DR_MEMORY_MIN;
  mirror->folder = dray_str_dup(dray_str_of(options->folder));
  int32_t rc = DRAY_OK;
  if (mirror->folder == NULL) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to open a mirror");
  if (rc == DRAY_OK) rc = set_keys(mirror, options, error);
  if (rc == DRAY_OK) rc = dr_slots_init(&mirror->slots, options->schema, options->seed, error);
  if (rc == DRAY_OK) {
    rc = dr_file_info_set(&mirror->info, options->schema, options->key, options->key_count, options->seed, error);
    mirror->info.keep = options->keep;
    mirror->info.mixed = dr_key_is_mixed(&mirror->keys, options->schema);
  }
  if (rc != DRAY_OK) {
    dr_mirror_close(mirror);
    return rc;
  }
  *out = mirror;
  return DRAY_OK;
}

// ---- files of a mirror without a head ----

static int has(const char *folder, const char *name) {
  char path[PATH_BYTES_MAX];
  const int len = snprintf(path, sizeof path, "%s/%s", folder, name);
  return len > 0 && (size_t)len < sizeof path && dr_file_exists(path);
}

// Whether journal 1 holds more than its making.
static int32_t has_frames(const char *folder, int *out, struct dray_error *error) {
  struct dr_journal *journal = NULL;
  struct stat info;
  const int32_t rc = dr_journal_open(folder, 1, 1, &journal, error);
  *out = 0;
  if (rc == DRAY_E_OUT_OF_MEMORY) return rc;
  if (rc != DRAY_OK) return DRAY_OK; // its making was cut short
  *out = fstat(journal->fd, &info) == 0 && (uint64_t)info.st_size > journal->frames;
  dr_journal_close(journal);
  return DRAY_OK;
}

// Refuses to begin anew where a head is missing that must have been there: files remain that are more than what a
// creation that was cut short leaves behind.
static int32_t check_leftovers(const char *folder, struct dray_error *error) {
  DIR *entries = opendir(folder);
  if (entries == NULL) return DRAY_OK;
  int32_t rc = DRAY_OK;
  for (struct dirent *entry = readdir(entries); entry != NULL && rc == DRAY_OK; entry = readdir(entries)) {
    uint64_t number = 0;
    const char *name = entry->d_name;
    const int journal = sscanf(name, "journal.%" SCNu64, &number) == 1;
    if (!journal && sscanf(name, "base.%" SCNu64, &number) != 1) continue;
    int more = number > 1;
    if (journal && number == 1) rc = has_frames(folder, &more, error);
    if (rc == DRAY_OK && more) {
      rc = dray_fail(error, DRAY_E_MIRROR_CORRUPT, "%s holds %s, but the head is missing", folder, name);
    }
  }
  (void)closedir(entries);
  return rc;
}

static int32_t remove_file(const char *folder, const char *name, struct dray_error *error) {
  char *path = dr_path_join(folder, name);
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to remove a mirror");
  const int32_t rc = unlink(path) == 0 || errno == ENOENT ? DRAY_OK : dr_fail_errno(error, "remove", path);
  free(path);
  return rc;
}

// The second half of a reset. Each step is durable before the next: files without a head are damage, unless there is
// the sign that this was meant.
static int32_t remove_files(const char *folder, struct dray_error *error) {
  DRAY_TRY(dr_folder_sync(folder, error));
  dr_mirror_sweep(folder, 0);
  DRAY_TRY(dr_folder_sync(folder, error));
  return remove_file(folder, DR_HEAD_REMOVED_NAME, error);
}

// A head beside the sign that a reset was begun is a newer mirror, and stays.
static int32_t finish_reset(const char *folder, struct dray_error *error) {
  if (!has(folder, DR_HEAD_REMOVED_NAME)) return DRAY_OK;
  return has(folder, DR_HEAD_NAME) ? remove_file(folder, DR_HEAD_REMOVED_NAME, error) : remove_files(folder, error);
}

int32_t dr_mirror_reset(const char *folder, struct dray_error *error) {
  if (!dr_file_exists(folder)) return DRAY_OK;
  char *head = dr_path_join(folder, DR_HEAD_NAME), *removed = dr_path_join(folder, DR_HEAD_REMOVED_NAME);
  int32_t rc = DRAY_OK;
  if (head == NULL || removed == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to remove a mirror");
  } else if (dr_file_exists(head)) {
    rc = dr_rename(head, removed, error);
  }
  free(head);
  free(removed);
  DRAY_TRY(rc);
  DRAY_TRY(remove_files(folder, error));
  DRAY_TRY(dr_folder_sync(folder, error));
  (void)rmdir(folder); // fails where something else lives there, and may
  return DRAY_OK;
}

int dr_mirror_exists(const char *folder) {
  return has(folder, DR_HEAD_NAME);
}

// ---- opening ----

static int32_t open_or_create(struct dr_mirror *mirror, int create, struct dray_error *error) {
  DRAY_TRY(finish_reset(mirror->folder, error));
  if (create && !dr_mirror_exists(mirror->folder)) {
    DRAY_TRY(dr_folder_make(mirror->folder, error));
    DRAY_TRY(check_leftovers(mirror->folder, error));
    DRAY_TRY(dr_mirror_create(mirror, error));
  }
  DRAY_TRY(dr_mirror_load(mirror, error));
  DRAY_TRY(dr_mirror_secure(mirror, error));
  dr_mirror_sweep(mirror->folder, mirror->head.number);
  return DRAY_OK;
}

int32_t dr_mirror_open(const struct dr_mirror_options *options, struct dr_mirror **out, struct dray_error *error) {
  struct dr_mirror *mirror = NULL;
  DRAY_TRY(make(options, &mirror, error));
  const int32_t rc = open_or_create(mirror, options->create, error);
  if (rc != DRAY_OK) {
    dr_mirror_close(mirror);
    return rc;
  }
  *out = mirror;
  return DRAY_OK;
}

void dr_mirror_info(const struct dr_mirror *mirror, struct dr_mirror_info *out) {
  *out = (struct dr_mirror_info){
      .generation = mirror->generation, .prepared_generation = mirror->prepared, .keep = mirror->info.keep};
  if (mirror->base == NULL) return; // broken while it was rewritten
  out->rows = (uint64_t)((int64_t)dr_base_rows(mirror->base) + mirror->delta);
  out->base_bytes = mirror->base->in.bytes;
  out->journal_bytes = mirror->journal->end;
}

// ---- verifying ----

// A mirror object for reading only, under its own schema and without the secret: enough to check every sum.
static int32_t open_to_verify(const char *folder, struct dr_mirror **out, struct dray_error *error) {
  struct dr_head head;
  struct dr_base *base = NULL;
  struct dr_mirror *mirror = NULL;
  DRAY_TRY(dr_head_read(folder, &head, error));
  DRAY_TRY(dr_base_open(folder, head.number, &base, error));
  const struct dr_mirror_options options = {.folder = folder,
                                            .schema = base->info.schema,
                                            .key = (const char *const *)base->info.key,
                                            .key_count = base->info.key_count};
  int32_t rc = make(&options, &mirror, error);
  dr_base_close(base);
  DRAY_TRY(rc);
  mirror->info.seed_id = head.seed_id;
  mirror->read_only = 1;
  rc = dr_mirror_load(mirror, error);
  if (rc != DRAY_OK) {
    dr_mirror_close(mirror);
    return rc;
  }
  *out = mirror;
  return DRAY_OK;
}

int32_t dr_mirror_verify(const char *folder, struct dr_mirror_info *out, struct dray_error *error) {
  struct dr_mirror *mirror = NULL;
  DRAY_TRY(open_to_verify(folder, &mirror, error));
  const int32_t rc = dr_base_verify(mirror->base, error);
  if (rc == DRAY_OK) {
    dr_mirror_info(mirror, out);
    struct stat info;
    if (fstat(mirror->journal->fd, &info) == 0) out->journal_bytes = (uint64_t)info.st_size;
  }
  dr_mirror_close(mirror);
  return rc;
}
