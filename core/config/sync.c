// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// `syncs:`: from where, to where, how. A sync that lists several streams becomes one struct per stream. The parts
// with a grammar of their own (map, types, drift, guard) are in sync_parts.c.
#include <stdlib.h>

#include "config/inside.h"
#include "diff/diff.h"

#define ATTEMPTS_MAX 1000
#define COMMIT_ROWS_MAX 1000000000ull
#define COMMIT_AFTER_MS_MAX 86400000

struct sync_draft { // dr_read_map and its like see the sync alone, so it comes first
  struct dr_sync sync;
  const struct dr_node *from, *to, *model, *from_connection, *stream, *streams, *to_connection, *cursor, *read;
  const struct dr_node *table, *object, *schema, *delete, *mode, *valid_from, *diff;
  const char *const *stream_names;
  size_t stream_count;
  ptrdiff_t to_index;
};

static struct sync_draft *draft_of(struct dr_reader *reader) {
  return reader->target;
}

// ---- from ----

static int32_t from_connection(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->from_connection = node;
  return dr_read_connection_name(reader, node, &draft_of(reader)->sync.from_connection);
}

static int32_t from_model(struct dr_reader *reader, const struct dr_node *node) {
  const struct dr_project *project = reader->project;
  const char *name = NULL;
  draft_of(reader)->model = node;
  DRAY_TRY(dr_read_text(reader, node, &name));
  if (name == NULL) return DRAY_OK;
  for (size_t i = 0; i < project->model_count; i++) {
    if (strcmp(project->models[i].name, name) != 0) continue;
    draft_of(reader)->sync.model = (ptrdiff_t)i;
    return DRAY_OK;
  }
  if (project->inside->incomplete) return DRAY_OK;
  const char **names = NULL;
  DRAY_TRY(dr_project_alloc(reader->project, (project->model_count + 1) * sizeof(*names), &names, reader->error));
  for (size_t i = 0; i < project->model_count; i++) names[i] = project->models[i].name;
  return dr_problem_at(reader, node, DRAY_E_CONFIG_REFERENCE, dr_nearest(name, names, project->model_count),
                       "models are defined under `models:`, or by a models/NAME.sql that begins with `-- dray: "
                       "{warehouse: ..., key: ...}`",
                       "%s names the model \"%s\", which is not defined", reader->where, name);
}

static int32_t from_stream(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->stream = node;
  return dr_read_text(reader, node, &draft_of(reader)->sync.stream);
}

static int32_t from_streams(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->streams = node;
  return dr_read_texts(reader, node, &draft_of(reader)->stream_names, &draft_of(reader)->stream_count);
}

static int32_t from_cursor(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->cursor = node;
  return dr_read_text(reader, node, &draft_of(reader)->sync.cursor);
}

static int32_t from_read(struct dr_reader *reader, const struct dr_node *node) {
  static const struct dr_choice choices[] = {{"full", 1}, {"incremental", 0}};
  draft_of(reader)->read = node;
  return dr_read_choice(reader, node, choices, 2, &draft_of(reader)->sync.full);
}

static int32_t from_columns(struct dr_reader *reader, const struct dr_node *node) {
  struct dr_sync *sync = &draft_of(reader)->sync;
  return dr_read_texts(reader, node, &sync->columns, &sync->column_count);
}

static const struct dr_key from_keys[] = {
    {"connection", from_connection}, {"model", from_model}, {"stream", from_stream},  {"streams", from_streams},
    {"cursor", from_cursor},         {"read", from_read},   {"columns", from_columns}};

#define FROM_KEYS (sizeof(from_keys) / sizeof(from_keys[0]))

static int32_t only_of_streams(struct dr_reader *reader, const struct dr_node *node) {
  if (node == NULL) return DRAY_OK;
  return dr_problem_at_name(reader, node, DRAY_E_CONFIG_VALUE, NULL, "a model is a query: it says itself what it reads",
                            "`%.*s` goes with a connection, not with a model", DRAY_STR_ARG(node->name));
}

