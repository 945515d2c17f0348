// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Mapping: decided once from the two schemas, then one caster run per batch.
#include "sync/mapping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dray/sdk/config.h"
#include "table/fold.h"

#define ARENA_BYTES_MAX (16u << 20)
#define FIELDS_MAX 4096
#define CONSTANT_MARK "\x01" // begins the name of a constant's column: no column can be called that

// One field of the mapped row while the mapping is being decided.
struct draft {
  struct dray_column_def *fields;
  size_t count;
  const struct dr_schema *source;
};

static int32_t no_memory(struct dray_error *error) {
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a mapping");
}

static int32_t fail_column(const struct dr_schema *source, const char *name, const char *what,
                           struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(name));
  for (size_t i = 0; i < source->field_count; i++) dray_nearest_offer(&nearest, source->fields[i].name);
  return dray_fail_field(error, DRAY_E_SCHEMA_COLUMN, name,
                         "the %s \"%s\" is not among the %zu columns that are read%s", what, name, source->field_count,
                         dray_nearest_hint(&nearest));
}

static const struct dr_field_facts *find_field(const struct dr_object_facts *object, const char *name) {
  for (size_t i = 0; object != NULL && i < object->field_count; i++) {
    if (strcmp(object->fields[i].name, name) == 0) return &object->fields[i];
  }
  return NULL;
}

// The object takes no other fields than those that it lists.
static int is_fixed(const struct dr_object_facts *object) {
  return object != NULL && object->field_count > 0 && !object->dynamic;
}

static int32_t check_field(const struct dr_object_facts *object, const char *name, struct dray_error *error) {
  const struct dr_field_facts *facts = find_field(object, name);
  if (facts != NULL && !facts->writable) {
    return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, name, "the field \"%s\" cannot be written", name);
  }
  if (facts != NULL || !is_fixed(object)) return DRAY_OK;
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(name));
  for (size_t i = 0; i < object->field_count; i++) dray_nearest_offer(&nearest, object->fields[i].name);
  return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, name, "the object has no field \"%s\"%s", name,
                         dray_nearest_hint(&nearest));
}

int dr_mapping_is_constant(const struct dr_mapping *mapping, size_t field) {
  return mapping->source_columns[field][0] == CONSTANT_MARK[0];
}

// The type of a mapped field: what the destination wants, else what the config declares, else what is read.
static struct dray_type type_of(const struct dr_mapping_options *options, const struct dr_schema *source,
                                ptrdiff_t column, const char *field) {
  const struct dr_field_facts *facts = find_field(options->object, field);
  if (facts != NULL && facts->type.id != 0) return facts->type;
  if (column < 0) return (struct dray_type){DRAY_TYPE_STRING, 0, 0};
  for (size_t i = 0; i < options->sync->type_count; i++) {
    if (strcmp(options->sync->types[i].name, source->fields[column].name) == 0) return options->sync->types[i].type;
  }
  return source->fields[column].type;
}

static int32_t add(struct dr_mapping *mapping, struct draft *draft, const char *name, struct dray_type type,
                   const char *source_column, int hidden, struct dray_error *error) {
  for (size_t i = 0; i < draft->count; i++) {
    if (strcmp(draft->fields[i].name, name) == 0) {
      return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, name, "two columns are mapped to the field \"%s\"", name);
    }
  }
  draft->fields[draft->count] = (struct dray_column_def){name, type, 1};
  mapping->source_columns[draft->count] = source_column;
  mapping->hidden[draft->count] = (uint8_t)hidden;
  draft->count++;
  return DRAY_OK;
}

static int32_t add_constant(struct dr_mapping *mapping, struct draft *draft, const struct dr_mapping_options *options,
                            const struct dr_map_entry *entry, struct dray_error *error) {
  char name[32];
  (void)snprintf(name, sizeof(name), CONSTANT_MARK "constant%zu", mapping->constant_count);
  const char *column = dr_arena_str(&mapping->arena, dray_str_of(name));
  if (column == NULL) return no_memory(error);
  mapping->constants[mapping->constant_count++] = entry->value;
  return add(mapping, draft, entry->to, type_of(options, draft->source, -1, entry->to), column, 0, error);
}

