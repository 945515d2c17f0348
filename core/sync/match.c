// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "sync/match.h"

#include <stdio.h>
#include <string.h>

#include "dray/destination.h"

#define KEY_TEXT_BYTES 400

// The field of the mapped row that feeds a match key and is not the same in every row; -1: none.
static ptrdiff_t feeding(const struct dr_mapping *mapping, const struct dr_field_facts *facts) {
  const ptrdiff_t field = facts->match_key ? dr_schema_find(mapping->schema, dray_str_of(facts->name)) : -1;
  return field < 0 || mapping->hidden[field] || dr_mapping_is_constant(mapping, (size_t)field) ? -1 : field;
}

static int is_found_by(const struct dr_mapping *mapping, const struct dr_object_facts *object, const char *name) {
  for (size_t i = 0; i < object->field_count; i++) {
    if (strcmp(object->fields[i].name, name) == 0) return feeding(mapping, &object->fields[i]) >= 0;
  }
  return 0;
}

static int32_t take_key(const struct dr_mapping *mapping, struct dr_match *match, struct dray_error *error) {
  for (size_t k = 0; k < mapping->key_count; k++) {
    const ptrdiff_t field = dr_schema_find(mapping->schema, dray_str_of(mapping->told[k]));
    if (field >= 0 && mapping->hidden[field]) continue;
    match->keys[match->count++] = mapping->told[k];
  }
  if (match->count > 0) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_KEY, "no field that identifies a row at the destination is mapped");
}

// What is mapped to the object's match keys, as the config would say it: `email`, or `[id, tag]`.
static void write_wanted(const struct dr_mapping *mapping, const struct dr_object_facts *object, char *fields,
                         char *columns) {
  int count = 0, together = 0;
  size_t field_bytes = 0, column_bytes = 0;
  for (size_t i = 0; i < object->field_count; i++) {
    const struct dr_field_facts *facts = &object->fields[i];
    const ptrdiff_t at = feeding(mapping, facts);
    if (at < 0) continue;
    together |= facts->required && count > 0;
    const int more = snprintf(fields + field_bytes, KEY_TEXT_BYTES - field_bytes, "%s%s",
                              count == 0 ? "" : (facts->required ? " and " : " or "), facts->name);
    const int column_more =
        snprintf(columns + column_bytes, KEY_TEXT_BYTES - column_bytes, "%s%s",
                 count == 0 ? "" : (facts->required ? ", " : "` or `key: "), mapping->source_columns[at]);
    if (more < 0 || column_more < 0) return;
    field_bytes += (size_t)more;
    column_bytes += (size_t)column_more;
    count++;
    if (field_bytes >= KEY_TEXT_BYTES || column_bytes >= KEY_TEXT_BYTES - 2) return;
  }
  if (!together) return;
  memmove(columns + 1, columns, column_bytes);
  columns[0] = '[';
  columns[column_bytes + 1] = ']';
  columns[column_bytes + 2] = '\0';
}

static int32_t fail_other_key(const struct dr_mapping *mapping, const struct dr_object_facts *object,
                              const char *object_name, const char *key, struct dray_error *error) {
  char fields[KEY_TEXT_BYTES] = "", columns[KEY_TEXT_BYTES + 2] = "";
  write_wanted(mapping, object, fields, columns);
  return dray_fail_field(error, DRAY_E_SCHEMA_KEY, "key",
                         "the object \"%s\" finds rows by %s, and the key of this sync has %s: one row here could be "
                         "two there, or another. Set `key: %s` in the sync",
                         object_name, fields, key, columns);
}

int32_t dr_match_choose(const struct dr_mapping *mapping, const struct dr_object_facts *object, const char *object_name,
                        uint32_t operations, struct dr_arena *arena, struct dr_match *out, struct dray_error *error) {
  struct dr_match match = {.count = 0};
  size_t mapped = 0;
  int alternatives = 0;
  match.keys = dr_arena_alloc(arena, (mapping->schema->field_count + mapping->key_count + 1) * sizeof(char *));
  if (match.keys == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for match keys");
  const int looked_for = (operations & (uint32_t)~DRAY_OP_INSERT) != 0;
  for (size_t i = 0; i < object->field_count; i++) {
    const struct dr_field_facts *facts = &object->fields[i];
    const ptrdiff_t field = facts->match_key ? dr_schema_find(mapping->schema, dray_str_of(facts->name)) : -1;
    if (field < 0 || mapping->hidden[field]) continue;
    const int differs = feeding(mapping, facts) >= 0;
    mapped += (size_t)differs;
    if (looked_for && differs && !dr_mapping_is_told(mapping, facts->name)) continue;
    match.keys[match.count++] = facts->name;
    alternatives |= !facts->required;
  }
  if (mapped == 0) {
    match.count = 0;
    DRAY_TRY(take_key(mapping, &match, error));
  }
  for (size_t k = 0; mapped > 0 && looked_for && k < mapping->key_count; k++) {
    const int known = is_found_by(mapping, object, mapping->told[k]);
    if (known && !(alternatives && mapping->key_count > 1)) continue;
    return fail_other_key(mapping, object, object_name, mapping->told[known ? mapping->key_count - 1 : k], error);
  }
  for (size_t k = 0; k < match.count; k++) DRAY_TRY(dr_mapping_check_said(mapping, match.keys[k], error));
  *out = match;
  return DRAY_OK;
}
