// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The parts of a sync with a grammar of their own: map, types, drift and guard. `reader->target` begins with the
// struct dr_sync being filled.
#include "config/inside.h"
#include "dray/sdk/value.h"

static struct dr_sync *sync_of(struct dr_reader *reader) {
  return reader->target;
}

// ---- map ----

static int32_t add_entry(struct dr_reader *reader, struct dr_map_entry *entries, size_t *count,
                         const struct dr_map_entry *entry, const struct dr_node *place) {
  for (size_t i = 0; i < *count; i++) {
    if (strcmp(entries[i].to, entry->to) != 0) continue;
    return dr_problem_at(reader, place, DRAY_E_CONFIG_VALUE, NULL, NULL,
                         "two entries of `map` write the field \"%s\"; the first is at line %u", entry->to,
                         entries[i].mark.line);
  }
  entries[(*count)++] = *entry;
  return DRAY_OK;
}

// field: {value: "x"}
static int32_t read_constant(struct dr_reader *reader, const struct dr_node *node, struct dr_map_entry *entries,
                             size_t *count) {
  const struct dr_node *value = dr_node_get(node, "value"), *nulls = dr_node_get(node, "nulls");
  const int scalar = value->kind == DR_NODE_STRING || value->kind == DR_NODE_INT || value->kind == DR_NODE_FLOAT ||
                     value->kind == DR_NODE_BOOL;
  if (nulls != NULL)
    return dr_problem_at_name(reader, nulls, DRAY_E_CONFIG_VALUE, NULL, "a constant is never null",
                              "`nulls` has no meaning beside `value`");
  if (node->child_count != 1)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "a constant is written `%.*s: {value: \"x\"}`",
                         DRAY_STR_ARG(node->name));
  if (!scalar) return dr_problem_type(reader, value, "a text, a number or true or false");
  const struct dr_map_entry entry = {.to = node->name.data, .value = value->text.data, .mark = node->name_mark};
  return add_entry(reader, entries, count, &entry, node);
}

// The fields that `node` names, a text or a list; nothing (or nothing behind the colon): under the column's own name.
static int32_t read_fields(struct dr_reader *reader, const struct dr_node *column, const struct dr_node *node,
                           int keeps_nulls, struct dr_map_entry *entries, size_t *count) {
  const char *const own[] = {column->name.data};
  const char *const *fields = own;
  size_t field_count = 1;
  if (node != NULL && node->kind != DR_NODE_NULL) {
    field_count = 0;
    DRAY_TRY(dr_read_texts(reader, node, &fields, &field_count));
  }
  for (size_t i = 0; i < field_count; i++) {
    const struct dr_map_entry entry = {
        .from = column->name.data, .to = fields[i], .keeps_nulls = keeps_nulls, .mark = column->name_mark};
    DRAY_TRY(add_entry(reader, entries, count, &entry, node != NULL ? node : column));
  }
  return DRAY_OK;
}

// What a mapping below `map` may say of a column; its parts are read by read_detailed, once all are known to be some.
static int32_t look_at_part(struct dr_reader *reader, const struct dr_node *node) {
  (void)reader;
  (void)node;
  return DRAY_OK;
}

// column: {to: field, nulls: keep}
static int32_t read_detailed(struct dr_reader *reader, const struct dr_node *node, struct dr_map_entry *entries,
                             size_t *count) {
  static const struct dr_key keys[] = {{"to", look_at_part}, {"nulls", look_at_part}, {"value", look_at_part}};
  static const struct dr_choice choices[] = {{"send", 0}, {"keep", 1}};
  const struct dr_node *nulls = dr_node_get(node, "nulls"), *to = dr_node_get(node, "to");
  const char *where = reader->where;
  int keeps_nulls = 0;
  if (dr_node_get(node, "value") != NULL) return read_constant(reader, node, entries, count);
  if (node->child_count == 0)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL,
                         "`%.*s` says nothing: a constant is written {value: \"x\"}, and what a null means "
                         "{to: field, nulls: keep}",
                         DRAY_STR_ARG(node->name));
  DRAY_TRY(dr_project_format(reader->project, &reader->where, reader->error, "the entry \"%.*s\" in `map` of %s",
                             DRAY_STR_ARG(node->name), where));
  const int32_t rc = dr_read_section(reader, node, keys, sizeof(keys) / sizeof(keys[0]));
  reader->where = where;
  DRAY_TRY(rc);
  if (nulls != NULL) DRAY_TRY(dr_read_choice(reader, nulls, choices, 2, &keeps_nulls));
  return read_fields(reader, node, to, keeps_nulls, entries, count);
}