static int32_t check_from(struct dr_reader *reader) {
  struct sync_draft *draft = draft_of(reader);
  if (draft->model != NULL && draft->from_connection != NULL)
    return dr_problem_at_name(reader, draft->from_connection, DRAY_E_CONFIG_VALUE, NULL,
                              "a model runs in the warehouse that it names itself",
                              "`model` and `connection` exclude each other");
  if (draft->model != NULL) {
    DRAY_TRY(only_of_streams(reader, draft->stream));
    DRAY_TRY(only_of_streams(reader, draft->streams));
    DRAY_TRY(only_of_streams(reader, draft->read));
    return only_of_streams(reader, draft->cursor);
  }
  if (draft->from_connection == NULL && (dr_has_key(draft->from, "connection", from_keys, FROM_KEYS) ||
                                         dr_has_key(draft->from, "model", from_keys, FROM_KEYS)))
    return DRAY_OK;
  if (draft->from_connection == NULL)
    return dr_problem_at_name(reader, draft->from, DRAY_E_CONFIG_MISSING, NULL, NULL,
                              "%s does not say what it reads: "
                              "`from` has neither a `connection` nor a `model`",
                              reader->where);
  if (draft->stream == NULL && draft->streams == NULL && !dr_has_key(draft->from, "stream", from_keys, FROM_KEYS) &&
      !dr_has_key(draft->from, "streams", from_keys, FROM_KEYS))
    return dr_problem_at_name(reader, draft->from, DRAY_E_CONFIG_MISSING, NULL,
                              "`dray discover CONNECTION` lists the streams", "%s does not say which stream it reads",
                              reader->where);
  if (draft->stream != NULL && draft->streams != NULL)
    return dr_problem_at_name(reader, draft->streams, DRAY_E_CONFIG_VALUE, NULL, NULL,
                              "`stream` and `streams` exclude each other");
  return DRAY_OK;
}

static int32_t sync_from(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->from = node;
  const char *where = reader->where;
  DRAY_TRY(dr_project_format(reader->project, &reader->where, reader->error, "`from` of %s", where));
  const int32_t rc = dr_read_section(reader, node, from_keys, FROM_KEYS);
  reader->where = where;
  if (rc != DRAY_OK || node->kind != DR_NODE_MAP) return rc;
  return check_from(reader);
}

// ---- to ----

static int32_t to_connection(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->to_connection = node;
  return dr_read_connection_name(reader, node, &draft_of(reader)->to_index);
}

static int32_t to_schema(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->schema = node;
  return dr_read_text(reader, node, &draft_of(reader)->sync.schema);
}

static int32_t to_table(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->table = node;
  return dr_read_text(reader, node, &draft_of(reader)->sync.table);
}

static int32_t to_object(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->object = node;
  draft_of(reader)->sync.object_mark = node->mark;
  return dr_read_text(reader, node, &draft_of(reader)->sync.object);
}

static const struct dr_key to_keys[] = {
    {"connection", to_connection}, {"schema", to_schema}, {"table", to_table}, {"object", to_object}};

#define TO_KEYS (sizeof(to_keys) / sizeof(to_keys[0]))

// Whether a key of `to` is the destination's option rather than dray's own. Only an object takes options; a key that
// is all but the name of one that is missing is a slip of the pen, and must not pass as an option.
static int is_option(const struct dr_node *to, struct dray_str name) {
  const char *names[TO_KEYS];
  for (size_t i = 0; i < TO_KEYS; i++) {
    names[i] = to_keys[i].name;
    if (dray_str_is(name, names[i])) return 0;
  }
  const char *nearest = dr_nearest(name.data, names, TO_KEYS);
  if (dr_node_get(to, "object") == NULL) return nearest == NULL && dr_has_key(to, "object", to_keys, TO_KEYS);
  return nearest == NULL || strcmp(nearest, "connection") != 0 || dr_node_get(to, "connection") != NULL;
}

