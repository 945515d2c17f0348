// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of the library and its settings: exports, manifest, spec, unknown settings, secrets.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "conformance/subject.h"

#define TEXT_BYTES_MAX (16u << 20)
#define SPEC_DEPTH_MAX 8

static const struct {
  int role;
  const char *name;
} roles[] = {{DR_ROLE_SOURCE, "source"}, {DR_ROLE_DESTINATION, "destination"}, {DR_ROLE_WAREHOUSE, "warehouse"}};
#define ROLE_COUNT (sizeof(roles) / sizeof(roles[0]))

int check_exports(struct subject *subject) {
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  const int32_t rc = dr_plugin_load(&subject->manifest, &plugin, &error);
  return rc == DRAY_E_PLUGIN_EXPORTS ? kit_fail(subject, "%s", error.text) : DR_KIT_PASS;
}

int check_manifest(struct subject *subject) {
  struct dr_plugin *plugin = NULL;
  struct dray_error error;
  const int32_t rc = dr_plugin_load(&subject->manifest, &plugin, &error);
  if (rc == DRAY_E_PLUGIN_EXPORTS) return kit_skip(subject, "the library was not loaded");
  return rc == DRAY_OK ? DR_KIT_PASS : kit_fail_error(subject, "loading", &error);
}

// ---- spec ----

static int sounds_secret(struct dray_str name) {
  static const char *const words[] = {"password", "secret", "token", "api_key", "apikey", "private_key", "credential"};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    if (memmem(name.data, name.len, words[i], strlen(words[i])) != NULL) return 1;
  }
  return 0;
}

static int is_true(const struct dray_json *object, const char *name) {
  const struct dray_json *value = dray_json_get(object, name);
  return value != NULL && value->kind == DRAY_JSON_BOOL && value->boolean;
}

static int check_schema(struct subject *subject, const char *role, const struct dray_json *schema, int depth) {
  static const char *const known[] = {"$schema",   "title",      "description",
                                      "type",      "properties", "required",
                                      "enum",      "default",    "additionalProperties",
                                      "minimum",   "maximum",    "minLength",
                                      "maxLength", "items",      "writeOnly",
                                      "place",     "examples",   NULL};
  if (schema->kind != DRAY_JSON_OBJECT || depth > SPEC_DEPTH_MAX)
    return kit_fail(subject, "%s: a schema is no object", role);
  for (const struct dray_json *item = schema->child; item != NULL; item = item->next) {
    size_t i = 0;
    while (known[i] != NULL && !dray_str_is(item->name, known[i])) i++;
    if (known[i] == NULL) {
      return kit_fail(subject, "%s: \"%.*s\" is not in the subset of JSON Schema that hosts read", role,
                      DRAY_STR_ARG(item->name));
    }
  }
  const struct dray_json *items = dray_json_get(schema, "items");
  if (items != NULL && check_schema(subject, role, items, depth + 1) == DR_KIT_FAIL) return DR_KIT_FAIL;
  const struct dray_json *properties = dray_json_get(schema, "properties");
  for (const struct dray_json *item = properties != NULL ? properties->child : NULL; item != NULL; item = item->next) {
    if (check_schema(subject, role, item, depth + 1) == DR_KIT_FAIL) return DR_KIT_FAIL;
    const int text = dray_str_is(dray_json_string(dray_json_get(item, "type"), ""), "string");
    if (text && sounds_secret(item->name) && !is_true(item, "writeOnly")) {
      return kit_fail(subject, "%s: the setting \"%.*s\" sounds like a secret and is not marked writeOnly", role,
                      DRAY_STR_ARG(item->name));
    }
  }
  return DR_KIT_PASS;
}

int check_spec(struct subject *subject) {
  for (size_t i = 0; i < ROLE_COUNT; i++) {
    struct dray_str spec;
    struct dray_error error;
    struct dray_json *root = NULL;
    if (!subject_has(subject, roles[i].role)) continue;
    if (dr_plugin_spec(subject->plugin, roles[i].role, &spec, &error) != DRAY_OK)
      return kit_fail_error(subject, "spec", &error);
    if (dray_json_parse(spec, TEXT_BYTES_MAX, &root, &error) != DRAY_OK) return kit_fail_error(subject, "spec", &error);
    const struct dray_json *closed = dray_json_get(root, "additionalProperties");
    int verdict = check_schema(subject, roles[i].name, root, 0);
    if (verdict == DR_KIT_PASS && !dray_str_is(dray_json_string(dray_json_get(root, "type"), ""), "object")) {
      verdict = kit_fail(subject, "%s: the spec is not of type object", roles[i].name);
    }
    if (verdict == DR_KIT_PASS && (closed == NULL || closed->kind != DRAY_JSON_BOOL || closed->boolean)) {
      verdict = kit_fail(subject, "%s: the spec must say \"additionalProperties\": false", roles[i].name);
    }
    dray_json_free(root);
    if (verdict != DR_KIT_PASS) return verdict;
  }
  return DR_KIT_PASS;
}

