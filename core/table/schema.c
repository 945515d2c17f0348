// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Schemas: made, shared, compared, written down. A schema is built once and never changes after that, so that
// threads can read it without locks.
#include "table/schema.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

#include "dray/sdk/json.h"

#define JSON_BYTES_MAX (8u << 20)

static int compare_fields(const void *a, const void *b) {
  const struct dr_field *const *left = a, *const *right = b;
  return strcmp((*left)->name, (*right)->name);
}

// The fields in byte order of their names; NULL when memory is short. The caller frees it.
static const struct dr_field **sorted_fields(const struct dr_schema *schema) {
  const struct dr_field **sorted = malloc((schema->field_count + 1) * sizeof(*sorted));
  if (sorted == NULL) return NULL;
  for (size_t i = 0; i < schema->field_count; i++) sorted[i] = &schema->fields[i];
  qsort(sorted, schema->field_count, sizeof(*sorted), compare_fields);
  return sorted;
}

static int32_t check_names(const struct dr_schema *schema, struct dray_error *error) {
  int32_t code = DRAY_OK;
  const struct dr_field **sorted = sorted_fields(schema);
  if (sorted == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  for (size_t i = 0; i < schema->field_count && code == DRAY_OK; i++) {
    const char *name = sorted[i]->name;
    if (dray_column_reserved(name)) {
      code = dray_fail_field(error, DRAY_E_SCHEMA_NAME, name, "the column name '%s' is reserved", name);
    } else if (i > 0 && strcmp(sorted[i - 1]->name, name) == 0) {
      code = dray_fail_field(error, DRAY_E_SCHEMA_NAME, name, "two columns have the name '%s'", name);
    }
  }
  free(sorted);
  return code;
}

int32_t dr_schema_new(const struct dray_column_def *fields, size_t field_count, struct dr_schema **out,
                      struct dray_error *error) {
  struct dr_schema *schema = calloc(1, sizeof(*schema));
  int32_t code = DRAY_E_OUT_OF_MEMORY;
  if (schema == NULL) return dray_fail(error, code, "no memory for a schema");
  atomic_init(&schema->references, 1);
  code = dray_schema_make(fields, field_count, &schema->arrow, error); // checks names and types
  if (code != DRAY_OK) goto done;
  schema->fields = calloc(field_count + 1, sizeof(*schema->fields));
  for (size_t i = 0; schema->fields != NULL && i < field_count; i++) {
    schema->fields[i] =
        (struct dr_field){dray_str_dup(dray_str_of(fields[i].name)), fields[i].type, fields[i].nullable != 0};
    schema->field_count = i + 1;
    if (schema->fields[i].name == NULL) break;
  }
  if (schema->fields == NULL || (field_count > 0 && schema->fields[schema->field_count - 1].name == NULL)) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema of %zu columns", field_count);
    goto done;
  }
  code = check_names(schema, error);
done:
  if (code != DRAY_OK) {
    dr_schema_unref(schema);
    return code;
  }
  *out = schema;
  return DRAY_OK;
}

struct dr_schema *dr_schema_ref(struct dr_schema *schema) {
  atomic_fetch_add_explicit(&schema->references, 1, memory_order_relaxed);
  return schema;
}

void dr_schema_unref(struct dr_schema *schema) {
  if (schema == NULL || atomic_fetch_sub_explicit(&schema->references, 1, memory_order_acq_rel) != 1) return;
  for (size_t i = 0; i < schema->field_count; i++) free(schema->fields[i].name);
  free(schema->fields);
  dray_schema_release(&schema->arrow);
  free(schema);
}

ptrdiff_t dr_schema_find(const struct dr_schema *schema, struct dray_str name) {
  for (size_t i = 0; i < schema->field_count; i++) {
    if (dray_str_is(name, schema->fields[i].name)) return (ptrdiff_t)i;
  }
  return -1;
}

static int type_equal(struct dray_type a, struct dray_type b) {
  return a.id == b.id && a.precision == b.precision && a.scale == b.scale;
}

int dr_schema_equal(const struct dr_schema *a, const struct dr_schema *b) {
  if (a->field_count != b->field_count) return 0;
  for (size_t i = 0; i < a->field_count; i++) {
    const struct dr_field *left = &a->fields[i], *right = &b->fields[i];
    if (strcmp(left->name, right->name) != 0 || !type_equal(left->type, right->type)) return 0;
    if (left->nullable != right->nullable) return 0;
  }
  return 1;
}

