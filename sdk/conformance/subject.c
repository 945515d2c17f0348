// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading the plugin under test and reading its rows.
#include "conformance/subject.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "dray/sdk/config.h"

#define CONFIG_BYTES_MAX (1u << 20)
#define SETTINGS_BYTES_MAX (1u << 20)
#define STREAMS_MAX 64
#define BATCH_ROWS 100 // small, so that there are safe places to resume from

int kit_fail(struct subject *subject, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)vsnprintf(subject->found, sizeof(subject->found), format, args);
  va_end(args);
  return DR_KIT_FAIL;
}

int kit_skip(struct subject *subject, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)vsnprintf(subject->found, sizeof(subject->found), format, args);
  va_end(args);
  return DR_KIT_SKIP;
}

int kit_fail_error(struct subject *subject, const char *doing, const struct dray_error *error) {
  return kit_fail(subject, "%s: %s: %s", doing, dray_error_info(error->code)->name, error->text);
}

// ---- the host's callbacks ----

// The role's own member of that name where there is one, else the one of all roles.
static const struct dray_json *member_of(const struct side *side, const char *member) {
  const struct dray_json *config = side->subject->config;
  const struct dray_json *own = dray_json_get(dray_json_get(config, side->name), member);
  return own != NULL ? own : dray_json_get(config, member);
}

const struct dray_json *subject_secrets(const struct subject *subject, int role) {
  return member_of(&subject->sides[role], "secrets");
}

static int32_t give_secret(void *ctx, struct dray_str setting, struct dray_buffer *out, struct dray_error *error) {
  const struct side *side = ctx;
  char name[128];
  (void)snprintf(name, sizeof(name), "%.*s", DRAY_STR_ARG(setting));
  side->subject->secrets_asked++;
  const struct dray_json *given = dray_json_get(member_of(side, "secrets"), name);
  const int own = given != NULL && given->kind == DRAY_JSON_STRING && !side->subject->canary;
  return dray_buffer_append_str(out, own ? given->text.data : KIT_CANARY, error);
}

// Plugin-private state is one for all roles, as in a project.
static struct kept *find_kept(struct subject *subject, int shared, struct dray_str key) {
  struct kept *kept = subject->kept;
  while (kept != NULL && (kept->shared != shared || !dray_str_is(key, kept->key))) kept = kept->next;
  return kept;
}

static int32_t give_state(void *ctx, int shared, struct dray_str key, struct dray_buffer *out,
                          struct dray_error *error) {
  const struct kept *kept = find_kept(((struct side *)ctx)->subject, shared, key);
  return kept != NULL ? dray_buffer_append(out, kept->value, kept->value_bytes, error) : DRAY_OK;
}

static int32_t keep_state(void *ctx, int shared, struct dray_str key, struct dray_str value, struct dray_error *error) {
  struct subject *subject = ((struct side *)ctx)->subject;
  if (memmem(value.data, value.len, KIT_CANARY, strlen(KIT_CANARY)) != NULL) {
    (void)kit_fail(subject, "the plugin put a secret into its state");
  }
  struct kept *kept = find_kept(subject, shared, key);
  char *copy = dray_str_dup(value);
  if (kept == NULL) {
    kept = calloc(1, sizeof(*kept));
    if (kept != NULL) kept->key = dray_str_dup(key);
    if (kept != NULL && kept->key != NULL) {
      kept->shared = shared;
      kept->next = subject->kept;
      subject->kept = kept;
    } else {
      free(kept);
      kept = NULL;
    }
  }
  if (kept == NULL || copy == NULL) {
    free(copy);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a state of the plugin");
  }
  free(kept->value);
  kept->value = copy;
  kept->value_bytes = value.len;
  subject->state_kept_bytes += (int64_t)value.len;
  return DRAY_OK;
}

static void free_kept(struct subject *subject) {
  while (subject->kept != NULL) {
    struct kept *kept = subject->kept;
    subject->kept = kept->next;
    free(kept->key);
    free(kept->value);
    free(kept);
  }
}

// ---- settings ----