static int is_left_out(const struct dr_mapping_options *options, const char *field) {
  for (size_t i = 0; i < options->left_out_count; i++) {
    if (strcmp(options->left_out[i], field) == 0) return 1;
  }
  return 0;
}

static int32_t add_mapped(struct dr_mapping *mapping, struct draft *draft, const struct dr_mapping_options *options,
                          struct dray_error *error) {
  const struct dr_sync *sync = options->sync;
  for (size_t i = 0; i < sync->map_count; i++) {
    const struct dr_map_entry *entry = &sync->map[i];
    if (is_left_out(options, entry->to)) continue;
    DRAY_TRY(check_field(options->object, entry->to, error));
    if (entry->from == NULL) {
      DRAY_TRY(add_constant(mapping, draft, options, entry, error));
      continue;
    }
    const ptrdiff_t column = dr_schema_find(draft->source, dray_str_of(entry->from));
    if (column < 0) return fail_column(draft->source, entry->from, "mapped column", error);
    DRAY_TRY(add(mapping, draft, entry->to, type_of(options, draft->source, column, entry->to), entry->from, 0, error));
    mapping->keeps_nulls[draft->count - 1] = (uint8_t)entry->keeps_nulls;
    mapping->any_keeps |= entry->keeps_nulls;
  }
  for (size_t i = 0; sync->map_count == 0 && i < draft->source->field_count; i++) {
    const char *name = draft->source->fields[i].name;
    if (is_left_out(options, name)) continue;
    DRAY_TRY(check_field(options->object, name, error));
    DRAY_TRY(add(mapping, draft, name, type_of(options, draft->source, (ptrdiff_t)i, name), name, 0, error));
  }
  return DRAY_OK;
}

static int is_caseless(const struct dr_mapping *mapping, const struct draft *draft,
                       const struct dr_mapping_options *options, size_t field) {
  const struct dr_field_facts *facts = find_field(options->object, draft->fields[field].name);
  const int is_text = draft->fields[field].type.id == DRAY_TYPE_STRING;
  return is_text && !mapping->hidden[field] && facts != NULL && facts->caseless;
}

// The field that a key column feeds; of several the one that the destination finds the row by: a match key, else one
// that is compared without regard to case. draft->count: none.
static size_t fed_field(const struct dr_mapping *mapping, const struct draft *draft,
                        const struct dr_mapping_options *options, const char *column) {
  size_t found = draft->count;
  int best = -1;
  for (size_t i = 0; i < draft->count; i++) {
    if (strcmp(mapping->source_columns[i], column) != 0) continue;
    const struct dr_field_facts *facts = find_field(options->object, draft->fields[i].name);
    const int fits = (facts != NULL && facts->match_key ? 2 : 0) + is_caseless(mapping, draft, options, i);
    if (fits <= best) continue;
    best = fits;
    found = i;
  }
  return found;
}

// Keys that are compared without regard to case get a field with the folded text, behind the others. Its name says how
// it is made: a mirror knows its key by name, and one that was made otherwise must not be read as if it were the same.
static int32_t add_folded(struct dr_mapping *mapping, struct draft *draft, const struct dr_mapping_options *options,
                          struct dray_error *error) {
  const size_t own = draft->count;
  for (size_t k = 0; k < options->key_count; k++) {
    size_t i = 0;
    while (mapping->key[k] != draft->fields[i].name) i++;
    if (i >= own || !is_caseless(mapping, draft, options, i)) continue;
    char name[300];
    (void)snprintf(name, sizeof(name), "%.280s (caseless)", draft->fields[i].name);
    const char *field = dr_arena_str(&mapping->arena, dray_str_of(name));
    if (field == NULL) return no_memory(error);
    DRAY_TRY(add(mapping, draft, field, draft->fields[i].type, options->key[k], 1, error));
    mapping->folded[mapping->folded_count++] = i;
    mapping->key[k] = field;
  }
  return DRAY_OK;
}