// Parts the keys of `to` that are dray's own from the destination's options.
static int32_t split_options(struct dr_reader *reader, const struct dr_node *to, struct dr_node *own) {
  struct dr_node *options = NULL;
  struct dr_node **tails[2] = {&own->child, NULL};
  DRAY_TRY(dr_project_alloc(reader->project, sizeof(*options), &options, reader->error));
  *own = *options = *to;
  own->child = options->child = NULL;
  own->child_count = options->child_count = 0;
  options->next = NULL;
  tails[1] = &options->child;
  for (const struct dr_node *child = to->child; child != NULL; child = child->next) {
    const int option = is_option(to, child->name);
    struct dr_node *copy = NULL;
    DRAY_TRY(dr_project_alloc(reader->project, sizeof(*copy), &copy, reader->error));
    *copy = *child;
    copy->next = NULL;
    *tails[option] = copy;
    tails[option] = &copy->next;
    (option ? options : own)->child_count++;
  }
  if (options->child_count > 0) draft_of(reader)->sync.to_options = options;
  return DRAY_OK;
}

static int32_t check_to(struct dr_reader *reader) {
  struct sync_draft *draft = draft_of(reader);
  if (!dr_has_key(draft->to, "connection", to_keys, TO_KEYS))
    DRAY_TRY(dr_problem_at_name(reader, draft->to, DRAY_E_CONFIG_MISSING, NULL, NULL,
                                "%s does not say where it writes: `to` has no `connection`", reader->where));
  const struct dr_node *of_table = draft->table != NULL ? draft->table : draft->schema;
  if (draft->object == NULL || of_table == NULL) return DRAY_OK;
  return dr_problem_at_name(reader, of_table, DRAY_E_CONFIG_VALUE, NULL,
                            "`object` is for destinations, `schema` and `table` are for warehouses",
                            "`%.*s` and `object` exclude each other", DRAY_STR_ARG(of_table->name));
}

static int32_t sync_to(struct dr_reader *reader, const struct dr_node *node) {
  struct dr_node own;
  draft_of(reader)->to = node;
  if (node->kind != DR_NODE_MAP) return dr_problem_type(reader, node, "a mapping");
  DRAY_TRY(split_options(reader, node, &own));
  const char *where = reader->where;
  DRAY_TRY(dr_project_format(reader->project, &reader->where, reader->error, "`to` of %s", where));
  const int32_t rc = dr_read_section(reader, &own, to_keys, TO_KEYS);
  reader->where = where;
  if (rc != DRAY_OK) return rc;
  return check_to(reader);
}

// ---- the rest ----

static int32_t sync_mode(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->mode = node; // which ones there are depends on `to`: see check_mode
  return DRAY_OK;
}

static int32_t sync_delete(struct dr_reader *reader, const struct dr_node *node) {
  static const struct dr_choice choices[] = {{"soft", 1}, {"hard", 0}};
  draft_of(reader)->delete = node;
  return dr_read_choice(reader, node, choices, 2, &draft_of(reader)->sync.soft_delete);
}

static int32_t sync_duplicates(struct dr_reader *reader, const struct dr_node *node) {
  static const struct dr_choice choices[] = {
      {"reject", DR_DUPLICATES_REJECT}, {"first", DR_DUPLICATES_FIRST}, {"last", DR_DUPLICATES_LAST}};
  return dr_read_choice(reader, node, choices, 3, &draft_of(reader)->sync.duplicates);
}

static int32_t sync_keep(struct dr_reader *reader, const struct dr_node *node) {
  static const struct dr_choice choices[] = {{"row", DR_KEEP_ROW}, {"columns", DR_KEEP_COLUMNS}, {"key", DR_KEEP_KEY}};
  return dr_read_choice(reader, node, choices, 3, &draft_of(reader)->sync.keep);
}

static int32_t sync_diff(struct dr_reader *reader, const struct dr_node *node) {
  static const struct dr_choice choices[] = {{"local", DR_DIFF_LOCAL}, {"warehouse", DR_DIFF_WAREHOUSE}};
  draft_of(reader)->diff = node;
  return dr_read_choice(reader, node, choices, 2, &draft_of(reader)->sync.diff);
}

static int32_t sync_key(struct dr_reader *reader, const struct dr_node *node) {
  return dr_read_texts(reader, node, &draft_of(reader)->sync.key, &draft_of(reader)->sync.key_count);
}

static int32_t sync_attempts(struct dr_reader *reader, const struct dr_node *node) {
  uint64_t attempts = draft_of(reader)->sync.attempts_max;
  DRAY_TRY(dr_read_count(reader, node, 1, ATTEMPTS_MAX, &attempts));
  draft_of(reader)->sync.attempts_max = (uint32_t)attempts;
  return DRAY_OK;
}

