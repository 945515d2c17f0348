// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading a project: which folder, which files, and the sections of each put together. What a section means is read
// in
// connection.c and sync.c.
#include "config/project.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "config/inside.h"

#define MEMORY_BYTES_MIN (16ull << 20)
#define MEMORY_BYTES_MAX (1ull << 40)

struct loading {
  struct dr_project *project;
  struct dr_entries connections, models, syncs;
  struct dray_error *error;
};

// ---- the folder ----

static int has_project(const char *folder, int *out_has) {
  char *path = dr_path_join(folder, "dray.yaml");
  if (path == NULL) return 0;
  *out_has = dr_file_exists(path);
  free(path);
  return 1;
}

// `folder` made absolute, or the nearest one upwards from the working directory that has a dray.yaml.
static int32_t find_folder(const char *folder, char **out, struct dray_error *error) {
  int has = 0;
  char *path = realpath(folder != NULL ? folder : ".", NULL);
  if (path == NULL && errno == ENOMEM) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to find the project");
  if (path == NULL)
    return dray_fail(error, DRAY_E_CONFIG_NO_PROJECT, "the folder %s cannot be entered", folder != NULL ? folder : ".");
  for (;;) {
    if (!has_project(path, &has)) {
      free(path);
      return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to find the project");
    }
    if (has) break;
    char *slash = strrchr(path, '/');
    if (folder != NULL || slash == NULL || path[1] == '\0') {
      const int32_t rc =
          folder != NULL
              ? dray_fail(error, DRAY_E_CONFIG_NO_PROJECT, "there is no dray.yaml in %s", folder)
              : dray_fail(error, DRAY_E_CONFIG_NO_PROJECT, "there is no dray.yaml in this folder or above it");
      free(path);
      return rc;
    }
    slash[slash == path ? 1 : 0] = '\0';
  }
  *out = path;
  return DRAY_OK;
}

// ---- files ----

static int32_t add_file(struct loading *l, const char *path, struct dray_str text, uint32_t *out_index) {
  struct dr_project *project = l->project;
  if (project->file_count == project->inside->file_capacity) {
    const size_t capacity = project->inside->file_capacity == 0 ? 16 : project->inside->file_capacity * 2;
    struct dr_config_file *files = NULL;
    uint8_t *broken = NULL;
    DRAY_TRY(dr_project_alloc(project, capacity * sizeof(*files), &files, l->error));
    DRAY_TRY(dr_project_alloc(project, capacity, &broken, l->error));
    if (project->file_count > 0) {
      memcpy(files, project->files, project->file_count * sizeof(*files));
      memcpy(broken, project->inside->broken, project->file_count);
    }
    project->files = files;
    project->inside->broken = broken;
    project->inside->file_capacity = capacity;
  }
  struct dr_config_file *file = &project->files[project->file_count];
  DRAY_TRY(dr_project_text(project, dray_str_of(path), &file->path, l->error));
  DRAY_TRY(dr_project_text(project, text, &file->text.data, l->error));
  file->text.len = text.len;
  *out_index = (uint32_t)project->file_count++;
  return DRAY_OK;
}