// A path as it may stand within a JSON string.
static int32_t append_path(struct dray_buffer *out, const char *path, struct dray_error *error) {
  for (; *path != '\0'; path++) {
    if (*path == '"' || *path == '\\') DRAY_TRY(dray_buffer_append_char(out, '\\', error));
    DRAY_TRY(dray_buffer_append_char(out, *path, error));
  }
  return DRAY_OK;
}

// Copies JSON text with @SCRATCH@ and @CONFIG@ replaced.
static int32_t fill_in(const struct subject *subject, struct dray_str text, struct dray_buffer *out,
                       struct dray_error *error) {
  static const char scratch[] = "@SCRATCH@", config[] = "@CONFIG@";
  const char *end = text.data + text.len, *start = text.data;
  for (const char *at = start; at < end;) {
    const size_t left = (size_t)(end - at);
    const int is_scratch = left >= sizeof(scratch) - 1 && memcmp(at, scratch, sizeof(scratch) - 1) == 0;
    const int is_config = left >= sizeof(config) - 1 && memcmp(at, config, sizeof(config) - 1) == 0;
    if (!is_scratch && !is_config) {
      at++;
      continue;
    }
    DRAY_TRY(dray_buffer_append(out, start, (size_t)(at - start), error));
    DRAY_TRY(append_path(out, is_scratch ? subject->scratch : subject->folder, error));
    at += is_scratch ? sizeof(scratch) - 1 : sizeof(config) - 1;
    start = at;
  }
  return dray_buffer_append(out, start, (size_t)(end - start), error);
}