static int32_t sync_commit_rows(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->sync.commit_rows_given = 1;
  return dr_read_count(reader, node, 1, COMMIT_ROWS_MAX, &draft_of(reader)->sync.commit_rows);
}

static int32_t sync_commit_after(struct dr_reader *reader, const struct dr_node *node) {
  int64_t ms = draft_of(reader)->sync.commit_after_ms;
  DRAY_TRY(dr_read_duration(reader, node, &ms));
  if (ms > COMMIT_AFTER_MS_MAX)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "`commit_after` is at most 1d, not \"%.*s\"",
                         DRAY_STR_ARG(node->text));
  draft_of(reader)->sync.commit_after_ms = ms;
  return DRAY_OK;
}

static int32_t sync_schedule(struct dr_reader *reader, const struct dr_node *node) {
  const char *text = NULL;
  DRAY_TRY(dr_read_text(reader, node, &text));
  if (text == NULL) return DRAY_OK;
  const char *fault = dr_schedule_fault(node->text);
  if (fault != NULL)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, fault, "\"%s\" is not a schedule", text);
  draft_of(reader)->sync.schedule = text;
  return DRAY_OK;
}

static int32_t sync_valid_from(struct dr_reader *reader, const struct dr_node *node) {
  draft_of(reader)->valid_from = node;
  return dr_read_text(reader, node, &draft_of(reader)->sync.valid_from);
}

static const struct dr_key sync_keys[] = {{"from", sync_from},
                                          {"to", sync_to},
                                          {"mode", sync_mode},
                                          {"delete", sync_delete},
                                          {"map", dr_read_map},
                                          {"types", dr_read_types},
                                          {"drift", dr_read_drift},
                                          {"duplicates", sync_duplicates},
                                          {"keep", sync_keep},
                                          {"key", sync_key},
                                          {"guard", dr_read_guard},
                                          {"attempts", sync_attempts},
                                          {"schedule", sync_schedule},
                                          {"commit_rows", sync_commit_rows},
                                          {"commit_after", sync_commit_after},
                                          {"valid_from", sync_valid_from},
                                          {"diff", sync_diff}};

#define SYNC_KEYS (sizeof(sync_keys) / sizeof(sync_keys[0]))

static const struct dr_choice all_modes[] = {
    {"append", DR_MODE_APPEND},   {"upsert", DR_MODE_UPSERT}, {"mirror", DR_MODE_MIRROR}, {"replace", DR_MODE_REPLACE},
    {"history", DR_MODE_HISTORY}, {"create", DR_MODE_CREATE}, {"update", DR_MODE_UPDATE}, {"remove", DR_MODE_REMOVE}};
static const struct dr_choice object_modes[] = {{"upsert", DR_MODE_UPSERT}, {"mirror", DR_MODE_MIRROR},
                                                {"create", DR_MODE_CREATE}, {"update", DR_MODE_UPDATE},
                                                {"append", DR_MODE_APPEND}, {"remove", DR_MODE_REMOVE}};
#define ALL_MODES (sizeof(all_modes) / sizeof(all_modes[0]))
#define TABLE_MODES 5 // the first of all_modes
#define OBJECT_MODES (sizeof(object_modes) / sizeof(object_modes[0]))

static int is_mode(const struct dr_node *node, const struct dr_choice *modes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (node->kind == DR_NODE_STRING && dray_str_is(node->text, modes[i].name)) return 1;
  }
  return 0;
}

