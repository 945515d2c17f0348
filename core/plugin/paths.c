// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where plugins are looked for, and finding one by name. Reads manifests only.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "dray/sdk/config.h"
#include "plugin/plugin.h"

#define PATHS_MAX 64
#define PLUGINS_MAX 4096 // folders of one path
#define PATH_BYTES_MAX 4096

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "lib"
#endif

// ---- the paths ----

static int32_t add_path(struct dr_plugin_paths *paths, struct dray_str path, struct dray_error *error) {
  for (size_t i = 0; i < paths->count; i++) {
    if (dray_str_is(path, paths->items[i])) return DRAY_OK;
  }
  if (paths->count == PATHS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "more than %d plugin folders are named", PATHS_MAX);
  }
  if (paths->items == NULL) paths->items = calloc(PATHS_MAX, sizeof(*paths->items));
  char *copy = paths->items != NULL ? dray_str_dup(path) : NULL;
  if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the plugin folders");
  paths->items[paths->count++] = copy;
  return DRAY_OK;
}

static int32_t add_from_environment(struct dr_plugin_paths *paths, struct dray_error *error) {
  const char *from = getenv("DRAY_PLUGIN_PATH");
  while (from != NULL && *from != '\0') {
    const char *colon = strchrnul(from, ':');
    if (colon > from) DRAY_TRY(add_path(paths, dray_str_make(from, (uint64_t)(colon - from)), error));
    from = *colon == ':' ? colon + 1 : colon;
  }
  return DRAY_OK;
}

// The folder of the running program; "" when the system does not say.
static void own_folder(char *out, size_t out_bytes) {
  const ssize_t n = readlink("/proc/self/exe", out, out_bytes - 1);
  out[n > 0 ? n : 0] = '\0';
  char *slash = strrchr(out, '/');
  if (slash != NULL) *slash = '\0';
}

// PREFIX/bin/dray has its plugins in PREFIX/lib/dray/plugins, wherever PREFIX was moved; a build's program has them in
// the build's folder, which its CMakeCache.txt tells.
static int32_t add_own(struct dr_plugin_paths *paths, struct dray_error *error) {
  static const char *const places[][2] = {
      {"../../CMakeCache.txt", "../../plugins"},
      {"../lib/" MULTIARCH "/dray/plugins", "../lib/" MULTIARCH "/dray/plugins"},
      {"../lib/dray/plugins", "../lib/dray/plugins"},
      {"../lib64/dray/plugins", "../lib64/dray/plugins"},
  };
  char folder[PATH_BYTES_MAX];
  own_folder(folder, sizeof(folder));
  if (folder[0] == '\0') return DRAY_OK;
  for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
    char path[PATH_BYTES_MAX + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, places[i][0]);
    if (!dr_file_exists(path)) continue;
    (void)snprintf(path, sizeof(path), "%s/%s", folder, places[i][1]);
    char *whole = realpath(path, NULL);
    if (whole == NULL) continue;
    const int32_t rc = add_path(paths, dray_str_of(whole), error);
    free(whole);
    if (rc != DRAY_OK) return rc;
  }
  return DRAY_OK;
}

int32_t dr_plugin_paths_init(struct dr_plugin_paths *paths, const char *const *given, size_t given_count,
                             struct dray_error *error) {
  struct dr_plugin_paths made = {NULL, 0};
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < given_count && rc == DRAY_OK; i++) rc = add_path(&made, dray_str_of(given[i]), error);
  if (rc == DRAY_OK) rc = add_from_environment(&made, error);
  if (rc == DRAY_OK) rc = add_own(&made, error);
  if (rc != DRAY_OK) {
    dr_plugin_paths_free(&made);
    return rc;
  }
  *paths = made;
  return DRAY_OK;
}

void dr_plugin_paths_free(struct dr_plugin_paths *paths) {
  for (size_t i = 0; i < paths->count; i++) free(paths->items[i]);
  free(paths->items);
  *paths = (struct dr_plugin_paths){NULL, 0};
}

// ---- listing ----

struct list {
  struct dr_manifest *items; // owned
  size_t count;
  size_t capacity;
};

static int listed(const struct list *list, const char *name) {
  for (size_t i = 0; i < list->count; i++) {
    if (strcmp(list->items[i].name, name) == 0) return 1;
  }
  return 0;
}

