// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Finds the files behind `path` and groups them into streams. Opens none of them.
#include "sets.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define NAME_MAX_BYTES 255

// ---- names ----

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

static int ends_with(const char *text, size_t len, const char *end) {
  const size_t end_len = strlen(end);
  return len > end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

static const struct {
  const char *end;
  int jsonl;
} endings[] = {{".csv", 0}, {".tsv", 0}, {".txt", 0}, {".jsonl", 1}, {".ndjson", 1}};
#define ENDING_COUNT (sizeof(endings) / sizeof(endings[0]))

// Splits a file name into its stem and a known ending (-1: none); ".gz" is left out of both.
static size_t split_name(const char *name, int *out_ending) {
  size_t len = strlen(name);
  if (ends_with(name, len, ".gz")) len -= 3;
  *out_ending = -1;
  for (size_t i = 0; i < ENDING_COUNT; i++) {
    if (!ends_with(name, len, endings[i].end)) continue;
    *out_ending = (int)i;
    return len - strlen(endings[i].end);
  }
  return len;
}

static int is_jsonl(const struct file_settings *settings, const char *path) {
  int ending = -1;
  if (strcmp(settings->format, "auto") != 0) return strcmp(settings->format, "jsonl") == 0;
  (void)split_name(base_name(path), &ending);
  return ending >= 0 && endings[ending].jsonl;
}

// "data/orders-2024*.csv" -> "orders-2024"; "data/*.csv" -> "data". NULL when memory is short.
static char *pattern_name(const char *pattern) {
  const char *base = base_name(pattern);
  size_t len = strcspn(base, "*?[");
  while (len > 0 && strchr("-_. ", base[len - 1]) != NULL) len--;
  if (len > 0) return dray_str_dup(dray_str_make(base, len));
  size_t end = (size_t)(base - pattern);
  while (end > 0 && pattern[end - 1] == '/') end--;
  size_t start = end;
  while (start > 0 && pattern[start - 1] != '/') start--;
  const struct dray_str folder = dray_str_make(pattern + start, end - start);
  const int usable = folder.len > 0 && !dray_str_is(folder, ".") && !dray_str_is(folder, "..") &&
                     strcspn(pattern + start, "*?[") >= folder.len;
  return usable ? dray_str_dup(folder) : dray_str_dup(dray_str_of("files"));
}

static char *stem_name(const char *path) {
  int ending = -1;
  const char *base = base_name(path);
  return dray_str_dup(dray_str_make(base, split_name(base, &ending)));
}

// ---- lists of paths ----

struct path_list {
  char **items; // owned
  size_t count;
};

static void free_list(struct path_list *list) {
  for (size_t i = 0; i < list->count; i++) free(list->items[i]);
  free(list->items);
  list->items = NULL;
  list->count = 0;
}

static int32_t out_of_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the list of files");
}

static int32_t add_path(struct path_list *list, const char *folder, const char *name, struct dray_error *error) {
  if (list->count == FILE_PATHS_MAX) {
    return dray_fail_field(error, DRAY_E_LIMIT, "path", "more than %d files match; split them over several connections",
                           FILE_PATHS_MAX);
  }
  // Grown at powers of two: the capacity follows from the count.
  if ((list->count & (list->count - 1)) == 0) {
    char **grown = realloc(list->items, (list->count == 0 ? 1 : list->count * 2) * sizeof(*grown));
    if (grown == NULL) return out_of_memory(error);
    list->items = grown;
  }
  const size_t folder_len = strlen(folder);
  const char *between = folder_len > 0 && folder[folder_len - 1] != '/' ? "/" : "";
  const size_t bytes = folder_len + strlen(name) + 2;
  char *path = malloc(bytes);
  if (path == NULL) return out_of_memory(error);
  (void)snprintf(path, bytes, "%s%s%s", folder, between, name);
  list->items[list->count++] = path;
  return DRAY_OK;
}