// A warehouse's table and a destination's object do not take the same modes.
static int32_t check_mode(struct dr_reader *reader) {
  struct sync_draft *draft = draft_of(reader);
  const struct dr_node *mode = draft->mode;
  const int object = draft->object != NULL;
  const int known = draft->to != NULL && draft->to->kind == DR_NODE_MAP &&
                    (object || !dr_has_key(draft->to, "object", to_keys, TO_KEYS));
  const struct dr_choice *modes = object ? object_modes : all_modes;
  const size_t count = object ? OBJECT_MODES : known ? TABLE_MODES : ALL_MODES;
  if (mode == NULL) return DRAY_OK;
  if (is_mode(mode, modes, count) || !is_mode(mode, all_modes, ALL_MODES))
    return dr_read_choice(reader, mode, modes, count, &draft->sync.mode);
  if (object)
    return dr_problem_at(reader, mode, DRAY_E_CONFIG_VALUE, NULL,
                         "`to` has an `object`, so what is written to is a destination",
                         "\"%.*s\" is a mode for a warehouse's table; a destination's object takes upsert, mirror, "
                         "create, update, append or remove",
                         DRAY_STR_ARG(mode->text));
  return dr_problem_at(reader, mode, DRAY_E_CONFIG_VALUE, NULL,
                       "`to` has no `object`, so what is written to is a table of a warehouse",
                       "\"%.*s\" is a mode for a destination's object; a warehouse's table takes append, upsert, "
                       "mirror, replace or history",
                       DRAY_STR_ARG(mode->text));
}

// Only the engine that holds the rows to be sent can say which of them differ, and which of several copies is the
// first it cannot say.
static int32_t check_diff(struct dr_reader *reader) {
  struct sync_draft *draft = draft_of(reader);
  if (draft->diff == NULL || draft->sync.diff != DR_DIFF_WAREHOUSE) return DRAY_OK;
  const int table = draft->to != NULL && draft->to->kind == DR_NODE_MAP && draft->object == NULL &&
                    !dr_has_key(draft->to, "object", to_keys, TO_KEYS);
  if (draft->from_connection != NULL || table)
    return dr_problem_at(reader, draft->diff, DRAY_E_CONFIG_VALUE, "local",
                         "the engine that a model runs in compares its rows with those that were sent",
                         "`diff: warehouse` is for a model that goes to an object of a destination");
  if (draft->sync.duplicates == DR_DUPLICATES_REJECT) return DRAY_OK;
  return dr_problem_at(reader, draft->diff, DRAY_E_CONFIG_VALUE, "local",
                       "rows of a table have no order, so none of several is the first: use `duplicates: reject`, or "
                       "let the model choose with GROUP BY",
                       "`diff: warehouse` and `duplicates: %s` exclude each other",
                       draft->sync.duplicates == DR_DUPLICATES_FIRST ? "first" : "last");
}

// A table that is written anew has nothing to keep. Nor is there one value that a null of a history by time keeps:
// which version stands before its moment is not settled while rows may come late, and some of them with one write.
static int32_t check_nulls(struct dr_reader *reader, const struct dr_node *node) {
  const struct sync_draft *draft = draft_of(reader);
  const struct dr_sync *sync = &draft->sync;
  const int anew = sync->mode == DR_MODE_REPLACE;
  const int timed = sync->mode == DR_MODE_HISTORY && draft->valid_from != NULL;
  size_t i = 0;
  while (i < sync->map_count && !sync->map[i].keeps_nulls) i++;
  if (i == sync->map_count || !(anew || timed)) return DRAY_OK;
  const struct dr_node *entry = dr_node_get(dr_node_get(node, "map"), sync->map[i].from);
  return dr_problem_at_name(reader, dr_node_get(entry, "nulls"), DRAY_E_CONFIG_VALUE, NULL,
                            anew ? "it writes the whole table anew, so there is nothing that a null could keep"
                                 : "versions come in any order, so which value a null keeps is not settled when it is "
                                   "written",
                            "`nulls: keep` and `%s` exclude each other", anew ? "mode: replace" : "valid_from");
}