static int32_t read_mapping(struct dr_reader *reader, const struct dr_node *node, struct dr_map_entry *entries,
                            size_t *count) {
  if (node->kind == DR_NODE_MAP) return read_detailed(reader, node, entries, count);
  return read_fields(reader, node, node, 0, entries, count);
}

static size_t fields_of(const struct dr_node *node) {
  const struct dr_node *to = node->kind == DR_NODE_MAP ? dr_node_get(node, "to") : node;
  return to != NULL && to->kind == DR_NODE_LIST ? to->child_count : 1;
}

int32_t dr_read_map(struct dr_reader *reader, const struct dr_node *node) {
  struct dr_map_entry *entries = NULL;
  size_t room = 1, count = 0;
  if (node->kind != DR_NODE_MAP) return dr_problem_type(reader, node, "a mapping of columns to fields");
  if (node->child_count == 0)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL,
                         "without `map` every column is sent under its own name", "`map` is empty");
  for (const struct dr_node *child = node->child; child != NULL; child = child->next) room += fields_of(child);
  if (room > DR_CONFIG_KEYS_MAX)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_LIMIT, NULL, NULL, "`map` has more than %d entries",
                         DR_CONFIG_KEYS_MAX);
  DRAY_TRY(dr_project_alloc(reader->project, room * sizeof(*entries), &entries, reader->error));
  for (const struct dr_node *child = node->child; child != NULL; child = child->next)
    DRAY_TRY(read_mapping(reader, child, entries, &count));
  sync_of(reader)->map = entries;
  sync_of(reader)->map_count = count;
  return DRAY_OK;
}

// ---- types ----

static int32_t read_type(struct dr_reader *reader, const struct dr_node *node, struct dray_column_def *out) {
  static const char *const names[] = {"bool",  "int64", "float64",   "decimal", "string",
                                      "bytes", "date",  "timestamp", "json"};
  const char *text = NULL;
  struct dray_error why;
  dray_error_init(&why);
  DRAY_TRY(dr_read_text(reader, node, &text));
  if (text == NULL) return DRAY_OK;
  if (dray_type_parse(node->text, &out->type, &why) == DRAY_OK) {
    out->name = node->name.data;
    out->nullable = 1;
    return DRAY_OK;
  }
  if (dr_is_open_decimal(node))
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, DR_TORN_DECIMAL_WHY, "\"%s\" is not a type", text);
  return dr_problem_at(
      reader, node, DRAY_E_CONFIG_VALUE, dr_nearest(text, names, sizeof(names) / sizeof(names[0])),
      "the types are bool, int64, float64, decimal(precision,scale) with a precision up to 38, string, bytes, "
      "date, timestamp and json",
      "\"%s\" is not a type", text);
}

int32_t dr_read_types(struct dr_reader *reader, const struct dr_node *node) {
  struct dray_column_def *types = NULL;
  size_t count = 0;
  if (node->kind != DR_NODE_MAP) return dr_problem_type(reader, node, "a mapping of columns to types");
  DRAY_TRY(dr_project_alloc(reader->project, (node->child_count + 1) * sizeof(*types), &types, reader->error));
  for (const struct dr_node *child = node->child; child != NULL; child = child->next) {
    if (dr_is_torn_decimal(child)) {
      DRAY_TRY(dr_problem_at(reader, child, DRAY_E_CONFIG_VALUE, NULL, DR_TORN_DECIMAL_WHY,
                             "\"%s,%s\" is torn apart at its comma", child->text.data, child->next->name.data));
      child = child->next;
      continue;
    }
    DRAY_TRY(read_type(reader, child, &types[count]));
    if (types[count].name != NULL) count++;
  }
  sync_of(reader)->types = types;
  sync_of(reader)->type_count = count;
  return DRAY_OK;
}

// ---- drift ----

static int32_t read_policy(struct dr_reader *reader, const struct dr_node *node, int *out) {
  static const struct dr_choice choices[] = {{"evolve", DR_DRIFT_EVOLVE},
                                             {"freeze", DR_DRIFT_FREEZE},
                                             {"discard_row", DR_DRIFT_DISCARD_ROW},
                                             {"discard_value", DR_DRIFT_DISCARD_VALUE}};
  return dr_read_choice(reader, node, choices, 4, out);
}

static int32_t drift_table(struct dr_reader *reader, const struct dr_node *node) {
  return read_policy(reader, node, &sync_of(reader)->drift_table);
}
static int32_t drift_column(struct dr_reader *reader, const struct dr_node *node) {
  return read_policy(reader, node, &sync_of(reader)->drift_column);
}
static int32_t drift_type(struct dr_reader *reader, const struct dr_node *node) {
  return read_policy(reader, node, &sync_of(reader)->drift_type);
}

