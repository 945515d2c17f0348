// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Two sides with columns of their own become one schema: which columns are compared, and how their texts are read.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/state.h"
#include "dray/sdk/config.h"

static const struct dr_side *side_of(const struct dr_compare *compare, int side) {
  return &compare->inside->from[side];
}

// An empty file has the columns that the other one has.
static const struct dr_schema *schema_of(const struct dr_compare *compare, int side) {
  const struct dr_side *from = side_of(compare, side);
  return from->hollow ? side_of(compare, 1 - side)->schema : from->schema;
}

static int is_in(const char *name, const char *const *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(list[i], name) == 0) return 1;
  }
  return 0;
}

// A header that holds another delimiter than the one that was looked for: that one; else 0.
static char other_delimiter(const struct dr_side *side, const struct dr_schema *schema) {
  if (side->kind != DR_SIDE_CSV || side->hollow || schema->field_count != 1) return 0;
  const char *found = strpbrk(schema->fields[0].name, ";\t|,");
  return found != NULL ? *found : 0;
}

// What may help as one text, or nothing: "; did you mean "x"?".
static void suggest(const struct dr_side *side, const struct dr_schema *schema, const char *name, char *out,
                    size_t out_bytes) {
  struct dray_nearest nearest;
  const char other = other_delimiter(side, schema);
  dray_nearest_init(&nearest, dray_str_of(name));
  if (other != 0) {
    const char text[2] = {other, '\0'};
    (void)snprintf(out, out_bytes, ", whose header is one column: is it --delimiter %s%s%s?", other == '\t' ? "" : "'",
                   other == '\t' ? "tab" : text, other == '\t' ? "" : "'");
    return;
  }
  for (size_t i = 0; i < schema->field_count; i++) dray_nearest_offer(&nearest, schema->fields[i].name);
  (void)snprintf(out, out_bytes, "%s", dray_nearest_hint(&nearest));
}

// `everywhere`: the column must be on both sides; else on one of them.
static int32_t check_name(const struct dr_compare *compare, int32_t code, const char *what, const char *name,
                          int everywhere, struct dray_error *error) {
  char hint[DRAY_COLUMN_NAME_MAX + 32];
  int found = 0;
  for (int side = 0; side < 2; side++) {
    const struct dr_schema *schema = schema_of(compare, side);
    if (dr_schema_find(schema, dray_str_of(name)) >= 0) {
      found = 1;
      continue;
    }
    if (!everywhere) continue;
    suggest(side_of(compare, side), schema, name, hint, sizeof(hint));
    return dray_fail_field(error, code, name, "%s column \"%s\" is not in %s (%s)%s", what, name,
                           side_of(compare, side)->name, side_of(compare, side)->place, hint);
  }
  if (found) return DRAY_OK;
  suggest(side_of(compare, DR_COMPARE_OLD), schema_of(compare, DR_COMPARE_OLD), name, hint, sizeof(hint));
  return dray_fail_field(error, code, name, "%s column \"%s\" is neither in OLD nor in NEW%s", what, name, hint);
}

static int32_t check_names(const struct dr_compare *compare, struct dray_error *error) {
  const struct dr_compare_options *options = compare->inside->options;
  for (size_t i = 0; i < options->key_count; i++) {
    DRAY_TRY(check_name(compare, DRAY_E_SCHEMA_KEY, "the key", options->key[i], 1, error));
    if (is_in(options->key[i], options->key, i)) {
      return dray_fail(error, DRAY_E_USAGE, "--key names the column \"%s\" twice", options->key[i]);
    }
    if (is_in(options->key[i], options->excluded, options->excluded_count)) {
      return dray_fail(error, DRAY_E_USAGE, "--exclude names the key column \"%s\"", options->key[i]);
    }
  }
  for (size_t i = 0; i < options->column_count; i++) {
    DRAY_TRY(check_name(compare, DRAY_E_SCHEMA_COLUMN, "the", options->columns[i], 1, error));
  }
  for (size_t i = 0; i < options->excluded_count; i++) {
    DRAY_TRY(check_name(compare, DRAY_E_SCHEMA_COLUMN, "the excluded", options->excluded[i], 0, error));
  }
  for (size_t i = 0; i < options->type_count; i++) {
    DRAY_TRY(check_name(compare, DRAY_E_SCHEMA_COLUMN, "the typed", options->types[i].name, 0, error));
  }
  return DRAY_OK;
}

