// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `dray plugin list`, `info` and `new`. Listing reads manifests only; info loads the library, in a child.
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "plugin/plugin.h"
#include "sync/supervise.h"
#include "watched.h"

#define SPEC_BYTES_MAX (1u << 20)
#define FILE_BYTES_MAX (1u << 20)
#define PATH_BYTES_MAX 4096

// The search path of the project, where there is one: these commands work outside of a project as well.
static int32_t open_paths(struct dr_command_call *call, struct dr_project **project, struct dr_plugin_paths *paths) {
  const int32_t rc = dr_project_load(call->project_folder, project, &call->error);
  if (rc != DRAY_OK && (rc != DRAY_E_CONFIG_NO_PROJECT || call->project_folder != NULL)) {
    return dr_print_error(call->output, &call->error);
  }
  const int found = rc == DRAY_OK;
  if (dr_plugin_paths_init(paths, found ? (*project)->plugin_paths : NULL, found ? (*project)->plugin_path_count : 0,
                           &call->error) != DRAY_OK) {
    dr_project_free(*project);
    return dr_print_error(call->output, &call->error);
  }
  return 0;
}

// ---- list ----

static void roles_text(const struct dr_manifest *manifest, char *out, size_t out_bytes) {
  (void)snprintf(out, out_bytes, "%s%s%s", manifest->has_source ? "source " : "",
                 manifest->has_destination ? "destination " : "", manifest->has_warehouse ? "warehouse " : "");
  const size_t len = strlen(out);
  if (len > 0) out[len - 1] = '\0';
}

static void write_manifest(struct dr_output *output, const struct dr_manifest *manifest) {
  struct dr_record record;
  char roles[64];
  roles_text(manifest, roles, sizeof(roles));
  dr_record_begin(&record, output, "plugin");
  dr_record_text(&record, "name", manifest->name);
  dr_record_text(&record, "version", manifest->version);
  dr_record_text(&record, "roles", roles);
  dr_record_text(&record, "summary", manifest->summary);
  dr_record_text(&record, "library", manifest->library);
  dr_record_int(&record, "abi_major", manifest->abi_major);
  dr_record_int(&record, "abi_minor", manifest->abi_minor);
  dr_record_text(&record, "sha256", manifest->sha256);
  dr_record_end(&record);
}

int32_t cmd_plugin_list(struct dr_command_call *call) {
  static const struct dr_table_column columns[] = {
      {"NAME", 0}, {"VERSION", 0}, {"ABI", 0}, {"ROLES", 0}, {"SUMMARY", 0}};
  struct dr_project *project = NULL;
  struct dr_plugin_paths paths;
  struct dr_manifest *manifests = NULL;
  size_t count = 0;
  int32_t code = open_paths(call, &project, &paths);
  if (code != 0) return code;
  if (dr_plugin_list(&paths, &manifests, &count, &call->error) != DRAY_OK) {
    code = dr_print_error(call->output, &call->error);
  } else if (call->output->json) {
    for (size_t i = 0; i < count; i++) write_manifest(call->output, &manifests[i]);
  } else {
    struct dr_table *table = dr_table_new(call->output, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < count; i++) {
      char roles[64];
      roles_text(&manifests[i], roles, sizeof(roles));
      dr_table_cell(table, "%s", manifests[i].name);
      dr_table_cell(table, "%s", manifests[i].version[0] != '\0' ? manifests[i].version : "(unreadable)");
      dr_table_cell(table, "%u.%u", manifests[i].abi_major, manifests[i].abi_minor);
      dr_table_cell(table, "%s", roles);
      dr_table_cell(table, "%s", manifests[i].summary);
    }
    dr_table_print(table);
    dr_note(call->output, "looked in:\n");
    for (size_t i = 0; i < paths.count; i++) dr_note(call->output, "  %s\n", paths.items[i]);
  }
  free(manifests);
  dr_plugin_paths_free(&paths);
  dr_project_free(project);
  return code;
}

// ---- info ----