// Reads a file of the project, without a byte order mark, into its list of files.
static int32_t read_file(struct loading *l, const char *name, uint32_t *out_index) {
  struct dray_buffer bytes;
  char *path = dr_path_join(l->project->folder, name);
  if (path == NULL) return dray_fail(l->error, DRAY_E_OUT_OF_MEMORY, "no memory for the path of %s", name);
  dray_buffer_init(&bytes, DR_CONFIG_FILE_BYTES_MAX + 131072);
  int32_t rc = dr_file_read(path, DR_CONFIG_FILE_BYTES_MAX, &bytes, l->error);
  if (rc == DRAY_E_LIMIT) {
    rc = dray_fail(l->error, DRAY_E_CONFIG_LIMIT, "%s is larger than 1 MiB", path);
  } else if (rc == DRAY_E_IO) {
    if (l->error != NULL) l->error->code = DRAY_E_CONFIG_FILE;
    if (l->error != NULL) l->error->error_class = DRAY_CLASS_CONFIG;
    rc = DRAY_E_CONFIG_FILE;
  }
  if (rc == DRAY_OK) {
    struct dray_str text = dray_buffer_view(&bytes);
    if (text.len >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) text = dray_str_make(text.data + 3, text.len - 3);
    rc = add_file(l, name, text, out_index);
  }
  dray_buffer_free(&bytes);
  free(path);
  return rc;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(char **names, size_t count) {
  for (size_t i = 0; i < count; i++) free(names[i]);
  free(names);
}

static int32_t add_name(struct loading *l, char ***names, size_t *count, const char *folder, const char *name) {
  if (*count == DR_CONFIG_FILES_MAX)
    return dray_fail(l->error, DRAY_E_CONFIG_LIMIT, "%s/ holds more than %d files", folder, DR_CONFIG_FILES_MAX);
  char **grown = realloc(*names, (*count + 1) * sizeof(*grown));
  if (grown == NULL) return dray_fail(l->error, DRAY_E_OUT_OF_MEMORY, "no memory to list %s/", folder);
  *names = grown;
  grown[*count] = dr_path_join(folder, name);
  if (grown[*count] == NULL) return dray_fail(l->error, DRAY_E_OUT_OF_MEMORY, "no memory to list %s/", folder);
  (*count)++;
  return DRAY_OK;
}

static int ends_with(const char *name, const char *ending) {
  const size_t len = strlen(name), end = strlen(ending);
  return len > end && strcmp(name + len - end, ending) == 0;
}

// The files of a folder of the project by name, sorted: the order must not depend on the file system. No folder:
// none.
static int32_t list_folder(struct loading *l, const char *folder, const char *ending, char ***out, size_t *out_count) {
  char **names = NULL;
  size_t count = 0;
  char *path = dr_path_join(l->project->folder, folder);
  if (path == NULL) return dray_fail(l->error, DRAY_E_OUT_OF_MEMORY, "no memory to list %s/", folder);
  DIR *dir = opendir(path);
  const int number = errno;
  free(path);
  *out = NULL;
  *out_count = 0;
  if (dir == NULL && (number == ENOENT || number == ENOTDIR)) return DRAY_OK;
  if (dir == NULL)
    return dray_fail(l->error, DRAY_E_CONFIG_FILE, "the folder %s/ cannot be read: %s", folder, strerror(number));
  int32_t rc = DRAY_OK;
  const struct dirent *entry;
  while (rc == DRAY_OK && (entry = readdir(dir)) != NULL) {
    if (entry->d_name[0] != '.' && ends_with(entry->d_name, ending))
      rc = add_name(l, &names, &count, folder, entry->d_name);
  }
  (void)closedir(dir);
  if (rc != DRAY_OK) {
    free_names(names, count);
    return rc;
  }
  if (count > 1) qsort(names, count, sizeof(*names), compare_names);
  *out = names;
  *out_count = count;
  return DRAY_OK;
}

// ---- entries of sections ----

static int is_name(struct dray_str name) {
  if (name.len == 0 || name.len > DR_CONFIG_NAME_BYTES_MAX || name.data[0] == '-') return 0;
  for (uint64_t i = 0; i < name.len; i++) {
    const char c = name.data[i];
    if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) return 0;
  }
  return 1;
}