static int compare_paths(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int is_regular(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

// The files of a folder that have a known ending; not those that begin with a dot, not those of its folders.
static int32_t list_folder(const char *folder, struct path_list *out, struct dray_error *error) {
  DIR *open_folder = opendir(folder);
  if (open_folder == NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_FILE, "path", "the folder %s cannot be read: %s", folder,
                           strerror(errno));
  }
  int32_t rc = DRAY_OK;
  while (rc == DRAY_OK) {
    errno = 0;
    const struct dirent *entry = readdir(open_folder);
    if (entry == NULL) {
      if (errno != 0) rc = dray_fail(error, DRAY_E_IO, "the folder %s cannot be read: %s", folder, strerror(errno));
      break;
    }
    int ending = -1;
    (void)split_name(entry->d_name, &ending);
    if (entry->d_name[0] == '.' || ending < 0) continue;
    rc = add_path(out, folder, entry->d_name, error);
    if (rc == DRAY_OK && !is_regular(out->items[out->count - 1])) free(out->items[--out->count]);
  }
  (void)closedir(open_folder);
  return rc;
}

static int32_t list_pattern(const char *pattern, struct path_list *out, struct dray_error *error) {
  glob_t found = {0};
  int32_t rc = DRAY_OK;
  // GLOB_ERR: a folder that cannot be read must not look like a folder without files.
  const int status = glob(pattern, GLOB_ERR | GLOB_NOSORT, NULL, &found);
  if (status == GLOB_NOSPACE) {
    rc = out_of_memory(error);
  } else if (status != 0 && status != GLOB_NOMATCH) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_FILE, "path", "a folder of %s cannot be read: %s", pattern,
                         strerror(errno));
  }
  for (size_t i = 0; status == 0 && rc == DRAY_OK && i < found.gl_pathc; i++) {
    if (is_regular(found.gl_pathv[i])) rc = add_path(out, "", found.gl_pathv[i], error);
  }
  globfree(&found);
  return rc;
}

enum { PATH_FILE, PATH_FOLDER, PATH_PATTERN };

static int32_t list_paths(const char *path, int *out_kind, struct path_list *out, struct dray_error *error) {
  struct stat info;
  if (stat(path, &info) == 0) { // also a file whose name holds a star
    *out_kind = S_ISDIR(info.st_mode) ? PATH_FOLDER : PATH_FILE;
    return S_ISDIR(info.st_mode) ? list_folder(path, out, error) : add_path(out, "", path, error);
  }
  if (strpbrk(path, "*?[") == NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_FILE, "path", "%s cannot be read: %s", path, strerror(errno));
  }
  *out_kind = PATH_PATTERN;
  return list_pattern(path, out, error);
}

// ---- grouping ----

static int compare_sets(const void *a, const void *b) {
  return strcmp(((const struct file_set *)a)->name, ((const struct file_set *)b)->name);
}

static int32_t per_file(const struct file_settings *settings, struct path_list *list, struct file_sets *sets,
                        struct dray_error *error) {
  sets->items = calloc(list->count, sizeof(*sets->items));
  if (sets->items == NULL) return out_of_memory(error);
  for (size_t i = 0; i < list->count; i++) {
    struct file_set *set = &sets->items[sets->count++];
    set->name = stem_name(list->items[i]);
    set->paths = calloc(1, sizeof(*set->paths));
    if (set->name == NULL || set->paths == NULL) return out_of_memory(error);
    set->paths[0] = list->items[i];
    set->count = 1;
    list->items[i] = NULL; // moved
    set->jsonl = is_jsonl(settings, set->paths[0]);
  }
  qsort(sets->items, sets->count, sizeof(*sets->items), compare_sets);
  for (size_t i = 1; i < sets->count; i++) {
    if (strcmp(sets->items[i - 1].name, sets->items[i].name) != 0) continue;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path",
                           "%s and %s would both be the stream %s; set `streams: one`", sets->items[i - 1].paths[0],
                           sets->items[i].paths[0], sets->items[i].name);
  }
  return DRAY_OK;
}