int32_t dr_read_drift(struct dr_reader *reader, const struct dr_node *node) {
  static const struct dr_key keys[] = {{"table", drift_table}, {"column", drift_column}, {"type", drift_type}};
  struct dr_sync *sync = sync_of(reader);
  if (node->kind != DR_NODE_MAP) {
    int policy = sync->drift_table;
    DRAY_TRY(read_policy(reader, node, &policy));
    sync->drift_table = sync->drift_column = sync->drift_type = policy;
    return DRAY_OK;
  }
  const char *where = reader->where;
  DRAY_TRY(dr_project_format(reader->project, &reader->where, reader->error, "`drift` of %s", where));
  const int32_t rc = dr_read_section(reader, node, keys, 3);
  reader->where = where;
  return rc;
}

// ---- guard ----

// "20%": a share, with the count of `min` beside it. A whole number: that many rows, whatever their share. off: no
// limit.
static int32_t read_threshold(struct dr_reader *reader, const struct dr_node *node, double *share, uint64_t *count) {
  if (node->kind == DR_NODE_INT && node->integer >= 0) {
    *share = 0;
    *count = (uint64_t)node->integer;
    return DRAY_OK;
  }
  if (dray_str_is(node->text, "off") || (node->kind == DR_NODE_BOOL && !node->boolean)) {
    *share = 1;
    *count = UINT64_MAX;
    return DRAY_OK;
  }
  if (node->kind == DR_NODE_STRING && dr_parse_percent(node->text, share)) {
    *count = *share < 1 ? DR_GUARD_ROWS : UINT64_MAX;
    return DRAY_OK;
  }
  return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL,
                       "`%.*s` is a share such as 20%%, a number of rows, or off", DRAY_STR_ARG(node->name));
}

static int32_t guard_deletes(struct dr_reader *reader, const struct dr_node *node) {
  struct dr_guard *guard = &sync_of(reader)->guard;
  return read_threshold(reader, node, &guard->deletes_share, &guard->deletes_count);
}

static int32_t guard_changes(struct dr_reader *reader, const struct dr_node *node) {
  struct dr_guard *guard = &sync_of(reader)->guard;
  return read_threshold(reader, node, &guard->changes_share, &guard->changes_count);
}

static int32_t guard_min(struct dr_reader *reader, const struct dr_node *node) {
  uint64_t rows = 0;
  return dr_read_count(reader, node, 0, INT64_MAX, &rows); // applied once the shares are known
}

static int32_t guard_empty(struct dr_reader *reader, const struct dr_node *node) {
  static const struct dr_choice choices[] = {{"stop", 1}, {"allow", 0}};
  return dr_read_choice(reader, node, choices, 2, &sync_of(reader)->guard.empty);
}

// Whether a limit is a share (given or by default), which `min` goes with.
static int is_share(const struct dr_node *given, uint64_t count) {
  return count != UINT64_MAX && (given == NULL || given->kind != DR_NODE_INT);
}

int32_t dr_read_guard(struct dr_reader *reader, const struct dr_node *node) {
  static const struct dr_key keys[] = {
      {"deletes", guard_deletes}, {"changes", guard_changes}, {"min", guard_min}, {"empty", guard_empty}};
  struct dr_guard *guard = &sync_of(reader)->guard;
  if (node->kind == DR_NODE_BOOL || dray_str_is(node->text, "off") || dray_str_is(node->text, "on")) {
    guard->on = node->kind == DR_NODE_BOOL ? node->boolean : dray_str_is(node->text, "on");
    return DRAY_OK;
  }
  if (node->kind != DR_NODE_MAP)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_TYPE, NULL, NULL,
                         "`guard` is on, off, or a mapping such as {deletes: 20%%, changes: 50%%, min: 50}");
  const char *where = reader->where;
  DRAY_TRY(dr_project_format(reader->project, &reader->where, reader->error, "`guard` of %s", where));
  const int32_t rc = dr_read_section(reader, node, keys, sizeof(keys) / sizeof(keys[0]));
  reader->where = where;
  const struct dr_node *min = dr_node_get(node, "min");
  if (rc != DRAY_OK || min == NULL || min->kind != DR_NODE_INT || min->integer < 0) return rc;
  if (is_share(dr_node_get(node, "deletes"), guard->deletes_count)) guard->deletes_count = (uint64_t)min->integer;
  if (is_share(dr_node_get(node, "changes"), guard->changes_count)) guard->changes_count = (uint64_t)min->integer;
  return DRAY_OK;
}