static int32_t add_entry(struct loading *l, struct dr_entries *entries, const char *kind, struct dray_str name,
                         const struct dr_node *node) {
  struct dr_reader reader = {l->project, "", NULL, l->error};
  if (!is_name(name))
    DRAY_TRY(
        dr_problem_at_name(&reader, node, DRAY_E_CONFIG_VALUE, NULL,
                           "names are made of letters, digits, _ and -, at most 64 of them, and do not begin with -",
                           "\"%.*s\" cannot be the name of a %s", DRAY_STR_ARG(name), kind));
  for (const struct dr_entry *entry = entries->first; entry != NULL; entry = entry->next) {
    if (!dray_str_equal(entry->name, name)) continue;
    const struct dr_mark first = entry->node->name.len > 0 ? entry->node->name_mark : entry->node->mark;
    if (strcmp(kind, "connection") == 0) DRAY_TRY(dr_mask(l->project, node, l->error));
    return dr_problem_at_name(&reader, node, DRAY_E_CONFIG_DUPLICATE_KEY, NULL, NULL,
                              "the %s \"%.*s\" is defined twice; the first is in %s at line %u", kind,
                              DRAY_STR_ARG(name), l->project->files[first.file].path, first.line);
  }
  struct dr_entry *entry = NULL;
  DRAY_TRY(dr_project_alloc(l->project, sizeof(*entry), &entry, l->error));
  entry->name = name;
  entry->node = node;
  *entries->last = entry;
  entries->last = &entry->next;
  entries->count++;
  return DRAY_OK;
}

static int32_t add_entries(struct loading *l, struct dr_entries *entries, const char *kind, const struct dr_node *map) {
  struct dr_reader reader = {l->project, "", NULL, l->error};
  if (map->kind == DR_NODE_NULL) return DRAY_OK; // `syncs:` with nothing below it
  if (map->kind != DR_NODE_MAP) return dr_problem_type(&reader, map, "a mapping of names");
  for (const struct dr_node *child = map->child; child != NULL; child = child->next)
    DRAY_TRY(add_entry(l, entries, kind, child->name, child));
  return DRAY_OK;
}

// ---- dray.yaml ----

static struct loading *loading_of(struct dr_reader *reader) {
  return reader->target;
}

static int32_t top_version(struct dr_reader *reader, const struct dr_node *node) {
  if (node->kind == DR_NODE_INT && node->integer == 1) return DRAY_OK;
  return dr_problem_at(reader, node, node->kind == DR_NODE_INT ? DRAY_E_CONFIG_VALUE : DRAY_E_CONFIG_TYPE, NULL,
                       node->kind == DR_NODE_INT ? "a newer dray may know it" : NULL, "`version` is 1 in this dray");
}

static int32_t top_plugins(struct dr_reader *reader, const struct dr_node *node) {
  struct dr_project *project = reader->project;
  const char *const *given = NULL;
  const char **paths = NULL;
  size_t count = 0;
  DRAY_TRY(dr_read_texts(reader, node, &given, &count));
  DRAY_TRY(dr_project_alloc(project, (count + 1) * sizeof(*paths), &paths, reader->error));
  for (size_t i = 0; i < count; i++) {
    paths[i] = given[i];
    if (given[i][0] != '/')
      DRAY_TRY(dr_project_format(project, &paths[i], reader->error, "%s/%s", project->folder, given[i]));
  }
  project->plugin_paths = paths;
  project->plugin_path_count = count;
  return DRAY_OK;
}

static int32_t top_memory(struct dr_reader *reader, const struct dr_node *node) {
  uint64_t bytes = reader->project->memory_bytes;
  DRAY_TRY(dr_read_size(reader, node, &bytes));
  if (bytes < MEMORY_BYTES_MIN || bytes > MEMORY_BYTES_MAX)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "`memory` is from 16MiB to 1TiB, not \"%.*s\"",
                         DRAY_STR_ARG(node->text));
  reader->project->memory_bytes = bytes;
  return DRAY_OK;
}

static int32_t top_stall_timeout(struct dr_reader *reader, const struct dr_node *node) {
  int64_t ms = reader->project->stall_timeout_ms;
  DRAY_TRY(dr_read_duration(reader, node, &ms));
  if (ms < 1000 || ms > 7 * 86400000LL)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL,
                         "`stall_timeout` is from 1s to 7d, not \"%.*s\"", DRAY_STR_ARG(node->text));
  reader->project->stall_timeout_ms = ms;
  return DRAY_OK;
}