static int32_t add_manifest(struct list *list, const struct dr_manifest *manifest, struct dray_error *error) {
  if (listed(list, manifest->name)) return DRAY_OK; // an earlier path has it
  if (list->count == list->capacity) {
    const size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
    struct dr_manifest *items = realloc(list->items, capacity * sizeof(*items));
    if (items == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the list of plugins");
    list->items = items;
    list->capacity = capacity;
  }
  list->items[list->count++] = *manifest;
  return DRAY_OK;
}

static const char *last_part(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

// Adds the plugin whose folder this is, or its error in its place. Folders without a manifest are none.
static int32_t add_folder(struct list *list, const char *folder, struct dray_error *error) {
  char at[PATH_BYTES_MAX];
  const int n = snprintf(at, sizeof(at), "%s/manifest.json", folder);
  if (n < 0 || (size_t)n >= sizeof(at) || !dr_file_exists(at)) return DRAY_OK;
  struct dr_manifest manifest;
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dr_manifest_read(folder, &manifest, &why);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(error, rc, "%s", why.text);
  if (rc != DRAY_OK) {
    memset(&manifest, 0, sizeof(manifest));
    (void)snprintf(manifest.name, sizeof(manifest.name), "%s", last_part(folder));
    (void)snprintf(manifest.folder, sizeof(manifest.folder), "%s", folder);
    (void)snprintf(manifest.summary, sizeof(manifest.summary), "%.255s", why.text);
    size_t len = strlen(manifest.summary); // the cut may have gone through a character
    while (len > 0 && !dray_utf8_valid(manifest.summary, len)) manifest.summary[--len] = '\0';
  }
  return add_manifest(list, &manifest, error);
}

static int not_dotted(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static int32_t add_path_entries(struct list *list, const char *path, struct dray_error *error) {
  DRAY_TRY(add_folder(list, path, error));
  struct dirent **entries = NULL;
  const int count = scandir(path, &entries, not_dotted, alphasort);
  if (count < 0) return DRAY_OK; // a path that is not there holds nothing
  int32_t rc = DRAY_OK;
  if (count > PLUGINS_MAX) rc = dray_fail(error, DRAY_E_LIMIT, "%s holds more than %d folders", path, PLUGINS_MAX);
  for (int i = 0; i < count; i++) {
    char *folder = rc == DRAY_OK ? dr_path_join(path, entries[i]->d_name) : NULL;
    if (folder != NULL) rc = add_folder(list, folder, error);
    if (folder == NULL && rc == DRAY_OK) rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
    free(folder);
    free(entries[i]);
  }
  free(entries);
  return rc;
}

int32_t dr_plugin_list(const struct dr_plugin_paths *paths, struct dr_manifest **out, size_t *out_count,
                       struct dray_error *error) {
  struct list list = {NULL, 0, 0};
  for (size_t i = 0; i < paths->count; i++) {
    const int32_t rc = add_path_entries(&list, paths->items[i], error);
    if (rc != DRAY_OK) {
      free(list.items);
      return rc;
    }
  }
  *out = list.items;
  *out_count = list.count;
  return DRAY_OK;
}

// ---- finding ----

static int32_t missing(const struct dr_plugin_paths *paths, const char *name, struct dray_error *error) {
  struct dr_manifest *all = NULL;
  size_t count = 0;
  DRAY_TRY(dr_plugin_list(paths, &all, &count, error));
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(name));
  for (size_t i = 0; i < count; i++) dray_nearest_offer(&nearest, all[i].name);
  char looked[512] = "";
  size_t at = 0;
  for (size_t i = 0; i < paths->count && at < sizeof(looked); i++) {
    const int n = snprintf(looked + at, sizeof(looked) - at, "%s%s", i > 0 ? ", " : "", paths->items[i]);
    at += n > 0 ? (size_t)n : 0;
  }
  const int32_t rc = dray_fail(error, DRAY_E_PLUGIN_MISSING, "there is no plugin %s%s (looked in: %s)", name,
                               dray_nearest_hint(&nearest), paths->count > 0 ? looked : "no folder");
  free(all);
  return rc;
}

// *out_found = 1 and *out when `folder` is the plugin's. A folder that is named so must hold a good manifest of that
// name.
static int32_t try_folder(const char *folder, const char *name, int named_so, struct dr_manifest *out, int *out_found,
                          struct dray_error *error) {
  char at[PATH_BYTES_MAX];
  const int n = snprintf(at, sizeof(at), "%s/manifest.json", folder);
  if (n < 0 || (size_t)n >= sizeof(at) || !dr_file_exists(at)) return DRAY_OK;
  struct dr_manifest manifest;
  const int32_t rc = dr_manifest_read(folder, &manifest, error);
  if (rc != DRAY_OK) return named_so || rc == DRAY_E_OUT_OF_MEMORY ? rc : DRAY_OK;
  if (strcmp(manifest.name, name) != 0) {
    if (!named_so) return DRAY_OK;
    return dray_fail_field(error, DRAY_E_PLUGIN_MANIFEST, "name", "%s: \"name\" is %s in the folder of the plugin %s",
                           at, manifest.name, name);
  }
  *out = manifest;
  *out_found = 1;
  return DRAY_OK;
}

int32_t dr_plugin_find(const struct dr_plugin_paths *paths, const char *name, struct dr_manifest *out,
                       struct dray_error *error) {
  if (strchr(name, '/') != NULL) return dr_manifest_read(name, out, error);
  const int plain = name[0] != '\0' && name[0] != '.';
  for (size_t i = 0; plain && i < paths->count; i++) {
    int found = 0;
    char *folder = dr_path_join(paths->items[i], name);
    if (folder == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
    int32_t rc = try_folder(paths->items[i], name, 0, out, &found, error);
    if (rc == DRAY_OK && !found) rc = try_folder(folder, name, 1, out, &found, error);
    free(folder);
    if (rc != DRAY_OK || found) return rc;
  }
  return missing(paths, name, error);
}