static int32_t fail_kept(const char *field, struct dray_error *error) {
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "map",
                         "`nulls: keep` is not for the field \"%s\", which rows are known by: a row without it is none",
                         field);
}

// Each key column under its mapped name. One that nobody maps is carried along: sent where fields are free, hidden from
// a destination that would not know it.
static int32_t add_key(struct dr_mapping *mapping, struct draft *draft, const struct dr_mapping_options *options,
                       struct dray_error *error) {
  for (size_t k = 0; k < options->key_count; k++) {
    const char *name = options->key[k];
    const ptrdiff_t column = dr_schema_find(draft->source, dray_str_of(name));
    if (column < 0) return fail_column(draft->source, name, "key column", error);
    const size_t i = fed_field(mapping, draft, options, name);
    if (i == draft->count) {
      const char *field = name;
      for (size_t j = 0; j < draft->count; j++) {
        if (strcmp(draft->fields[j].name, name) != 0) continue;
        char unlike[300];
        (void)snprintf(unlike, sizeof(unlike), "_key_%.250s", name);
        field = dr_arena_str(&mapping->arena, dray_str_of(unlike));
        if (field == NULL) return no_memory(error);
      }
      const struct dr_field_facts *facts = find_field(options->object, field);
      const int hidden = is_fixed(options->object) || (facts != NULL && !facts->writable);
      DRAY_TRY(add(mapping, draft, field, type_of(options, draft->source, column, hidden ? "" : field), name, hidden,
                   error));
    }
    if (mapping->keeps_nulls[i]) return fail_kept(draft->fields[i].name, error);
    const int32_t type = draft->fields[i].type.id;
    if (type == DRAY_TYPE_FLOAT64 || type == DRAY_TYPE_JSON) {
      return dray_fail_field(error, DRAY_E_SCHEMA_KEY, name, "the key column \"%s\" is a %s: its equality is not exact",
                             name, dray_type_name(type));
    }
    mapping->key[k] = mapping->told[k] = draft->fields[i].name;
  }
  mapping->key_count = options->key_count;
  return add_folded(mapping, draft, options, error);
}

static int32_t check_required(const struct dr_mapping_options *options, const struct draft *draft,
                              struct dray_error *error) {
  for (size_t i = 0; options->object != NULL && i < options->object->field_count; i++) {
    const struct dr_field_facts *facts = &options->object->fields[i];
    size_t j = 0;
    while (j < draft->count && strcmp(draft->fields[j].name, facts->name) != 0) j++;
    if (facts->required && j == draft->count) {
      return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, facts->name, "nothing is mapped to the required field \"%s\"",
                             facts->name);
    }
  }
  return DRAY_OK;
}