static int32_t top_connections(struct dr_reader *reader, const struct dr_node *node) {
  return add_entries(loading_of(reader), &loading_of(reader)->connections, "connection", node);
}
static int32_t top_models(struct dr_reader *reader, const struct dr_node *node) {
  return add_entries(loading_of(reader), &loading_of(reader)->models, "model", node);
}
static int32_t top_syncs(struct dr_reader *reader, const struct dr_node *node) {
  return add_entries(loading_of(reader), &loading_of(reader)->syncs, "sync", node);
}

static const struct dr_key top_keys[] = {{"version", top_version},
                                         {"plugins", top_plugins},
                                         {"memory", top_memory},
                                         {"stall_timeout", top_stall_timeout},
                                         {"connections", top_connections},
                                         {"models", top_models},
                                         {"syncs", top_syncs}};

static int32_t load_main(struct loading *l) {
  uint32_t file = 0;
  struct dr_node *root = NULL;
  DRAY_TRY(read_file(l, "dray.yaml", &file));
  DRAY_TRY(dr_yaml_read(l->project, file, l->project->files[file].text, &root, l->error));
  if (root == NULL && l->project->inside->broken[file]) return DRAY_OK;
  struct dr_reader reader = {l->project, "dray.yaml", l, l->error};
  if (root != NULL && root->kind != DR_NODE_NULL) {
    DRAY_TRY(dr_read_section(&reader, root, top_keys, sizeof(top_keys) / sizeof(top_keys[0])));
    if (root->kind != DR_NODE_MAP || dr_node_get(root, "version") != NULL) return DRAY_OK;
  }
  return dr_project_problem(l->project, (struct dr_mark){file, 1, 1}, 1, DRAY_E_CONFIG_MISSING, NULL,
                            "the version says how the rest is to be read", "dray.yaml has no `version: 1`");
}

// ---- companions ----

// The file's name without folder and ending: the name of what it holds.
static int32_t stem_of(struct loading *l, const char *path, size_t ending, struct dray_str *out) {
  const char *base = strrchr(path, '/') + 1;
  *out = dray_str_make(base, strlen(base) - ending);
  return dr_project_text(l->project, *out, &out->data, l->error);
}

static int32_t load_companion(struct loading *l, const char *path, struct dr_entries *entries, const char *kind,
                              const char *const *marks_of_one) {
  uint32_t file = 0;
  struct dr_node *root = NULL;
  struct dray_str stem;
  DRAY_TRY(read_file(l, path, &file));
  DRAY_TRY(dr_yaml_read(l->project, file, l->project->files[file].text, &root, l->error));
  if (root == NULL || root->kind == DR_NODE_NULL) return DRAY_OK; // broken, or empty
  for (; *marks_of_one != NULL; marks_of_one++) {
    if (dr_node_get(root, *marks_of_one) == NULL) continue;
    DRAY_TRY(stem_of(l, path, strlen(".yaml"), &stem));
    return add_entry(l, entries, kind, stem, root);
  }
  return add_entries(l, entries, kind, root);
}

static int32_t load_companions(struct loading *l, const char *folder, struct dr_entries *entries, const char *kind,
                               const char *const *marks_of_one) {
  char **names = NULL;
  size_t count = 0;
  DRAY_TRY(list_folder(l, folder, ".yaml", &names, &count));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) rc = load_companion(l, names[i], entries, kind, marks_of_one);
  free_names(names, count);
  return rc;
}

// The place of `-- dray: {...}` among the comments that a model file begins with; 0: there is none.
static uint32_t model_header(struct dray_str text, struct dray_str *out_line) {
  struct dray_str line;
  for (uint32_t number = 1; number <= 50 && dr_line_at(text, number, &line); number++) {
    if (line.len >= 8 && memcmp(line.data, "-- dray:", 8) == 0) {
      *out_line = line;
      return number;
    }
    if (line.len > 0 && (line.len < 2 || memcmp(line.data, "--", 2) != 0)) break;
  }
  return 0;
}