// ---- unknown settings: the plugin itself refuses them, whatever host it runs under ----

// Makes an instance of the role and lets it go.
static int32_t try_create(struct subject *subject, int role, struct dray_error *error) {
  struct dr_source_instance source;
  struct dr_destination_instance destination;
  struct dr_warehouse_instance warehouse;
  memset(&source, 0, sizeof(source));
  memset(&destination, 0, sizeof(destination));
  memset(&warehouse, 0, sizeof(warehouse));
  int32_t rc;
  switch (role) {
  case DR_ROLE_SOURCE:
    rc = subject_source(subject, &source, error);
    if (rc == DRAY_OK) dr_source_destroy(&source);
    return rc;
  case DR_ROLE_DESTINATION:
    rc = subject_destination(subject, &destination, error);
    if (rc == DRAY_OK) dr_destination_destroy(&destination);
    return rc;
  default:
    rc = subject_warehouse(subject, &warehouse, error);
    if (rc == DRAY_OK) dr_warehouse_destroy(&warehouse);
    return rc;
  }
}

int check_unknown_setting(struct subject *subject) {
  struct dray_error error;
  for (size_t i = 0; i < ROLE_COUNT; i++) {
    if (!subject_has(subject, roles[i].role)) continue;
    dray_error_init(&error);
    if (try_create(subject, roles[i].role, &error) != DRAY_OK)
      return kit_fail_error(subject, "create with the kit's settings", &error);
  }
  for (size_t i = 0; i < ROLE_COUNT; i++) {
    struct dray_buffer *settings = &subject->sides[roles[i].role].settings;
    settings->len--; // the closing brace
    const char *more = settings->len > 1 ? ",\"dray_kit_unknown\":1}" : "\"dray_kit_unknown\":1}";
    if (dray_buffer_append_str(settings, more, &error) != DRAY_OK) return kit_fail_error(subject, "settings", &error);
  }
  for (size_t i = 0; i < ROLE_COUNT; i++) {
    if (!subject_has(subject, roles[i].role)) continue;
    dray_error_init(&error);
    if (try_create(subject, roles[i].role, &error) == DRAY_OK) {
      return kit_fail(subject, "%s: create took the setting \"dray_kit_unknown\"", roles[i].name);
    }
    if (error.error_class != DRAY_CLASS_CONFIG) {
      return kit_fail(subject, "%s: an unknown setting must be a config error, not %s", roles[i].name,
                      dray_class_name(error.error_class));
    }
  }
  return DR_KIT_PASS;
}

// ---- secrets ----

// The canary in any spelling, or the mask that the host put over it.
static int shows(struct dray_str text) {
  if (text.len == 0) return 0;
  return memmem(text.data, text.len, KIT_CANARY, strlen(KIT_CANARY)) != NULL ||
         memmem(text.data, text.len, "***", 3) != NULL;
}

static int inspect(struct subject *subject, const char *where, int32_t rc, struct dray_str text,
                   const struct dray_error *error) {
  const struct dray_str said = rc == DRAY_OK ? text : dray_str_of(error->text);
  return shows(said) ? kit_fail(subject, "a secret stands in the answer of %s", where) : DR_KIT_PASS;
}

static int canary_read(struct subject *subject, struct dr_source_instance *source, const char *stream) {
  struct rows rows;
  struct dray_error error;
  dray_error_init(&error);
  const struct reading_plan plan = {stream, DRAY_READ_FULL, {NULL, 0}, {NULL, 0}};
  const int32_t rc = rows_read(source, &plan, &rows, &error);
  int verdict = inspect(subject, "reading", rc, dray_str_make(NULL, 0), &error);
  for (size_t i = 0; rc == DRAY_OK && i < rows.state_count; i++) {
    if (shows(dray_str_make(rows.states[i].state, rows.states[i].state_bytes)))
      verdict = kit_fail(subject, "a secret stands in a stream's state");
  }
  if (rc == DRAY_OK) rows_free(&rows);
  return verdict;
}

static int canary_source(struct subject *subject) {
  struct dr_source_instance source;
  struct dray_error error;
  dray_error_init(&error);
  struct dray_str text = {NULL, 0};
  int32_t rc = subject_source(subject, &source, &error);
  if (rc != DRAY_OK) return inspect(subject, "create", rc, text, &error);
  rc = dr_source_check(&source, &text, &error);
  int verdict = inspect(subject, "check", rc, text, &error);
  if (verdict == DR_KIT_PASS) {
    rc = dr_source_discover(&source, &text, &error);
    verdict = inspect(subject, "discover", rc, text, &error);
  }
  struct dray_json *catalog = NULL;
  const char **names = NULL;
  size_t count = 0;
  // A real service refuses the canary: then there is nothing to read, and the refusal has been looked at.
  if (verdict == DR_KIT_PASS && subject_streams(subject, &source, &catalog, &names, &count, &error) != DRAY_OK)
    count = 0;
  for (size_t i = 0; verdict == DR_KIT_PASS && i < count; i++) verdict = canary_read(subject, &source, names[i]);
  free(names);
  dray_json_free(catalog);
  dr_source_destroy(&source);
  return verdict;
}