// The source's schema plus a string column per constant: the caster then treats both alike.
static int32_t extend_schema(struct dr_mapping *mapping, const struct ArrowSchema *source, struct dray_error *error) {
  if (mapping->constant_count == 0) return dray_schema_copy(source, &mapping->extended, error);
  struct ArrowSchema copy;
  struct ArrowSchema added;
  DRAY_TRY(dray_schema_copy(source, &copy, error));
  struct dray_column_def defs[FIELDS_MAX];
  size_t count = 0;
  for (size_t i = 0; mapping->source_columns[i] != NULL; i++) {
    if (dr_mapping_is_constant(mapping, i)) {
      defs[count++] = (struct dray_column_def){mapping->source_columns[i], {DRAY_TYPE_STRING, 0, 0}, 1};
    }
  }
  int32_t rc = dray_schema_make(defs, count, &added, error);
  if (rc != DRAY_OK) {
    dray_schema_release(&copy);
    return rc;
  }
  // A new parent is made by the SDK over both lists, so that one release callback owns everything.
  const size_t total = (size_t)copy.n_children + count;
  struct ArrowSchema **children = calloc(total, sizeof(*children));
  if (children == NULL) {
    rc = no_memory(error);
  } else {
    for (size_t i = 0; i < total; i++) {
      children[i] = i < (size_t)copy.n_children ? copy.children[i] : added.children[i - (size_t)copy.n_children];
    }
    const struct ArrowSchema joined = {.format = "+s", .name = "", .n_children = (int64_t)total, .children = children};
    rc = dray_schema_copy(&joined, &mapping->extended, error);
    free(children);
  }
  dray_schema_release(&copy);
  dray_schema_release(&added);
  return rc;
}

static int32_t decide(struct dr_mapping *mapping, struct draft *draft, const struct dr_mapping_options *options,
                      struct dray_error *error) {
  const size_t most = draft->source->field_count + options->sync->map_count + 2 * options->key_count + 1;
  if (most > FIELDS_MAX) return dray_fail(error, DRAY_E_LIMIT, "more than %d columns", FIELDS_MAX);
  draft->fields = dr_arena_alloc(&mapping->arena, most * sizeof(*draft->fields));
  mapping->source_columns = dr_arena_alloc(&mapping->arena, (most + 1) * sizeof(char *));
  mapping->constants = dr_arena_alloc(&mapping->arena, most * sizeof(char *));
  mapping->hidden = dr_arena_alloc(&mapping->arena, most);
  mapping->keeps_nulls = dr_arena_alloc(&mapping->arena, most);
  mapping->key = dr_arena_alloc(&mapping->arena, most * sizeof(char *));
  mapping->told = dr_arena_alloc(&mapping->arena, most * sizeof(char *));
  mapping->folded = dr_arena_alloc(&mapping->arena, most * sizeof(*mapping->folded));
  if (draft->fields == NULL || mapping->source_columns == NULL || mapping->constants == NULL ||
      mapping->hidden == NULL || mapping->keeps_nulls == NULL || mapping->key == NULL || mapping->told == NULL ||
      mapping->folded == NULL) {
    return no_memory(error);
  }
  DRAY_TRY(add_mapped(mapping, draft, options, error));
  DRAY_TRY(add_key(mapping, draft, options, error));
  DRAY_TRY(check_required(options, draft, error));
  if (draft->count == 0) return dray_fail(error, DRAY_E_SCHEMA_COLUMN, "there is no column to write");
  // The source's schema lives no longer than this call; names that come from it are copied by the schema.
  DRAY_TRY(dr_schema_new(draft->fields, draft->count, &mapping->schema, error));
  if (mapping->folded_count == 0) mapping->cast = dr_schema_ref(mapping->schema);
  if (mapping->cast == NULL) {
    DRAY_TRY(dr_schema_new(draft->fields, draft->count - mapping->folded_count, &mapping->cast, error));
  }
  for (size_t i = 0; i < draft->count; i++) {
    for (size_t k = 0; k < mapping->key_count; k++) {
      if (mapping->key[k] == draft->fields[i].name) mapping->key[k] = mapping->schema->fields[i].name;
      if (mapping->told[k] == draft->fields[i].name) mapping->told[k] = mapping->schema->fields[i].name;
    }
  }
  DRAY_TRY(extend_schema(mapping, options->source, error));
  DRAY_TRY(dr_caster_new(&mapping->extended, mapping->cast, mapping->source_columns,
                         options->discard_values ? DR_CAST_NULL_VALUE : DR_CAST_REJECT_ROW, &mapping->caster, error));
  dr_caster_key(mapping->caster, mapping->told, mapping->key_count);
  return DRAY_OK;
}