int32_t dr_schema_to_arrow(const struct dr_schema *schema, int with_reserved_write_columns, struct ArrowSchema *out,
                           struct dray_error *error) {
  static const struct dray_column_def reserved[] = {{DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1},
                                                    {DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0},
                                                    {DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0},
                                                    {DRAY_COLUMN_CHANGED, {DRAY_TYPE_BYTES, 0, 0}, 1}};
  const size_t added = with_reserved_write_columns ? sizeof(reserved) / sizeof(reserved[0]) : 0;
  if (added == 0) return dray_schema_copy(&schema->arrow, out, error);
  struct dray_column_def *defs = calloc(schema->field_count + added, sizeof(*defs));
  if (defs == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  for (size_t i = 0; i < schema->field_count; i++) {
    const struct dr_field *field = &schema->fields[i];
    defs[i] = (struct dray_column_def){field->name, field->type, field->nullable};
  }
  memcpy(defs + schema->field_count, reserved, sizeof(reserved));
  const int32_t code = dray_schema_make(defs, schema->field_count + added, out, error);
  free(defs);
  return code;
}

// ---- JSON ----

int32_t dr_schema_to_json(const struct dr_schema *schema, struct dray_buffer *out, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_array(&writer);
  for (size_t i = 0; i < schema->field_count; i++) {
    char type[24];
    dray_json_begin_object(&writer);
    dray_json_key(&writer, "name");
    dray_json_write_text(&writer, schema->fields[i].name);
    dray_json_key(&writer, "type");
    dray_json_write_text(&writer, dray_type_format(schema->fields[i].type, type, sizeof(type)));
    dray_json_key(&writer, "nullable");
    dray_json_write_bool(&writer, schema->fields[i].nullable);
    dray_json_end_object(&writer);
  }
  dray_json_end_array(&writer);
  return dray_json_writer_finish(&writer);
}

static int32_t read_field(const struct dray_json *item, struct dray_column_def *out, struct dray_error *error) {
  const struct dray_json *name = dray_json_get(item, "name"), *type = dray_json_get(item, "type");
  const struct dray_json *nullable = dray_json_get(item, "nullable");
  if (name == NULL || name->kind != DRAY_JSON_STRING || type == NULL || type->kind != DRAY_JSON_STRING ||
      (nullable != NULL && nullable->kind != DRAY_JSON_BOOL)) {
    return dray_fail(error, DRAY_E_DATA_JSON, "a schema is an array of {\"name\", \"type\", \"nullable\"}");
  }
  if (strlen(name->text.data) != name->text.len) {
    return dray_fail(error, DRAY_E_SCHEMA_NAME, "a column name holds a NUL");
  }
  out->name = name->text.data;
  out->nullable = nullable == NULL || nullable->boolean;
  return dray_type_parse(type->text, &out->type, error);
}

int32_t dr_schema_from_json(struct dray_str json, struct dr_schema **out, struct dray_error *error) {
  struct dray_json *root = NULL;
  struct dray_column_def *defs = NULL;
  size_t count = 0;
  int32_t code = dray_json_parse(json, JSON_BYTES_MAX, &root, error);
  if (code != DRAY_OK) return code;
  if (root->kind != DRAY_JSON_ARRAY || root->child_count > DRAY_COLUMNS_MAX) {
    code = dray_fail(error, DRAY_E_DATA_JSON, "a schema is an array of at most %d columns", DRAY_COLUMNS_MAX);
    goto done;
  }
  defs = calloc(root->child_count + 1, sizeof(*defs));
  if (defs == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
    goto done;
  }
  for (const struct dray_json *item = root->child; item != NULL && code == DRAY_OK; item = item->next) {
    if (item->kind != DRAY_JSON_OBJECT) {
      code = dray_fail(error, DRAY_E_DATA_JSON, "a schema is an array of {\"name\", \"type\", \"nullable\"}");
    } else {
      code = read_field(item, &defs[count++], error);
    }
  }
  if (code == DRAY_OK) code = dr_schema_new(defs, count, out, error);
done:
  free(defs);
  dray_json_free(root);
  return code;
}

// ---- fingerprint ----

// A chain: each field's name, NUL, type, NUL is hashed with the hash so far as its seed.
uint64_t dr_schema_fingerprint(const struct dr_schema *schema) {
  char text[DRAY_COLUMN_NAME_MAX + 1 + 24];
  uint64_t hash = 0;
  const struct dr_field *previous = NULL;
  for (size_t done = 0; done < schema->field_count; done++) { // by selection: no allocation that could fail
    const struct dr_field *next = NULL;
    for (size_t i = 0; i < schema->field_count; i++) {
      const struct dr_field *field = &schema->fields[i];
      if (previous != NULL && strcmp(field->name, previous->name) <= 0) continue;
      if (next == NULL || strcmp(field->name, next->name) < 0) next = field;
    }
    const size_t name_bytes = strlen(next->name) + 1;
    memcpy(text, next->name, name_bytes);
    (void)dray_type_format(next->type, text + name_bytes, sizeof(text) - name_bytes);
    hash = XXH3_64bits_withSeed(text, name_bytes + strlen(text + name_bytes) + 1, hash);
    previous = next;
  }
  return hash;
}