static int canary_write(struct subject *subject) {
  struct delivery delivery;
  struct dray_error error;
  dray_error_init(&error);
  const struct dray_str nothing = {NULL, 0};
  int32_t rc = delivery_open(subject, 0, &delivery, &error);
  if (rc == DRAY_OK) rc = delivery_write(&delivery, &delivery.caps, &error);
  int verdict = inspect(subject, "write", rc, nothing, &error);
  for (uint64_t i = 0; rc == DRAY_OK && verdict == DR_KIT_PASS && i < delivery.answer.count; i++)
    verdict = inspect(subject, "write", DRAY_OK, delivery.answer.items[i].text, &error);
  (void)delivery_close(&delivery, rc, &error);
  return verdict;
}

static int canary_destination(struct subject *subject) {
  struct dr_destination_instance destination;
  struct dray_error error;
  dray_error_init(&error);
  struct dray_str text = {NULL, 0};
  int32_t rc = subject_destination(subject, &destination, &error);
  if (rc != DRAY_OK) return inspect(subject, "create", rc, text, &error);
  rc = dr_destination_check(&destination, &text, &error);
  int verdict = inspect(subject, "check", rc, text, &error);
  if (verdict == DR_KIT_PASS) {
    rc = dr_destination_discover(&destination, &text, &error);
    verdict = inspect(subject, "discover", rc, text, &error);
  }
  dr_destination_destroy(&destination);
  return verdict == DR_KIT_PASS ? canary_write(subject) : verdict;
}

static int canary_warehouse(struct subject *subject) {
  struct dr_warehouse_instance warehouse;
  struct dray_error error;
  dray_error_init(&error);
  struct dray_str text = {NULL, 0};
  int32_t rc = subject_warehouse(subject, &warehouse, &error);
  if (rc != DRAY_OK) return inspect(subject, "create", rc, text, &error);
  rc = dr_warehouse_check(&warehouse, &text, &error);
  int verdict = inspect(subject, "check", rc, text, &error);
  if (verdict == DR_KIT_PASS) {
    rc = dr_warehouse_open(&warehouse, &error);
    if (rc == DRAY_OK) rc = dr_warehouse_discover(&warehouse, &text, &error);
    verdict = inspect(subject, "discover", rc, text, &error);
  }
  dr_warehouse_destroy(&warehouse);
  return verdict;
}

// What the plugin wrote to the process's own output, past the log service.
static int look_at_output(struct subject *subject, const char *path) {
  struct dray_buffer text;
  struct dray_error error;
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  int verdict = DR_KIT_PASS;
  if (dr_file_read(path, TEXT_BYTES_MAX, &text, &error) == DRAY_OK && shows(dray_buffer_view(&text))) {
    verdict = kit_fail(subject, "a secret was printed or logged");
  }
  dray_buffer_free(&text);
  return verdict;
}

int check_canary(struct subject *subject) {
  int secrets = 0;
  for (size_t i = 0; i < ROLE_COUNT; i++) {
    const struct dray_json *own = subject_secrets(subject, roles[i].role);
    secrets |= subject_has(subject, roles[i].role) && own != NULL && own->child != NULL;
  }
  if (!secrets) return kit_skip(subject, "the kit's config names no secrets");
  char path[300];
  (void)snprintf(path, sizeof(path), "%s/output", subject->scratch);
  const int saved_out = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);
  if (freopen(path, "w", stdout) == NULL || dup2(fileno(stdout), STDERR_FILENO) < 0)
    return kit_fail(subject, "the output could not be caught");
  subject->canary = 1;
  const struct dr_log_options log = {.level = DRAY_LOG_DEBUG}; // what an operator would see who looks for an error
  struct dray_error error;
  dray_error_init(&error);
  dr_log_setup(&log);
  int verdict =
      subject_hosts(subject, &error) == DRAY_OK ? DR_KIT_PASS : kit_fail_error(subject, "making hosts", &error);
  if (verdict == DR_KIT_PASS && subject_has(subject, DR_ROLE_SOURCE)) verdict = canary_source(subject);
  if (verdict == DR_KIT_PASS && subject_has(subject, DR_ROLE_DESTINATION)) verdict = canary_destination(subject);
  if (verdict == DR_KIT_PASS && subject_has(subject, DR_ROLE_WAREHOUSE)) verdict = canary_warehouse(subject);
  (void)fflush(NULL);
  (void)dup2(saved_out, STDOUT_FILENO);
  (void)dup2(saved_err, STDERR_FILENO);
  if (verdict == DR_KIT_PASS && subject->found[0] != '\0') return DR_KIT_FAIL; // the state service has seen it
  if (verdict == DR_KIT_PASS) verdict = look_at_output(subject, path);
  if (verdict == DR_KIT_PASS && subject->secrets_asked == 0) return kit_skip(subject, "the plugin asked for no secret");
  return verdict;
}