int32_t dr_mapping_init(struct dr_mapping *mapping, const struct dr_mapping_options *options,
                        struct dray_error *error) {
  memset(mapping, 0, sizeof(*mapping));
  dr_arena_init(&mapping->arena, ARENA_BYTES_MAX);
  struct dr_schema *source = NULL;
  int32_t rc = dr_schema_from_arrow(options->source, &source, error);
  if (rc == DRAY_OK) {
    struct draft draft = {NULL, 0, source};
    rc = decide(mapping, &draft, options, error);
    for (size_t i = 0; rc == DRAY_OK && i < draft.count; i++) { // source column names outlive the source's schema
      mapping->source_columns[i] = dr_arena_str(&mapping->arena, dray_str_of(mapping->source_columns[i]));
      if (mapping->source_columns[i] == NULL) rc = no_memory(error);
    }
  }
  dr_schema_unref(source);
  if (rc != DRAY_OK) dr_mapping_free(mapping);
  return rc;
}

int32_t dr_mapping_rebind(struct dr_mapping *mapping, const struct ArrowSchema *source, int discard_values,
                          struct dray_error *error) {
  struct dr_caster *caster = NULL;
  dray_schema_release(&mapping->extended);
  memset(&mapping->extended, 0, sizeof(mapping->extended));
  DRAY_TRY(extend_schema(mapping, source, error));
  DRAY_TRY(dr_caster_new(&mapping->extended, mapping->cast, mapping->source_columns,
                         discard_values ? DR_CAST_NULL_VALUE : DR_CAST_REJECT_ROW, &caster, error));
  dr_caster_free(mapping->caster);
  mapping->caster = caster;
  dr_caster_key(caster, mapping->told, mapping->key_count);
  return DRAY_OK;
}

void dr_mapping_free(struct dr_mapping *mapping) {
  dr_caster_free(mapping->caster);
  dr_schema_unref(mapping->schema);
  dr_schema_unref(mapping->cast);
  dray_schema_release(&mapping->extended);
  dr_arena_free(&mapping->arena);
  memset(mapping, 0, sizeof(*mapping));
}

// ---- constants ----

struct joined_array {
  struct ArrowArray source;    // owns its children
  struct ArrowArray constants; // owns the added children
  struct ArrowArray **children;
  const void *buffers[1];
};

static void release_joined(struct ArrowArray *array) {
  struct joined_array *joined = array->private_data;
  dray_array_release(&joined->source);
  dray_array_release(&joined->constants);
  free(joined->children);
  free(joined);
  array->release = NULL;
}

static int32_t build_constants(const struct dr_mapping *mapping, const struct ArrowArray *array, struct ArrowArray *out,
                               struct dray_error *error) {
  struct ArrowSchema schema;
  struct dray_column_def defs[FIELDS_MAX];
  for (size_t i = 0; i < mapping->constant_count; i++) {
    defs[i] = (struct dray_column_def){"c", {DRAY_TYPE_STRING, 0, 0}, 1};
  }
  DRAY_TRY(dray_schema_make(defs, mapping->constant_count, &schema, error));
  struct dray_builder *builder = NULL;
  int32_t rc = dray_builder_new(&schema, UINT64_MAX, UINT64_MAX, &builder, error);
  // A parent with an offset hands its offset down; constants are the same in every row, so more of them do no harm.
  for (int64_t row = 0; rc == DRAY_OK && row < array->length + array->offset; row++) {
    for (size_t i = 0; rc == DRAY_OK && i < mapping->constant_count; i++) {
      rc = dray_builder_bytes(builder, i, dray_str_of(mapping->constants[i]), error);
    }
    int32_t full = 0;
    if (rc == DRAY_OK) rc = dray_builder_end_row(builder, &full, error);
  }
  if (rc == DRAY_OK) rc = dray_builder_finish(builder, out, error);
  dray_builder_free(builder);
  dray_schema_release(&schema);
  return rc;
}