static int32_t one_stream(const struct file_settings *settings, int kind, struct path_list *list,
                          struct file_sets *sets, struct dray_error *error) {
  const int jsonl = is_jsonl(settings, list->items[0]);
  for (size_t i = 1; i < list->count; i++) {
    if (is_jsonl(settings, list->items[i]) == jsonl) continue;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path",
                           "%s and %s are of different formats and cannot be one stream", list->items[0],
                           list->items[i]);
  }
  sets->items = calloc(1, sizeof(*sets->items));
  if (sets->items == NULL) return out_of_memory(error);
  struct file_set *set = &sets->items[0];
  sets->count = 1;
  if (settings->stream != NULL) {
    set->name = dray_str_dup(dray_str_of(settings->stream));
  } else if (kind == PATH_FILE) {
    set->name = stem_name(list->items[0]);
  } else if (kind == PATH_PATTERN) {
    set->name = pattern_name(settings->path);
  } else {
    char pattern[FILE_PATH_MAX + 2];
    (void)snprintf(pattern, sizeof(pattern), "%s/*", settings->path);
    set->name = pattern_name(pattern);
  }
  if (set->name == NULL) return out_of_memory(error);
  set->paths = list->items;
  set->count = list->count;
  set->jsonl = jsonl;
  list->items = NULL;
  list->count = 0;
  return DRAY_OK;
}

static int32_t check_names(const struct file_settings *settings, const struct file_sets *sets,
                           struct dray_error *error) {
  for (size_t i = 0; i < sets->count; i++) {
    for (size_t k = 0; k < sets->items[i].count; k++) { // they stand in states and messages, which are UTF-8
      const char *path = sets->items[i].paths[k];
      if (dray_utf8_valid(path, strlen(path))) continue;
      return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path", "a file that %s matches has a name that is not UTF-8",
                             settings->path);
    }
    const char *name = sets->items[i].name;
    if (name[0] == '\0' || strlen(name) > NAME_MAX_BYTES || !dray_utf8_valid(name, strlen(name))) {
      return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "path",
                             "%s does not give a name for its stream (1 to %d bytes of UTF-8); set `stream`",
                             sets->items[i].paths[0], NAME_MAX_BYTES);
    }
  }
  return DRAY_OK;
}

int32_t file_sets_find(const struct file_settings *settings, struct file_sets *out, struct dray_error *error) {
  struct path_list list = {0};
  struct file_sets sets = {0};
  int kind = PATH_FILE;
  int32_t rc = list_paths(settings->path, &kind, &list, error);
  if (rc == DRAY_OK && list.count == 0) {
    // Not an empty stream: to a mirror that would mean that every row was deleted.
    rc = dray_fail_field(error, DRAY_E_CONFIG_FILE, "path", "no file %s %s",
                         kind == PATH_FOLDER
                             ? "with a known ending (.csv, .tsv, .txt, .jsonl, .ndjson, or these with .gz) is in"
                             : "matches",
                         settings->path);
  }
  if (rc != DRAY_OK) goto done;
  qsort(list.items, list.count, sizeof(*list.items), compare_paths);
  const int split =
      strcmp(settings->streams, "per_file") == 0 || (kind == PATH_FOLDER && strcmp(settings->streams, "one") != 0);
  rc = split ? per_file(settings, &list, &sets, error) : one_stream(settings, kind, &list, &sets, error);
  if (rc == DRAY_OK) rc = check_names(settings, &sets, error);
done:
  free_list(&list);
  if (rc != DRAY_OK) {
    file_sets_free(&sets);
    return rc;
  }
  if (sets.count == 1) sets.items[0].alone = 1;
  *out = sets;
  return DRAY_OK;
}

void file_set_free(struct file_set *set) {
  for (size_t i = 0; i < set->count; i++) free(set->paths[i]);
  free(set->paths);
  free(set->name);
  memset(set, 0, sizeof(*set));
}

void file_sets_free(struct file_sets *sets) {
  for (size_t i = 0; i < sets->count; i++) file_set_free(&sets->items[i]);
  free(sets->items);
  sets->items = NULL;
  sets->count = 0;
}

int32_t file_sets_take(struct file_sets *sets, struct dray_str name, struct file_set *out, struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  for (size_t i = 0; i < sets->count; i++) {
    if (dray_str_is(name, sets->items[i].name)) {
      *out = sets->items[i];
      memset(&sets->items[i], 0, sizeof(sets->items[i]));
      return DRAY_OK;
    }
    dray_nearest_offer(&nearest, sets->items[i].name);
  }
  return dray_fail(error, DRAY_E_SCHEMA_STREAM, "there is no stream %.*s%s", DRAY_STR_ARG(name),
                   dray_nearest_hint(&nearest));
}