// The settings of a role, and a reference for each secret that the config names.
static int32_t make_settings(struct side *side, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_buffer_clear(&side->settings);
  dray_json_writer_init(&writer, &side->settings, error);
  dray_json_begin_object(&writer);
  const struct dray_json *settings = member_of(side, "settings");
  const struct dray_json *secrets = member_of(side, "secrets");
  for (const struct dray_json *item = settings != NULL ? settings->child : NULL; item != NULL; item = item->next) {
    dray_json_key_str(&writer, item->name);
    dray_json_write_value(&writer, item);
  }
  for (const struct dray_json *item = secrets != NULL ? secrets->child : NULL; item != NULL; item = item->next) {
    dray_json_key_str(&writer, item->name);
    dray_json_begin_object(&writer);
    dray_json_key(&writer, "$secret");
    dray_json_write_str(&writer, item->name);
    dray_json_end_object(&writer);
  }
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

// What a misspelt member would leave untested without a word.
static int32_t check_members(const struct dray_json *object, const char *const *known, const char *where,
                             struct dray_error *error) {
  if (object == NULL) return DRAY_OK;
  if (object->kind != DRAY_JSON_OBJECT)
    return dray_fail(error, DRAY_E_CONFIG_TYPE, "the kit's config: %s is no object", where);
  for (const struct dray_json *item = object->child; item != NULL; item = item->next) {
    struct dray_nearest nearest;
    int found = 0;
    dray_nearest_init(&nearest, item->name);
    for (size_t i = 0; known[i] != NULL; i++) {
      found |= dray_str_is(item->name, known[i]);
      dray_nearest_offer(&nearest, known[i]);
    }
    if (found || item->name.data[0] == '$') continue;
    return dray_fail(error, DRAY_E_CONFIG_UNKNOWN_KEY, "the kit's config: %s has no member \"%s\"%s", where,
                     item->name.data, dray_nearest_hint(&nearest));
  }
  return DRAY_OK;
}

static int32_t parse_config(const char *path, struct dray_str text, struct dray_json **out, struct dray_error *error) {
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dray_json_parse(text, CONFIG_BYTES_MAX, out, &why);
  if (rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY) return rc == DRAY_OK ? rc : dray_fail(error, rc, "%s", why.text);
  return dray_fail(error, DRAY_E_CONFIG_VALUE, "%s is not JSON: %s", path, why.text);
}

int32_t kit_config_read(const char *path, const char *scratch, struct subject *subject, struct dray_error *error) {
  static const char *const members[] = {"settings", "secrets",     "streams",   "cursors", "object", "options",
                                        "source",   "destination", "warehouse", "expect",  "write",  NULL};
  static const char *const write_members[] = {"columns", "match_keys", "rows", NULL};
  static const char *const role_members[] = {"settings", "secrets", NULL};
  struct dray_buffer raw, text;
  dray_buffer_init(&raw, CONFIG_BYTES_MAX);
  dray_buffer_init(&text, CONFIG_BYTES_MAX);
  (void)snprintf(subject->scratch, sizeof(subject->scratch), "%s", scratch);
  (void)snprintf(subject->shared, sizeof(subject->shared), "%s/.shared", scratch);
  const char *slash = strrchr(path, '/');
  char *folder =
      slash != NULL ? dray_str_dup(dray_str_make(path, (uint64_t)(slash - path))) : dray_str_dup(dray_str_of("."));
  char *full = folder != NULL ? realpath(folder[0] != '\0' ? folder : "/", NULL) : NULL;
  (void)snprintf(subject->folder, sizeof(subject->folder), "%s", full != NULL ? full : ".");
  struct dray_error why;
  dray_error_init(&why);
  int32_t rc = dr_file_read(path, CONFIG_BYTES_MAX, &raw, &why);
  if (rc != DRAY_OK) rc = dray_fail(error, rc == DRAY_E_IO ? DRAY_E_CONFIG_FILE : rc, "%s", why.text);
  if (rc == DRAY_OK) rc = fill_in(subject, dray_buffer_view(&raw), &text, error);
  if (rc == DRAY_OK) rc = parse_config(path, dray_buffer_view(&text), &subject->config, error);
  if (rc == DRAY_OK) rc = check_members(subject->config, members, "the file", error);
  if (rc == DRAY_OK) rc = check_members(dray_json_get(subject->config, "write"), write_members, "write", error);
  for (int role = DR_ROLE_SOURCE; rc == DRAY_OK && role < KIT_SIDES; role++) {
    const char *name = subject->sides[role].name;
    rc = check_members(dray_json_get(subject->config, name), role_members, name, error);
  }
  dray_buffer_free(&raw);
  dray_buffer_free(&text);
  free(folder);
  free(full);
  return rc;
}

void subject_init(struct subject *subject, const struct dr_kit_options *options) {
  static const char *const names[KIT_SIDES] = {"", "source", "destination", "warehouse"};
  memset(subject, 0, sizeof(*subject));
  subject->options = options;
  for (int role = 0; role < KIT_SIDES; role++) {
    subject->sides[role].subject = subject;
    subject->sides[role].name = names[role];
    dray_buffer_init(&subject->sides[role].settings, SETTINGS_BYTES_MAX);
  }
}

int32_t subject_hosts(struct subject *subject, struct dray_error *error) {
  for (int role = DR_ROLE_SOURCE; role < KIT_SIDES; role++) {
    struct side *side = &subject->sides[role];
    const struct dr_host_options options = {.connection = "kit",
                                            .ctx = side,
                                            .secret = give_secret,
                                            .state_get = give_state,
                                            .state_put = keep_state,
                                            .shared_folder = subject->shared};
    dr_host_free(side->host);
    side->host = NULL;
    DRAY_TRY(make_settings(side, error));
    DRAY_TRY(dr_host_new(&options, &side->host, error));
  }
  return DRAY_OK;
}

int32_t subject_open(struct subject *subject, const char *scratch, int load, struct dray_error *error) {
  DRAY_TRY(kit_config_read(subject->options->config, scratch, subject, error));
  DRAY_TRY(dr_manifest_read(subject->options->library, &subject->manifest, error));
  if (!load) return DRAY_OK;
  DRAY_TRY(dr_plugin_load(&subject->manifest, &subject->plugin, error));
  return subject_hosts(subject, error);
}

void subject_close(struct subject *subject) {
  for (int role = 0; role < KIT_SIDES; role++) {
    dr_host_free(subject->sides[role].host);
    dray_buffer_free(&subject->sides[role].settings);
  }
  dray_json_free(subject->config);
  free_kept(subject);
}

int subject_has(const struct subject *subject, int role) {
  switch (role) {
  case DR_ROLE_SOURCE:
    return subject->plugin->table.source != NULL;
  case DR_ROLE_DESTINATION:
    return subject->plugin->table.destination != NULL;
  default:
    return subject->plugin->table.warehouse != NULL;
  }
}

int32_t subject_source(struct subject *subject, struct dr_source_instance *out, struct dray_error *error) {
  const struct side *side = &subject->sides[DR_ROLE_SOURCE];
  return dr_source_create(subject->plugin, side->host, "kit", dray_buffer_view(&side->settings), out, error);
}

int32_t subject_destination(struct subject *subject, struct dr_destination_instance *out, struct dray_error *error) {
  const struct side *side = &subject->sides[DR_ROLE_DESTINATION];
  return dr_destination_create(subject->plugin, side->host, "kit", dray_buffer_view(&side->settings), out, error);
}

int32_t subject_warehouse(struct subject *subject, struct dr_warehouse_instance *out, struct dray_error *error) {
  const struct side *side = &subject->sides[DR_ROLE_WAREHOUSE];
  return dr_warehouse_create(subject->plugin, side->host, "kit", dray_buffer_view(&side->settings), out, error);
}

const char *subject_object(const struct subject *subject) {
  return dray_json_string(dray_json_get(subject->config, "object"), "rows").data;
}

struct dray_str subject_options(const struct subject *subject, struct dray_buffer *buffer) {
  const struct dray_json *options = dray_json_get(subject->config, "options");
  struct dray_json_writer writer;
  if (options == NULL) return dray_str_of("{}");
  dray_json_writer_init(&writer, buffer, NULL);
  dray_json_write_value(&writer, options);
  return dray_json_writer_finish(&writer) == DRAY_OK ? dray_buffer_view(buffer) : dray_str_of("{}");
}

int32_t subject_streams(struct subject *subject, struct dr_source_instance *source, struct dray_json **catalog,
                        const char ***names, size_t *count, struct dray_error *error) {
  struct dray_str json;
  DRAY_TRY(dr_source_discover(source, &json, error));
  DRAY_TRY(dray_json_parse(json, UINT64_MAX, catalog, error));
  const struct dray_json *wanted = dray_json_get(subject->config, "streams");
  const struct dray_json *list = wanted != NULL ? wanted : dray_json_get(*catalog, "streams");
  const char **found = calloc(STREAMS_MAX, sizeof(*found));
  if (found == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for stream names");
  size_t n = 0;
  for (const struct dray_json *item = list != NULL ? list->child : NULL; item != NULL && n < STREAMS_MAX;
       item = item->next) {
    const struct dray_json *name = wanted != NULL ? item : dray_json_get(item, "name");
    if (name != NULL && name->kind == DRAY_JSON_STRING) found[n++] = name->text.data;
  }
  *names = found;
  *count = n;
  return DRAY_OK;
}

// ---- reading ----

void rows_free(struct rows *rows) {
  for (size_t i = 0; i < rows->state_count; i++) free(rows->states[i].state);
  free(rows->states);
  free(rows->hashes);
  memset(rows, 0, sizeof(*rows));
}

static int32_t add_hashes(struct rows *rows, const struct dr_encoder *encoder, const struct dr_batch *batch,
                          struct dray_error *error) {
  const size_t count = (size_t)dr_batch_rows(batch);
  if (rows->count + count > rows->capacity) {
    const size_t capacity = (rows->count + count) * 2;
    uint64_t *hashes = realloc(rows->hashes, capacity * sizeof(*hashes));
    if (hashes == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for rows");
    rows->hashes = hashes;
    rows->capacity = capacity;
  }
  DRAY_TRY(dr_row_hashes(encoder, batch, rows->hashes + rows->count, error));
  rows->count += count;
  return DRAY_OK;
}

static int32_t add_state(struct rows *rows, struct dray_str state, struct dray_error *error) {
  void *states = realloc(rows->states, (rows->state_count + 1) * sizeof(*rows->states));
  if (states == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for states");
  rows->states = states;
  char *copy = dray_str_dup(state);
  if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a state");
  rows->states[rows->state_count].after = rows->count;
  rows->states[rows->state_count].state = copy;
  rows->states[rows->state_count++].state_bytes = (size_t)state.len;
  return DRAY_OK;
}

struct reading {
  struct dray_stream stream;
  struct ArrowSchema schema;
  struct dr_schema *canonical;
  struct dr_caster *caster;
  struct dr_encoder encoder;
  int open;
};

static int32_t read_batches(struct reading *reading, const char *label, struct rows *rows, struct dray_error *error) {
  struct dr_rejects rejects = {NULL, 0, 0};
  int32_t rc = DRAY_OK;
  uint64_t first = 0;
  for (;;) {
    struct ArrowArray array;
    int64_t count = 0;
    rc = dr_stream_next(&reading->stream, label, &reading->schema, &array, &count, error);
    const int ended = rc == DRAY_OK && count == 0; // which may be a safe place too
    if (rc == DRAY_OK && !ended) {
      struct dr_batch *batch = NULL;
      rc = dr_caster_run(reading->caster, &array, first, &batch, &rejects, error);
      first += (uint64_t)count;
      if (rc == DRAY_OK) rc = add_hashes(rows, &reading->encoder, batch, error);
      dr_batch_free(batch);
      rows->batches++;
    }
    struct dray_str state = {NULL, 0};
    if (rc == DRAY_OK && reading->stream.state != NULL) rc = dr_stream_state(&reading->stream, label, &state, error);
    if (rc == DRAY_OK && state.len > 0) rc = add_state(rows, state, error);
    if (rc != DRAY_OK || ended) break;
  }
  dr_rejects_free(&rejects);
  return rc;
}

struct dray_str subject_cursor(const struct subject *subject, const char *stream) {
  const struct dray_json *cursor = dray_json_get(dray_json_get(subject->config, "cursors"), stream);
  return cursor != NULL && cursor->kind == DRAY_JSON_STRING ? cursor->text : dray_str_make(NULL, 0);
}

int32_t rows_read(struct dr_source_instance *source, const struct reading_plan *plan, struct rows *out,
                  struct dray_error *error) {
  struct reading reading;
  memset(&reading, 0, sizeof(reading));
  memset(out, 0, sizeof(*out));
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = (uint32_t)plan->mode,
                                            .stream = dray_str_of(plan->stream),
                                            .cursor = plan->cursor,
                                            .state = plan->state,
                                            .batch_bytes_max = 65536,
                                            .batch_rows_max = BATCH_ROWS,
                                            .reader = dray_str_of(KIT_READER)};
  int32_t rc = dr_source_open(source, &request, &reading.stream, error);
  reading.open = rc == DRAY_OK;
  if (rc == DRAY_OK) rc = dr_stream_schema(&reading.stream, source->label, &reading.schema, error);
  if (rc == DRAY_OK) rc = dr_schema_from_arrow(&reading.schema, &reading.canonical, error);
  if (rc == DRAY_OK) {
    rc = dr_caster_new(&reading.schema, reading.canonical, NULL, DR_CAST_REJECT_ROW, &reading.caster, error);
  }
  if (rc == DRAY_OK) rc = dr_encoder_init(&reading.encoder, reading.canonical, NULL, 0, 1, error);
  if (rc == DRAY_OK) rc = read_batches(&reading, source->label, out, error);
  if (reading.open) dr_stream_close(&reading.stream, source->label);
  dr_encoder_free(&reading.encoder);
  dr_caster_free(reading.caster);
  dr_schema_unref(reading.canonical);
  dray_schema_release(&reading.schema);
  if (rc != DRAY_OK) rows_free(out);
  return rc;
}

static int by_hash(const void *a, const void *b) {
  return memcmp(a, b, sizeof(uint64_t)); // any order serves
}

size_t rows_missing(struct rows *part, struct rows *whole) {
  if (part->count > 0) qsort(part->hashes, part->count, sizeof(*part->hashes), by_hash);
  if (whole->count > 0) qsort(whole->hashes, whole->count, sizeof(*whole->hashes), by_hash);
  size_t missing = 0, j = 0;
  for (size_t i = 0; i < part->count; i++) {
    while (j < whole->count && by_hash(&whole->hashes[j], &part->hashes[i]) < 0) j++;
    if (j < whole->count && by_hash(&whole->hashes[j], &part->hashes[i]) == 0) {
      j++;
    } else {
      missing++;
    }
  }
  return missing;
}