static int32_t join_constants(const struct dr_mapping *mapping, struct ArrowArray *array, struct dray_error *error) {
  struct joined_array *joined = calloc(1, sizeof(*joined));
  const size_t total = (size_t)array->n_children + mapping->constant_count;
  struct ArrowArray **children = calloc(total, sizeof(*children));
  if (joined == NULL || children == NULL) {
    free(joined);
    free(children);
    return no_memory(error);
  }
  const int32_t rc = build_constants(mapping, array, &joined->constants, error);
  if (rc != DRAY_OK) {
    free(joined);
    free(children);
    return rc;
  }
  joined->source = *array;
  joined->children = children;
  joined->buffers[0] = array->n_buffers > 0 ? array->buffers[0] : NULL;
  for (size_t i = 0; i < total; i++) {
    const size_t own = (size_t)array->n_children;
    children[i] = i < own ? array->children[i] : joined->constants.children[i - own];
  }
  array->n_buffers = 1;
  array->buffers = joined->buffers;
  array->n_children = (int64_t)total;
  array->children = children;
  array->private_data = joined;
  array->release = release_joined;
  return DRAY_OK;
}

// Nulls that keep what is there are not said. Of tombstones nothing but the key is looked at.
static int32_t keep_nulls(const struct dr_mapping *mapping, struct dr_batch *batch, struct dray_error *error) {
  for (size_t i = 0; i < mapping->cast->field_count; i++) {
    const struct dray_column_view *column = &batch->view.columns[i];
    if (!mapping->keeps_nulls[i] || column->validity == NULL) continue;
    for (uint64_t row = 0; row < dr_batch_rows(batch); row++) {
      if (!dray_column_is_null(column, row) || dr_batch_is_deleted(batch, row)) continue;
      DRAY_TRY(dr_batch_set_absent(batch, i, row, error));
    }
  }
  return DRAY_OK;
}

int32_t dr_mapping_run(struct dr_mapping *mapping, struct ArrowArray *array, uint64_t first_row, struct dr_batch **out,
                       struct dr_rejects *rejects, struct dray_error *error) {
  if (mapping->constant_count > 0) DRAY_TRY(join_constants(mapping, array, error));
  struct dr_batch *batch = NULL;
  DRAY_TRY(dr_caster_run(mapping->caster, array, first_row, &batch, rejects, error));
  const int32_t rc = mapping->any_keeps ? keep_nulls(mapping, batch, error) : DRAY_OK;
  if (rc != DRAY_OK) {
    dr_batch_free(batch);
    return rc;
  }
  if (mapping->folded_count > 0)
    return dr_batch_fold(batch, mapping->schema, mapping->folded, mapping->folded_count, out, error);
  *out = batch;
  return DRAY_OK;
}

static int is_among(const char *const *names, size_t count, const char *name) {
  size_t i = 0;
  while (i < count && strcmp(names[i], name) != 0) i++;
  return i < count;
}

int dr_mapping_is_key(const struct dr_mapping *mapping, const char *name) {
  return is_among(mapping->key, mapping->key_count, name);
}

int dr_mapping_is_told(const struct dr_mapping *mapping, const char *name) {
  return is_among(mapping->told, mapping->key_count, name);
}

int32_t dr_mapping_check_said(const struct dr_mapping *mapping, const char *name, struct dray_error *error) {
  const ptrdiff_t field = dr_schema_find(mapping->schema, dray_str_of(name));
  return field >= 0 && mapping->keeps_nulls[field] ? fail_kept(name, error) : DRAY_OK;
}

ptrdiff_t dr_mapping_folded(const struct dr_mapping *mapping, size_t field) {
  for (size_t i = 0; i < mapping->folded_count; i++) {
    if (mapping->folded[i] == field) return (ptrdiff_t)(mapping->schema->field_count - mapping->folded_count + i);
  }
  return -1;
}