static int32_t check_sync(struct dr_reader *reader, const struct dr_node *node) {
  struct sync_draft *draft = draft_of(reader);
  if (!dr_has_key(node, "from", sync_keys, SYNC_KEYS))
    DRAY_TRY(dr_problem_at_name(reader, node, DRAY_E_CONFIG_MISSING, NULL, NULL, "%s has no `from`", reader->where));
  if (!dr_has_key(node, "to", sync_keys, SYNC_KEYS))
    DRAY_TRY(dr_problem_at_name(reader, node, DRAY_E_CONFIG_MISSING, NULL, NULL, "%s has no `to`", reader->where));
  DRAY_TRY(check_mode(reader));
  if (draft->delete != NULL && draft->sync.mode != DR_MODE_MIRROR)
    DRAY_TRY(dr_problem_at_name(reader, draft->delete, DRAY_E_CONFIG_VALUE, NULL,
                                "only `mode: mirror` deletes what the source no longer shows",
                                "`delete` has no effect in this mode"));
  if (draft->valid_from != NULL && draft->sync.mode != DR_MODE_HISTORY)
    DRAY_TRY(dr_problem_at_name(reader, draft->valid_from, DRAY_E_CONFIG_VALUE, NULL,
                                "only `mode: history` writes since when a row is as it is",
                                "`valid_from` has no effect in this mode"));
  DRAY_TRY(check_diff(reader));
  DRAY_TRY(check_nulls(reader, node));
  const struct dr_node *one = draft->table != NULL ? draft->table : draft->object;
  if (draft->stream_count > 1 && one != NULL)
    DRAY_TRY(dr_problem_at_name(
        reader, one, DRAY_E_CONFIG_VALUE, NULL, "give each stream a sync of its own, or leave the name out",
        "%s would write %zu streams into one %.*s", reader->where, draft->stream_count, DRAY_STR_ARG(one->name)));
  draft->sync.to_connection = draft->to_index < 0 ? 0 : (size_t)draft->to_index;
  return DRAY_OK;
}

static void set_defaults(struct dr_sync *sync) {
  sync->model = sync->from_connection = -1;
  sync->mode = DR_MODE_UPSERT;
  sync->drift_table = sync->drift_column = sync->drift_type = DR_DRIFT_EVOLVE;
  sync->duplicates = DR_DUPLICATES_REJECT;
  sync->guard = (struct dr_guard){.on = 1,
                                  .deletes_share = DR_GUARD_DELETES_SHARE,
                                  .changes_share = 1,
                                  .deletes_count = DR_GUARD_ROWS,
                                  .changes_count = UINT64_MAX,
                                  .empty = 1};
  sync->diff = DR_DIFF_LOCAL;
  sync->attempts_max = 5;
  sync->commit_rows = 1000000;
  sync->commit_after_ms = 30000;
}

static const struct dr_node *nth(const struct dr_node *list, size_t index) {
  const struct dr_node *item = list->kind == DR_NODE_LIST ? list->child : list;
  while (index-- > 0 && item->next != NULL) item = item->next;
  return item;
}

// A chain of syncs while their number is not known.
struct found {
  struct dr_sync sync;
  const struct dr_node *to; // where two syncs are told that they write the same table
  const char *table;        // that it writes; NULL: an object, or not known
  size_t index;
  struct found *next;
};

static int32_t keep(struct dr_project *project, const struct sync_draft *draft, const struct dr_sync *sync,
                    struct found ***tail, struct dray_error *error) {
  struct found *found = NULL;
  DRAY_TRY(dr_project_alloc(project, sizeof(*found), &found, error));
  found->sync = *sync;
  found->to = draft->to;
  found->index = project->sync_count;
  if (draft->to_index >= 0 && !dr_has_key(draft->to, "object", to_keys, TO_KEYS)) {
    found->table = sync->table;
    if (found->table == NULL) found->table = sync->model >= 0 ? project->models[sync->model].name : sync->stream;
  }
  **tail = found;
  *tail = &found->next;
  project->sync_count++;
  return DRAY_OK;
}

static int32_t read_sync(struct dr_project *project, const struct dr_entry *entry, struct found ***tail,
                         struct dray_error *error) {
  struct sync_draft draft;
  struct dr_reader reader = {project, NULL, &draft, error};
  memset(&draft, 0, sizeof(draft));
  draft.to_index = -1;
  set_defaults(&draft.sync);
  draft.sync.name = entry->name.data;
  draft.sync.mark = entry->node->name.len > 0 ? entry->node->name_mark : entry->node->mark;
  draft.sync.stream_mark = draft.sync.object_mark = draft.sync.mark;
  DRAY_TRY(dr_project_format(project, &reader.where, error, "sync \"%s\"", draft.sync.name));
  DRAY_TRY(dr_read_section(&reader, entry->node, sync_keys, SYNC_KEYS));
  if (entry->node->kind != DR_NODE_MAP) return DRAY_OK;
  DRAY_TRY(check_sync(&reader, entry->node));
  if (draft.stream != NULL) draft.sync.stream_mark = draft.stream->mark;
  if (draft.stream_count == 0) return keep(project, &draft, &draft.sync, tail, error);
  for (size_t i = 0; i < draft.stream_count; i++) {
    struct dr_sync sync = draft.sync;
    sync.stream = draft.stream_names[i];
    sync.stream_mark = nth(draft.streams, i)->mark;
    if (draft.stream_count > 1)
      DRAY_TRY(dr_project_format(project, &sync.name, error, "%s.%s", draft.sync.name, sync.stream));
    DRAY_TRY(keep(project, &draft, &sync, tail, error));
  }
  return DRAY_OK;
}