static int is_wanted(const struct dr_compare_options *options, const char *name) {
  if (is_in(name, options->key, options->key_count)) return 1;
  if (is_in(name, options->excluded, options->excluded_count)) return 0;
  return options->column_count == 0 || is_in(name, options->columns, options->column_count);
}

static int32_t add_only(struct dr_compare_names *names, const char *name, struct dray_error *error) {
  char **grown = realloc(names->items, (names->count + 1) * sizeof(*grown));
  char *copy = grown != NULL ? dray_str_dup(dray_str_of(name)) : NULL;
  if (grown != NULL) names->items = grown;
  if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns");
  names->items[names->count++] = copy;
  return DRAY_OK;
}

static int guessed_kind(const struct dr_compare *compare, int side, const char *name) {
  const struct dr_side *from = side_of(compare, side);
  const ptrdiff_t at = from->hollow ? -1 : dr_schema_find(from->schema, dray_str_of(name));
  return at >= 0 ? from->guessed[at].kind : DR_READING_UNSEEN;
}

static struct dr_reading reading_of(const struct dr_compare *compare, const char *name, int is_key) {
  const struct dr_compare_options *options = compare->inside->options;
  for (size_t i = 0; i < options->type_count; i++) {
    if (strcmp(options->types[i].name, name) == 0) {
      return (struct dr_reading){DR_READING_DECLARED, options->types[i].type};
    }
  }
  const int kind =
      dr_reading_merge(guessed_kind(compare, DR_COMPARE_OLD, name), guessed_kind(compare, DR_COMPARE_NEW, name));
  struct dr_reading reading = {kind, {0, 0, 0}};
  // What comes behind the sample may have a point; a key that is whole in both samples is compared as it is spelt.
  if (kind == DR_READING_INTEGER && !is_key) reading.kind = DR_READING_NUMBER;
  return reading;
}

static int32_t choose(struct dr_compare *compare, struct dray_column_def *defs, size_t *out_count,
                      struct dray_error *error) {
  const struct dr_schema *schemas[2] = {schema_of(compare, DR_COMPARE_OLD), schema_of(compare, DR_COMPARE_NEW)};
  const struct dr_compare_options *options = compare->inside->options;
  *out_count = 0;
  for (int side = 0; side < 2; side++) {
    for (size_t i = 0; i < schemas[side]->field_count; i++) {
      const char *name = schemas[side]->fields[i].name;
      if (!is_wanted(options, name)) continue;
      if (dr_schema_find(schemas[1 - side], dray_str_of(name)) < 0) {
        DRAY_TRY(add_only(&compare->sides[side].only, name, error));
      } else if (side == DR_COMPARE_OLD) {
        defs[(*out_count)++] = (struct dray_column_def){name, {DRAY_TYPE_STRING, 0, 0}, 1};
      }
    }
  }
  return DRAY_OK;
}

int32_t dr_agree(struct dr_compare *compare, struct dray_error *error) {
  struct dr_compare_inside *inside = compare->inside;
  DRAY_TRY(check_names(compare, error));
  size_t count = 0;
  struct dray_column_def *defs = calloc(schema_of(compare, DR_COMPARE_OLD)->field_count + 1, sizeof(*defs));
  int32_t rc = defs != NULL ? choose(compare, defs, &count, error)
                            : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the columns");
  if (rc == DRAY_OK) rc = dr_schema_new(defs, count, &compare->schema, error);
  if (rc == DRAY_OK) {
    compare->readings = calloc(count + 1, sizeof(*compare->readings));
    compare->is_key = calloc(count + 1, 1);
    compare->counts.column_updates = calloc(count + 1, sizeof(*compare->counts.column_updates));
    inside->declared = calloc(count + 1, sizeof(*inside->declared));
    if (compare->readings == NULL || compare->is_key == NULL || compare->counts.column_updates == NULL ||
        inside->declared == NULL) {
      rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu columns", count);
    }
  }
  inside->all_plain = 1;
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    const char *name = compare->schema->fields[i].name;
    compare->is_key[i] = (uint8_t)is_in(name, inside->options->key, inside->options->key_count);
    compare->readings[i] = reading_of(compare, name, compare->is_key[i]);
    if (compare->readings[i].kind == DR_READING_DECLARED && compare->readings[i].type.id != DRAY_TYPE_STRING) {
      inside->declared[inside->declared_count++] = i;
    }
    inside->all_plain &= dr_reading_is_plain(&compare->readings[i]);
  }
  free(defs);
  return rc;
}