// A models/NAME.sql that says itself where it runs is a model by its name.
static int32_t discover_model(struct loading *l, const char *path) {
  struct dray_str stem, line;
  uint32_t file = 0;
  struct dr_node *root = NULL;
  char *blanked = NULL;
  DRAY_TRY(stem_of(l, path, strlen(".sql"), &stem));
  for (const struct dr_entry *entry = l->models.first; entry != NULL; entry = entry->next) {
    if (dray_str_equal(entry->name, stem)) return DRAY_OK; // the config says it
  }
  DRAY_TRY(read_file(l, path, &file));
  const struct dray_str text = l->project->files[file].text;
  if (model_header(text, &line) == 0) {
    l->project->file_count--; // a query that nobody refers to yet
    return DRAY_OK;
  }
  // YAML in its place: everything before it becomes blank, so that marks point into the file.
  const size_t before = (size_t)(line.data - text.data) + 8;
  DRAY_TRY(dr_project_alloc(l->project, before + (size_t)line.len + 1, &blanked, l->error));
  for (size_t i = 0; i < before; i++) blanked[i] = text.data[i] == '\n' || text.data[i] == '\r' ? text.data[i] : ' ';
  memcpy(blanked + before, line.data + 8, (size_t)line.len - 8);
  DRAY_TRY(dr_yaml_read(l->project, file, dray_str_make(blanked, before + line.len - 8), &root, l->error));
  return root == NULL ? DRAY_OK : add_entry(l, &l->models, "model", stem, root);
}

static int32_t discover_models(struct loading *l) {
  char **names = NULL;
  size_t count = 0;
  DRAY_TRY(list_folder(l, "models", ".sql", &names, &count));
  int32_t rc = DRAY_OK;
  for (size_t i = 0; i < count && rc == DRAY_OK; i++) rc = discover_model(l, names[i]);
  free_names(names, count);
  return rc;
}

// ---- the whole ----

static int32_t load_all(struct loading *l) {
  static const char *const of_connection[] = {"plugin", NULL};
  static const char *const of_sync[] = {"from", "to", NULL};
  DRAY_TRY(load_main(l));
  DRAY_TRY(load_companions(l, "connections", &l->connections, "connection", of_connection));
  DRAY_TRY(load_companions(l, "syncs", &l->syncs, "sync", of_sync));
  DRAY_TRY(discover_models(l));
  DRAY_TRY(dr_read_connections(l->project, &l->connections, l->error));
  DRAY_TRY(dr_read_models(l->project, &l->models, l->error));
  return dr_read_syncs(l->project, &l->syncs, l->error);
}

static int32_t new_project(const char *folder, struct dr_project **out, struct dray_error *error) {
  struct dr_project *project = calloc(1, sizeof(*project));
  if (project == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the project");
  dr_arena_init(&project->arena, DR_CONFIG_ARENA_BYTES_MAX);
  project->memory_bytes = 256ull << 20;
  project->stall_timeout_ms = 300000;
  int32_t rc = find_folder(folder, &project->folder, error);
  if (rc == DRAY_OK) rc = dr_project_alloc(project, sizeof(*project->inside), &project->inside, error);
  if (rc != DRAY_OK) {
    dr_project_free(project);
    return rc;
  }
  *out = project;
  return DRAY_OK;
}

int32_t dr_project_load(const char *folder, struct dr_project **out, struct dray_error *error) {
  struct dr_project *project = NULL;
  struct dray_error ours;
  dray_error_init(&ours);
  int32_t rc = new_project(folder, &project, &ours);
  if (rc == DRAY_OK) {
    struct loading l = {.project = project, .error = &ours};
    l.connections.last = &l.connections.first;
    l.models.last = &l.models.first;
    l.syncs.last = &l.syncs.first;
    rc = load_all(&l);
  }
  if (rc == DRAY_OK) {
    *out = project;
    return DRAY_OK;
  }
  dr_project_free(project);
  if (ours.code != rc) return dray_fail(error, rc, "no memory to collect the config's problems");
  if (error != NULL) *error = ours;
  return rc;
}

void dr_project_free(struct dr_project *project) {
  if (project == NULL) return;
  dr_arena_free(&project->arena);
  free(project->folder);
  free(project);
}