static void print_setting(struct dr_output *output, const struct dray_json *property, int required) {
  const struct dray_json *type = dray_json_get(property, "type");
  const struct dray_json *secret = dray_json_get(property, "writeOnly");
  const struct dray_json *otherwise = dray_json_get(property, "default");
  const struct dray_json *choices = dray_json_get(property, "enum");
  const int is_secret = secret != NULL && secret->kind == DRAY_JSON_BOOL && secret->boolean;
  const struct dray_str kind = is_secret ? dray_str_of("secret") : dray_json_string(type, "any");
  dr_print(output, "  %-22.*s %-8.*s %s", DRAY_STR_ARG(property->name), DRAY_STR_ARG(kind),
           required ? "required  " : "");
  const struct dray_str description = dray_json_string(dray_json_get(property, "description"), "");
  dr_print(output, "%.*s", DRAY_STR_ARG(description));
  for (const struct dray_json *choice = choices != NULL ? choices->child : NULL; choice != NULL;
       choice = choice->next) {
    dr_print(output, "%s%.*s", choice == choices->child ? " (one of " : ", ", DRAY_STR_ARG(choice->text));
    if (choice->next == NULL) dr_print(output, ")");
  }
  if (otherwise != NULL && (otherwise->kind == DRAY_JSON_STRING || otherwise->kind == DRAY_JSON_NUMBER)) {
    dr_print(output, " [%.*s]", DRAY_STR_ARG(otherwise->text));
  } else if (otherwise != NULL && otherwise->kind == DRAY_JSON_BOOL) {
    dr_print(output, " [%s]", otherwise->boolean ? "true" : "false");
  }
  dr_print(output, "\n");
}

static int32_t print_spec(struct dr_output *output, const char *role, struct dray_str spec, struct dray_error *error) {
  struct dray_json *root = NULL;
  DRAY_TRY(dray_json_parse(spec, SPEC_BYTES_MAX, &root, error));
  const struct dray_json *properties = dray_json_get(root, "properties");
  const struct dray_json *required = dray_json_get(root, "required");
  dr_print(output, "\nsettings as %s:\n", role);
  for (const struct dray_json *item = properties != NULL ? properties->child : NULL; item != NULL; item = item->next) {
    int must = 0;
    for (const struct dray_json *name = required != NULL ? required->child : NULL; name != NULL; name = name->next) {
      must |= dray_str_equal(name->text, item->name);
    }
    print_setting(output, item, must);
  }
  dray_json_free(root);
  return DRAY_OK;
}

struct info {
  struct dr_command_call *call;
  const struct dr_manifest *manifest;
};

static int32_t show_loaded(const struct info *info, struct dray_error *error) {
  static const struct {
    int role;
    const char *name;
  } roles[] = {{DR_ROLE_SOURCE, "source"}, {DR_ROLE_DESTINATION, "destination"}, {DR_ROLE_WAREHOUSE, "warehouse"}};
  struct dr_output *output = info->call->output;
  struct dr_plugin *plugin = NULL;
  DRAY_TRY(dr_plugin_load(info->manifest, &plugin, error));
  char names[64];
  roles_text(info->manifest, names, sizeof(names));
  if (output->json) {
    write_manifest(output, info->manifest);
  } else {
    dr_print(output, "%s %s: %s\n  roles    %s\n  ABI      %u.%u\n  license  %s\n  library  %s\n  sha256   %s\n",
             info->manifest->name, info->manifest->version, info->manifest->summary, names, info->manifest->abi_major,
             info->manifest->abi_minor, info->manifest->license, info->manifest->library, info->manifest->sha256);
  }
  const int has[] = {info->manifest->has_source, info->manifest->has_destination, info->manifest->has_warehouse};
  for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
    struct dray_str spec;
    if (!has[i]) continue;
    DRAY_TRY(dr_plugin_spec(plugin, roles[i].role, &spec, error));
    if (output->json) {
      struct dr_record record;
      dr_record_begin(&record, output, "spec");
      dr_record_text(&record, "plugin", info->manifest->name);
      dr_record_text(&record, "role", roles[i].name);
      dr_record_raw(&record, "schema", spec);
      dr_record_end(&record);
    } else {
      DRAY_TRY(print_spec(output, roles[i].name, spec, error));
    }
  }
  return DRAY_OK;
}

static int info_child(void *ctx) {
  const struct info *info = ctx;
  struct dray_error error;
  dray_error_init(&error);
  const int32_t rc = show_loaded(info, &error);
  return dr_output_finish(info->call->output, rc == DRAY_OK ? 0 : dr_print_error(info->call->output, &error));
}

int32_t cmd_plugin_info(struct dr_command_call *call) {
  struct dr_project *project = NULL;
  struct dr_plugin_paths paths;
  struct dr_manifest manifest;
  const char *name = call->positionals[0];
  int32_t code = open_paths(call, &project, &paths);
  if (code != 0) return code;
  const int32_t rc = strchr(name, '/') != NULL ? dr_manifest_read(name, &manifest, &call->error)
                                               : dr_plugin_find(&paths, name, &manifest, &call->error);
  if (rc != DRAY_OK) {
    code = dr_print_error(call->output, &call->error);
  } else {
    struct info info = {call, &manifest};
    const struct dr_supervise_options options = {.stall_timeout_ms = 30000};
    struct dr_supervise_result result;
    if (dr_supervise(info_child, &info, &options, &result, &call->error) != DRAY_OK) {
      code = dr_print_error(call->output, &call->error);
    } else if (result.error.code != DRAY_OK) {
      code = dr_print_error(call->output, &result.error);
    } else {
      code = result.exit_code;
    }
  }
  dr_plugin_paths_free(&paths);
  dr_project_free(project);
  return code;
}