// ---- two syncs into one table ----

static int compare_tables(const struct found *x, const struct found *y) {
  const char *schemas[2] = {x->sync.schema, y->sync.schema};
  if (x->sync.to_connection != y->sync.to_connection) return x->sync.to_connection < y->sync.to_connection ? -1 : 1;
  if ((schemas[0] == NULL) != (schemas[1] == NULL)) return schemas[0] == NULL ? -1 : 1;
  const int schema = schemas[0] != NULL ? strcmp(schemas[0], schemas[1]) : 0;
  return schema != 0 ? schema : strcmp(x->table, y->table);
}

static int compare_found(const void *a, const void *b) {
  const struct found *x = *(struct found *const *)a, *y = *(struct found *const *)b;
  const int tables = compare_tables(x, y);
  return tables != 0 ? tables : x->index < y->index ? -1 : x->index > y->index;
}

static int takes_all(const struct found *found) {
  return found->sync.mode == DR_MODE_MIRROR || found->sync.mode == DR_MODE_REPLACE;
}

static int32_t shared_table(struct dr_project *project, const struct found *found, const struct found *other,
                            struct dray_error *error) {
  struct dr_reader reader = {project, "", NULL, error};
  if (found->to == other->to) return DRAY_OK; // one sync of several streams into one table: reported already
  return dr_problem_at_name(&reader, found->to, DRAY_E_CONFIG_VALUE, NULL,
                            "`mode: mirror` and `mode: replace` want a table for themselves; give each sync its own",
                            "sync \"%s\" writes the table \"%s\" that sync \"%s\" writes too: they would delete each "
                            "other's rows",
                            found->sync.name, found->table, other->sync.name);
}

// Sorted, so that the number of syncs squared is nobody's time.
static int32_t check_tables(struct dr_project *project, struct found *first, struct dray_error *error) {
  struct found **sorted = NULL;
  const struct found *earliest = NULL, *taker = NULL; // of the table at hand; the taker has mode mirror or replace
  size_t count = 0;
  DRAY_TRY(dr_project_alloc(project, (project->sync_count + 1) * sizeof(*sorted), &sorted, error));
  for (struct found *found = first; found != NULL; found = found->next) {
    if (found->table != NULL) sorted[count++] = found;
  }
  if (count > 1) qsort(sorted, count, sizeof(*sorted), compare_found);
  for (size_t i = 0; i < count; i++) {
    const struct found *found = sorted[i];
    if (i == 0 || compare_tables(sorted[i - 1], found) != 0) {
      earliest = found;
      taker = NULL;
    } else if (taker != NULL || takes_all(found)) {
      DRAY_TRY(shared_table(project, found, taker != NULL ? taker : earliest, error));
    }
    if (taker == NULL && takes_all(found)) taker = found;
  }
  return DRAY_OK;
}

int32_t dr_read_syncs(struct dr_project *project, const struct dr_entries *entries, struct dray_error *error) {
  struct found *first = NULL, **tail = &first;
  struct dr_sync *syncs = NULL;
  for (const struct dr_entry *entry = entries->first; entry != NULL; entry = entry->next)
    DRAY_TRY(read_sync(project, entry, &tail, error));
  DRAY_TRY(check_tables(project, first, error));
  DRAY_TRY(dr_project_alloc(project, (project->sync_count + 1) * sizeof(*syncs), &syncs, error));
  project->syncs = syncs;
  for (const struct found *found = first; found != NULL; found = found->next) *syncs++ = found->sync;
  return DRAY_OK;
}