// ---- new ----

static int name_is_usable(const char *name) {
  size_t n = 0;
  for (; name[n] != '\0'; n++) {
    const char c = name[n];
    const int ok = (c >= 'a' && c <= 'z') || (n > 0 && ((c >= '0' && c <= '9') || c == '_'));
    if (!ok) return 0;
  }
  return n > 0 && n < 60;
}

// The template beside an installed dray, or in the source tree of a build.
static int32_t find_template(char *out, size_t out_bytes, struct dray_error *error) {
  char self[PATH_BYTES_MAX];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (n <= 0) return dr_fail_errno(error, "read", "/proc/self/exe");
  self[n] = '\0';
  char *slash = strrchr(self, '/');
  if (slash != NULL) *slash = '\0';
  static const char *const places[] = {"../share/dray/template", "../../../../sdk/template"};
  for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
    (void)snprintf(out, out_bytes, "%.3000s/%s", self, places[i]);
    if (dr_file_exists(out)) return DRAY_OK;
  }
  return dray_fail(error, DRAY_E_IO, "the plugin template is not beside %s; install the SDK", self);
}

// Copies one file, with @NAME@ replaced in its text.
static int32_t copy_file(const char *from, const char *to, const char *name, struct dray_error *error) {
  static const char mark[] = "@NAME@";
  struct dray_buffer text, out;
  dray_buffer_init(&text, FILE_BYTES_MAX);
  dray_buffer_init(&out, FILE_BYTES_MAX * 2);
  int32_t rc = dr_file_read(from, FILE_BYTES_MAX, &text, error);
  const char *at = text.data;
  const char *end = at != NULL ? at + text.len : NULL;
  while (rc == DRAY_OK && at != NULL && at < end) {
    const char *hit = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1);
    rc = dray_buffer_append(&out, at, (size_t)((hit != NULL ? hit : end) - at), error);
    if (rc == DRAY_OK && hit != NULL) rc = dray_buffer_append_str(&out, name, error);
    at = hit != NULL ? hit + sizeof(mark) - 1 : end;
  }
  if (rc == DRAY_OK) rc = dr_file_replace(to, dray_buffer_view(&out), error);
  if (rc == DRAY_OK && chmod(to, 0644) != 0) rc = dr_fail_errno(error, "set the mode of", to);
  dray_buffer_free(&text);
  dray_buffer_free(&out);
  return rc;
}

static int32_t copy_folder(const char *from, const char *to, const char *name, struct dray_error *error) {
  DRAY_TRY(dr_folder_make(to, error));
  if (chmod(to, 0755) != 0) return dr_fail_errno(error, "set the mode of", to);
  DIR *folder = opendir(from);
  if (folder == NULL) return dr_fail_errno(error, "open", from);
  int32_t rc = DRAY_OK;
  for (struct dirent *entry = readdir(folder); rc == DRAY_OK && entry != NULL; entry = readdir(folder)) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char *source = dr_path_join(from, entry->d_name);
    char *target = dr_path_join(to, entry->d_name);
    struct stat info;
    if (source == NULL || target == NULL) {
      rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
    } else if (stat(source, &info) != 0) {
      rc = dr_fail_errno(error, "read", source);
    } else {
      rc = S_ISDIR(info.st_mode) ? copy_folder(source, target, name, error) : copy_file(source, target, name, error);
    }
    free(source);
    free(target);
  }
  (void)closedir(folder);
  return rc;
}

int32_t cmd_plugin_new(struct dr_command_call *call) {
  const char *name = call->positionals[0];
  const char *folder = dr_option(call, "dir");
  char template[PATH_BYTES_MAX];
  if (folder == NULL) folder = name;
  if (!name_is_usable(name)) {
    return dr_usage(call, NULL, "\"%s\" is no name for a plugin: lower-case letters, digits and _, at most 59", name);
  }
  if (dr_file_exists(folder)) return dr_usage(call, NULL, "%s exists already", folder);
  int32_t rc = find_template(template, sizeof(template), &call->error);
  if (rc == DRAY_OK) rc = copy_folder(template, folder, name, &call->error);
  if (rc != DRAY_OK) return dr_print_error(call->output, &call->error);
  dr_print(call->output, "%s\n", folder);
  dr_note(call->output,
          "a working plugin; build it with\n  cmake -S %s -B %s/build && cmake --build %s/build\nand try it with\n"
          "  dray plugin test %s/build/plugins/%s/%s.so --config %s/tests/kit.json\n",
          folder, folder, folder, folder, name, name, folder);
  return 0;
}
