// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The caster: a plan made once from a plugin's schema, run over one batch after the other, column by column. A column
// that is canonical already is checked and moved; the others are read value by value (load.c) and fitted (coerce.c).
// Rows that fail keep a null in their place until all columns are done, and are then left out together.
#include "table/cast.h"

#include <stdlib.h>

#include "table/coerce.h"

#define AT_ONCE 8 // values in a step of loops over all; a constant, so that they go several at a time

struct plan {
  ptrdiff_t child;    // of the source; -1: absent in every row
  int64_t absent_bit; // of the child in _dray_absent; -1: none
  int shared;         // other fields read the same child, so that it cannot be moved away
};

struct dr_caster {
  struct dr_schema *target; // one reference
  int policy;
  size_t child_count;
  struct dr_source *sources;            // owned, by child; kind 0: not used
  struct plan *plans;                   // owned, by field
  ptrdiff_t absent, row_error, deleted; // reserved children, -1: none
  const char *const *key;               // borrowed; NULL: none
  size_t key_count;
  struct dr_scratch scratch;
};

// One call of dr_caster_run.
struct run {
  struct dr_caster *caster;
  struct ArrowArray *array;
  int64_t rows;
  uint64_t first_row;
  uint8_t **absent; // as in dr_batch
  uint8_t *deleted; // likewise
  uint8_t *bad;     // one byte a row; NULL: none yet
  size_t bad_count;
  struct dr_rejects *rejects;
  struct dray_error *error;
};

static int bit_of(const uint8_t *bits, int64_t i) {
  return bits != NULL && (bits[i >> 3] >> (i & 7) & 1);
}
static void set_bit(uint8_t *bits, int64_t i) {
  bits[i >> 3] |= (uint8_t)(1u << (i & 7));
}

// ---- the plan ----

static int32_t find_child(const struct ArrowSchema *source, const char *name, ptrdiff_t *out,
                          struct dray_error *error) {
  ptrdiff_t found = -1;
  for (int64_t i = 0; i < source->n_children; i++) {
    const struct ArrowSchema *child = source->children[i];
    if (child == NULL || child->name == NULL || strcmp(child->name, name) != 0) continue;
    if (found >= 0) {
      return dray_fail_field(error, DRAY_E_SCHEMA_NAME, name, "two columns have the name '%s'", name);
    }
    found = (ptrdiff_t)i;
  }
  *out = found;
  return DRAY_OK;
}

static int32_t use_child(struct dr_caster *caster, const struct ArrowSchema *source, ptrdiff_t child,
                         struct dray_error *error) {
  if (child < 0 || caster->sources[child].kind != 0) return DRAY_OK;
  return dr_source_parse(source->children[child], &caster->sources[child], error);
}

static int32_t use_reserved(struct dr_caster *caster, const struct ArrowSchema *source, const char *name, int32_t type,
                            ptrdiff_t *out, struct dray_error *error) {
  DRAY_TRY(find_child(source, name, out, error));
  DRAY_TRY(use_child(caster, source, *out, error));
  if (*out < 0 || caster->sources[*out].type.id == type) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_PLUGIN_CONTRACT, name, "%s must be of type %s, not '%s'", name,
                         dray_type_name(type), source->children[*out]->format);
}

static int64_t absent_bit_of(const struct ArrowSchema *source, ptrdiff_t child) {
  int64_t bit = 0;
  if (dray_column_reserved(source->children[child]->name)) return -1;
  for (ptrdiff_t i = 0; i < child; i++) bit += !dray_column_reserved(source->children[i]->name);
  return bit;
}

static int32_t make_plans(struct dr_caster *caster, const struct ArrowSchema *source, const char *const *source_columns,
                          struct dray_error *error) {
  const struct dr_schema *target = caster->target;
  for (size_t i = 0; i < target->field_count; i++) {
    struct plan *plan = &caster->plans[i];
    const char *name = source_columns != NULL && source_columns[i] != NULL ? source_columns[i] : target->fields[i].name;
    DRAY_TRY(find_child(source, name, &plan->child, error));
    DRAY_TRY(use_child(caster, source, plan->child, error));
    if (plan->child < 0) continue;
    plan->absent_bit = absent_bit_of(source, plan->child);
    for (size_t k = 0; k < i; k++) {
      if (caster->plans[k].child == plan->child) plan->shared = caster->plans[k].shared = 1;
    }
  }
  DRAY_TRY(use_reserved(caster, source, DRAY_COLUMN_ABSENT, DRAY_TYPE_BYTES, &caster->absent, error));
  DRAY_TRY(use_reserved(caster, source, DRAY_COLUMN_ERROR, DRAY_TYPE_STRING, &caster->row_error, error));
  return use_reserved(caster, source, DRAY_COLUMN_DELETED, DRAY_TYPE_BOOL, &caster->deleted, error);
}

int32_t dr_caster_new(const struct ArrowSchema *source, struct dr_schema *target, const char *const *source_columns,
                      int policy, struct dr_caster **out, struct dray_error *error) {
  if (source == NULL || source->format == NULL || strcmp(source->format, "+s") != 0 || source->n_children < 0 ||
      source->n_children > DRAY_COLUMNS_MAX || (source->n_children > 0 && source->children == NULL)) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the schema of a stream is not a struct of at most %d columns",
                     DRAY_COLUMNS_MAX);
  }
  struct dr_caster *caster = calloc(1, sizeof(*caster));
  int32_t code = DRAY_E_OUT_OF_MEMORY;
  if (caster == NULL) return dray_fail(error, code, "no memory for a cast");
  dr_scratch_init(&caster->scratch);
  caster->target = dr_schema_ref(target);
  caster->policy = policy;
  caster->child_count = (size_t)source->n_children;
  caster->sources = calloc(caster->child_count + 1, sizeof(*caster->sources));
  caster->plans = calloc(target->field_count + 1, sizeof(*caster->plans));
  if (caster->sources == NULL || caster->plans == NULL) {
    code = dray_fail(error, code, "no memory for a cast of %zu columns", caster->child_count);
  } else {
    code = make_plans(caster, source, source_columns, error);
  }
  if (code != DRAY_OK) {
    dr_caster_free(caster);
    return code;
  }
  *out = caster;
  return DRAY_OK;
}

void dr_caster_free(struct dr_caster *caster) {
  if (caster == NULL) return;
  for (size_t i = 0; caster->sources != NULL && i < caster->child_count; i++) dr_source_free(&caster->sources[i]);
  free(caster->sources);
  free(caster->plans);
  dr_scratch_free(&caster->scratch);
  dr_schema_unref(caster->target);
  free(caster);
}

void dr_caster_key(struct dr_caster *caster, const char *const *names, size_t count) {
  caster->key = names;
  caster->key_count = count;
}

// ---- rejects ----

static int is_data_error(int32_t code) {
  return dray_error_info(code)->error_class == DRAY_CLASS_DATA;
}

// One reason a row is enough: the first.
static int32_t reject(struct run *run, int64_t row, int32_t code, const char *column, const char *text) {
  if (run->bad == NULL) {
    run->bad = calloc((size_t)run->rows, 1);
    if (run->bad == NULL) return dray_fail(run->error, DRAY_E_OUT_OF_MEMORY, "no memory for rejected rows");
  }
  if (run->bad[row]) return DRAY_OK;
  DRAY_TRY(dr_rejects_add(run->rejects, run->first_row + (uint64_t)row, code, column, text, run->error));
  run->bad[row] = 1;
  run->bad_count++;
  return DRAY_OK;
}

// Takes "column 'x': " off the beginning of a reason.
static void take_column(struct dray_str *text, char *out, size_t out_bytes) {
  static const char before[] = "column '", after[] = "': ";
  const size_t skip = sizeof(before) - 1;
  if (text->len < skip || memcmp(text->data, before, skip) != 0) return;
  const char *name = text->data + skip;
  const char *end = memmem(name, (size_t)text->len - skip, after, sizeof(after) - 1);
  if (end == NULL) return;
  (void)dray_text_excerpt(dray_str_make(name, (uint64_t)(end - name)), out, out_bytes);
  const char *rest = end + sizeof(after) - 1;
  *text = dray_str_make(rest, (uint64_t)(text->data + text->len - rest));
}

// The plugin's own reason. It may begin with the name of the error it stands for, and then with a column.
static int32_t reject_row_error(struct run *run, int64_t row, struct dray_str text) {
  char reason[256], column[128] = "";
  int32_t code = DRAY_E_DATA_TYPE;
  const char *colon = text.len > 0 ? memchr(text.data, ':', text.len < 64 ? (size_t)text.len : 64) : NULL;
  if (colon != NULL) {
    const struct dray_str name = dray_str_make(text.data, (uint64_t)(colon - text.data));
    const struct dray_error_info *info = dray_error_info_by_name(name);
    if (info != NULL && info->error_class == DRAY_CLASS_DATA) {
      code = info->code;
      const uint64_t skip = name.len + 1 + (name.len + 1 < text.len && colon[1] == ' ');
      text = dray_str_make(text.data + skip, text.len - skip);
      take_column(&text, column, sizeof(column));
    }
  }
  uint64_t len = text.len < sizeof(reason) - 1 ? text.len : sizeof(reason) - 1;
  while (len > 0 && !dray_text_valid(dray_str_make(text.data, len))) len--;
  memcpy(reason, text.data, (size_t)len);
  reason[len] = '\0';
  return reject(run, row, code, column, reason);
}

static int32_t take_row_errors(struct run *run) {
  const struct dr_caster *caster = run->caster;
  const struct dr_source *source = caster->row_error >= 0 ? &caster->sources[caster->row_error] : NULL;
  for (int64_t row = 0; source != NULL && row < run->rows; row++) {
    struct dr_value value;
    if (dr_source_is_null(source, row)) continue;
    const int32_t code = dr_source_load(source, row, &run->caster->scratch, &value, run->error);
    if (code != DRAY_OK && !is_data_error(code)) return code;
    DRAY_TRY(reject_row_error(run, row, code == DRAY_OK ? value.text : dray_str_of("the reason is not valid UTF-8")));
  }
  return DRAY_OK;
}

static int compare_rejects(const void *a, const void *b) {
  const struct dr_reject *left = a, *right = b;
  return left->row < right->row ? -1 : left->row > right->row;
}

// ---- absent values and tombstones ----

static int32_t no_memory(struct run *run) {
  return dray_fail(run->error, DRAY_E_OUT_OF_MEMORY, "no memory for a batch of %lld rows", (long long)run->rows);
}

static int32_t mark_absent(struct run *run, size_t field, int64_t row) {
  if (run->absent == NULL) run->absent = calloc(run->caster->target->field_count, sizeof(*run->absent));
  if (run->absent == NULL) return no_memory(run);
  if (run->absent[field] == NULL) run->absent[field] = calloc((size_t)run->rows / 8 + 1, 1);
  if (run->absent[field] == NULL) return no_memory(run);
  set_bit(run->absent[field], row);
  return DRAY_OK;
}

static int32_t take_absent(struct run *run) {
  const struct dr_caster *caster = run->caster;
  const struct dr_source *source = caster->absent >= 0 ? &caster->sources[caster->absent] : NULL;
  const size_t fields = caster->target->field_count;
  for (size_t i = 0; i < fields; i++) {
    for (int64_t row = 0; caster->plans[i].child < 0 && row < run->rows; row++) DRAY_TRY(mark_absent(run, i, row));
  }
  for (int64_t row = 0; source != NULL && row < run->rows; row++) {
    struct dr_value value;
    if (dr_source_is_null(source, row)) continue;
    DRAY_TRY(dr_source_load(source, row, &run->caster->scratch, &value, run->error));
    for (size_t i = 0; i < fields; i++) {
      const int64_t bit = caster->plans[i].absent_bit;
      if (caster->plans[i].child < 0 || bit < 0 || (uint64_t)bit / 8 >= value.text.len) continue;
      if ((uint8_t)value.text.data[bit / 8] >> (bit & 7) & 1) DRAY_TRY(mark_absent(run, i, row));
    }
  }
  return DRAY_OK;
}

static int32_t take_deleted(struct run *run) {
  const struct dr_caster *caster = run->caster;
  const struct dr_source *source = caster->deleted >= 0 ? &caster->sources[caster->deleted] : NULL;
  for (int64_t row = 0; source != NULL && row < run->rows; row++) {
    struct dr_value value;
    if (dr_source_is_null(source, row)) continue;
    DRAY_TRY(dr_source_load(source, row, &run->caster->scratch, &value, run->error));
    if (!value.integer) continue;
    if (run->deleted == NULL) run->deleted = calloc((size_t)run->rows / 8 + 1, 1);
    if (run->deleted == NULL) return no_memory(run);
    set_bit(run->deleted, row);
  }
  return DRAY_OK;
}

// ---- columns that are canonical already ----

static int same_layout(const struct dr_source *source, struct dray_type type) {
  switch (type.id) {
  case DRAY_TYPE_BOOL:
    return source->kind == DR_KIND_BOOL;
  case DRAY_TYPE_INT64:
    return source->kind == DR_KIND_INT && source->width == 8 && source->is_signed;
  case DRAY_TYPE_FLOAT64:
    return source->kind == DR_KIND_FLOAT && source->width == 8;
  case DRAY_TYPE_DECIMAL:
    return source->kind == DR_KIND_DECIMAL && source->width == 16 && source->scale == type.scale;
  case DRAY_TYPE_STRING:
  case DRAY_TYPE_BYTES:
    return source->kind == DR_KIND_TEXT && source->width == 4 && source->type.id == type.id;
  case DRAY_TYPE_DATE:
    return source->kind == DR_KIND_DATE && source->width == 4;
  case DRAY_TYPE_TIMESTAMP:
    return source->kind == DR_KIND_TIMESTAMP && source->per_second == 1000000;
  default:
    return 0; // JSON is made compact
  }
}

// Most text is ASCII without a NUL from end to end, which one look at all of it tells.
static int all_text_valid(const struct dr_source *source, int64_t rows) {
  const int64_t from = dr_load_index(source->values, 4, 1, source->offset);
  const int64_t to = dr_load_index(source->values, 4, 1, source->offset + rows);
  const char *data = source->data + from;
  uint64_t i = 0, odd = 0;
  for (; i + AT_ONCE * 8 <= (uint64_t)(to - from); i += AT_ONCE * 8) {
    uint64_t words[AT_ONCE];
    memcpy(words, data + i, sizeof(words));
    for (int k = 0; k < AT_ONCE; k++) odd |= dray_text_odd(words[k]);
  }
  for (; i < (uint64_t)(to - from); i++) odd |= (uint64_t)((signed char)data[i] <= 0);
  return odd == 0;
}

static int text_fits(const struct dr_source *source, int64_t row) {
  const int64_t at = row + source->offset;
  const int64_t from = dr_load_index(source->values, 4, 1, at), to = dr_load_index(source->values, 4, 1, at + 1);
  return dray_text_valid(dray_str_make(source->data + from, (uint64_t)(to - from)));
}

// Loops without a way out, which is what makes them fast; nulls may hold anything, so that a bad value among them only
// costs a second look.
static int dates_fit(const struct dr_source *source, int64_t rows) {
  const uint8_t *at = source->values + source->offset * 4;
  int outside = 0;
  int64_t row = 0;
  for (; row + AT_ONCE <= rows; row += AT_ONCE) {
    int32_t days[AT_ONCE];
    memcpy(days, at + row * 4, sizeof(days));
    for (int k = 0; k < AT_ONCE; k++) outside |= (days[k] < DRAY_DATE_MIN) | (days[k] > DRAY_DATE_MAX);
  }
  for (; row < rows; row++) {
    const int64_t days = dr_load_index(at, 4, 1, row);
    outside |= days < DRAY_DATE_MIN || days > DRAY_DATE_MAX;
  }
  return !outside;
}

// The top bit is set for what lies outside of a range: in the differences, which cannot overflow where the two top bits
// are the same, and in what says that they are not. Comparisons of 64 bits would go one by one.
static uint64_t outside_of(uint64_t us) {
  return (us - (uint64_t)DRAY_TIMESTAMP_MIN) | ((uint64_t)DRAY_TIMESTAMP_MAX - us) | (us ^ (us << 1));
}

static int timestamps_fit(const struct dr_source *source, int64_t rows) {
  const uint8_t *at = source->values + source->offset * 8;
  uint64_t outside = 0;
  int64_t row = 0;
  for (; row + AT_ONCE <= rows; row += AT_ONCE) {
    uint64_t us[AT_ONCE];
    memcpy(us, at + row * 8, sizeof(us));
    for (int k = 0; k < AT_ONCE; k++) outside |= outside_of(us[k]);
  }
  for (; row < rows; row++) outside |= outside_of((uint64_t)dr_load_index(at, 8, 1, row));
  return outside >> 63 == 0;
}

// Whether all are of at most 18 digits, and no more than `precision`: nearly all decimals are.
static int decimals_fit(const struct dr_source *source, int32_t precision, int64_t rows) {
  const uint8_t *at = source->values + source->offset * 16;
  uint64_t limit = 1, outside = 0;
  for (int32_t i = 0; i < precision && i < 18; i++) limit *= 10;
  for (int64_t row = 0; row < rows; row++) {
    uint64_t low, high;
    memcpy(&low, at + row * 16, 8);
    memcpy(&high, at + row * 16 + 8, 8);
    const uint64_t sign = 0 - (low >> 63); // what `high` holds of a number of 64 bits
    outside |= (high ^ sign) | (uint64_t)(((low ^ sign) - sign) >= limit);
  }
  return outside == 0;
}

static int decimal_fits(const struct dr_source *source, int32_t precision, int64_t row) {
  struct dray_decimal decimal;
  memcpy(&decimal, source->values + (row + source->offset) * 16, sizeof(decimal));
  return dray_decimal_fits(decimal, precision);
}

static int value_fits(const struct dr_source *source, struct dray_type type, int64_t row) {
  if (type.id == DRAY_TYPE_STRING) return text_fits(source, row);
  if (type.id == DRAY_TYPE_DECIMAL) return decimal_fits(source, type.precision, row);
  const int64_t value = dr_load_index(source->values, source->width, 1, row + source->offset);
  if (type.id == DRAY_TYPE_DATE) return value >= DRAY_DATE_MIN && value <= DRAY_DATE_MAX;
  return value >= DRAY_TIMESTAMP_MIN && value <= DRAY_TIMESTAMP_MAX;
}

// Whether one look at the whole column tells that all is well; 0 tells nothing.
static int fits_at_a_glance(const struct dr_source *source, struct dray_type type, int64_t rows) {
  switch (type.id) {
  case DRAY_TYPE_STRING:
    return all_text_valid(source, rows);
  case DRAY_TYPE_DATE:
    return dates_fit(source, rows);
  case DRAY_TYPE_TIMESTAMP:
    return timestamps_fit(source, rows);
  case DRAY_TYPE_DECIMAL:
    return decimals_fit(source, type.precision, rows);
  default:
    return 1; // every value is one that the type allows
  }
}

// 1 when every value of the column is one that the type allows, and no absent one has a value.
static int all_fit(const struct dr_source *source, struct dray_type type, const uint8_t *absent, int64_t rows) {
  for (int64_t row = 0; absent != NULL && row < rows; row++) {
    if (bit_of(absent, row) && !dr_source_is_null(source, row)) return 0;
  }
  if (fits_at_a_glance(source, type, rows)) return 1;
  for (int64_t row = 0; row < rows; row++) {
    if (!value_fits(source, type, row) && !dr_source_is_null(source, row)) return 0;
  }
  return 1;
}

static int can_move(const struct run *run, size_t field) {
  const struct plan *plan = &run->caster->plans[field];
  const struct dr_source *source = &run->caster->sources[plan->child];
  const struct dray_type type = run->caster->target->fields[field].type;
  const size_t width = dr_type_width(type.id), align = dr_type_is_text(type.id) ? 4 : width > 8 ? 8 : width;
  if (plan->shared || !same_layout(source, type)) return 0;
  if (align > 0 && (uintptr_t)source->values % align != 0) return 0;
  return all_fit(source, type, run->absent != NULL ? run->absent[field] : NULL, run->rows);
}

// ---- columns that are not ----

static int32_t copy_nulls(const struct run *run, const struct dr_source *source, const uint8_t *absent,
                          struct dr_fill *fill) {
  if (source->validity == NULL && absent == NULL) return DRAY_OK;
  fill->validity = calloc((size_t)run->rows / 8 + 1, 1);
  if (fill->validity == NULL) return DRAY_E_OUT_OF_MEMORY;
  for (int64_t row = 0; row < run->rows; row++) {
    if (dr_source_is_null(source, row) || bit_of(absent, row)) {
      fill->nulls++;
    } else {
      set_bit(fill->validity, row);
    }
  }
  return DRAY_OK;
}

// Called with constants, so that each becomes a plain loop.
static inline __attribute__((always_inline)) void widen_ints(int64_t *to, const uint8_t *from, int64_t rows,
                                                             int32_t width, int32_t is_signed) {
  for (int64_t row = 0; row < rows; row++) to[row] = dr_load_index(from, width, is_signed, row);
}

static void widen_floats(double *to, const uint8_t *from, int64_t rows) {
  for (int64_t row = 0; row < rows; row++) {
    float single;
    memcpy(&single, from + row * 4, sizeof(single));
    to[row] = (double)single;
  }
}

// Small integers and single floats always fit. 0 when the column is neither.
static int widen(const struct run *run, const struct dr_source *source, struct dr_fill *fill) {
  const int floats = source->kind == DR_KIND_FLOAT && source->width == 4 && fill->type.id == DRAY_TYPE_FLOAT64;
  const int ints = source->kind == DR_KIND_INT && source->width < 8 && fill->type.id == DRAY_TYPE_INT64;
  if (!floats && !ints) return 0;
  const uint8_t *from = source->values + source->offset * source->width;
  const int64_t rows = run->rows;
  if (floats) {
    widen_floats(fill->values, from, rows);
    return 1;
  }
  if (source->width == 4) {
    if (source->is_signed)
      widen_ints(fill->values, from, rows, 4, 1);
    else
      widen_ints(fill->values, from, rows, 4, 0);
  } else if (source->width == 2) {
    if (source->is_signed)
      widen_ints(fill->values, from, rows, 2, 1);
    else
      widen_ints(fill->values, from, rows, 2, 0);
  } else {
    if (source->is_signed)
      widen_ints(fill->values, from, rows, 1, 1);
    else
      widen_ints(fill->values, from, rows, 1, 0);
  }
  return 1;
}

static int32_t convert_value(struct run *run, size_t field, int64_t row, struct dr_fill *fill) {
  struct dr_caster *caster = run->caster;
  struct dr_value value;
  int32_t code =
      dr_source_load(&caster->sources[caster->plans[field].child], row, &caster->scratch, &value, run->error);
  if (code == DRAY_OK) code = dr_coerce(&value, fill, &caster->scratch, run->error);
  if (code == DRAY_OK || !is_data_error(code)) return code;
  if (caster->policy == DR_CAST_REJECT_ROW) {
    DRAY_TRY(reject(run, row, code, caster->target->fields[field].name, run->error->text));
  }
  return dr_fill_null(fill, run->error);
}

static int32_t convert_column(struct run *run, size_t field, struct dr_fill *fill) {
  const ptrdiff_t child = run->caster->plans[field].child;
  const struct dr_source *source = child >= 0 ? &run->caster->sources[child] : NULL;
  const uint8_t *absent = run->absent != NULL ? run->absent[field] : NULL;
  if (source != NULL && widen(run, source, fill)) {
    if (copy_nulls(run, source, absent, fill) != DRAY_OK) return no_memory(run);
    fill->count = (uint64_t)run->rows;
    return DRAY_OK;
  }
  for (int64_t row = 0; row < run->rows; row++) {
    const int null = source == NULL || dr_source_is_null(source, row) || bit_of(absent, row);
    DRAY_TRY(null ? dr_fill_null(fill, run->error) : convert_value(run, field, row, fill));
  }
  return DRAY_OK;
}

static int32_t cast_column(struct run *run, size_t field, struct ArrowArray *out) {
  const struct plan *plan = &run->caster->plans[field];
  if (plan->child >= 0 && can_move(run, field)) {
    dr_struct_array_take(run->array, plan->child, out);
    return DRAY_OK;
  }
  struct dr_fill fill;
  DRAY_TRY(dr_fill_begin(&fill, run->caster->target->fields[field].type, (uint64_t)run->rows, run->error));
  int32_t code = convert_column(run, field, &fill);
  if (code == DRAY_OK) code = dr_fill_finish(&fill, out, run->error);
  dr_fill_free(&fill);
  return code;
}

// ---- one batch ----

static int32_t bind_array(struct run *run) {
  const struct dr_caster *caster = run->caster;
  const struct ArrowArray *array = run->array;
  if (array->length < 0 || array->offset < 0 || array->n_children != (int64_t)caster->child_count ||
      (array->n_children > 0 && array->children == NULL) || array->offset > INT64_MAX - array->length) {
    return dray_fail(run->error, DRAY_E_PLUGIN_CONTRACT, "a batch of %lld rows and %lld columns is not of its schema",
                     (long long)array->length, (long long)array->n_children);
  }
  const uint8_t *validity =
      array->null_count != 0 && array->n_buffers > 0 && array->buffers != NULL ? array->buffers[0] : NULL;
  for (int64_t i = array->offset; validity != NULL && i < array->offset + array->length; i++) {
    if (bit_of(validity, i)) continue;
    return dray_fail(run->error, DRAY_E_PLUGIN_CONTRACT, "row %lld of a batch is null as a whole",
                     (long long)(i - array->offset));
  }
  for (size_t i = 0; i < caster->child_count; i++) {
    if (caster->sources[i].kind == 0) continue;
    DRAY_TRY(dr_source_bind(&caster->sources[i], array->children[i], array->offset, array->length, run->error));
  }
  return DRAY_OK;
}

static int32_t cast_columns(struct run *run, struct dr_batch **out) {
  struct ArrowArray array;
  const size_t fields = run->caster->target->field_count;
  DRAY_TRY(dr_struct_array_new(fields, run->rows, &array, run->error));
  int32_t code = DRAY_OK;
  for (size_t i = 0; i < fields && code == DRAY_OK; i++) code = cast_column(run, i, array.children[i]);
  if (code == DRAY_OK) code = dr_batch_wrap(run->caster->target, &array, out, run->error);
  dray_array_release(&array);
  return code;
}

// Says of the rejected rows which they are, as far as their keys could be read.
static int32_t tell_keys(struct run *run, const struct dr_batch *batch) {
  const struct dr_caster *caster = run->caster;
  for (size_t i = run->rejects->count - run->bad_count; i < run->rejects->count; i++) {
    struct dr_reject *reject = &run->rejects->items[i];
    DRAY_TRY(dr_reject_tell(reject, batch, caster->key, caster->key_count, reject->row - run->first_row, run->error));
  }
  return DRAY_OK;
}

// Leaves the rejected rows out.
static int32_t drop_rejected(struct run *run, struct dr_batch **batch) {
  struct dr_batch *kept = NULL;
  size_t count = 0;
  if (run->bad_count == 0) return DRAY_OK;
  uint32_t *rows = malloc(((size_t)run->rows + 1) * sizeof(*rows));
  if (rows == NULL) return no_memory(run);
  for (int64_t row = 0; row < run->rows; row++) {
    if (!run->bad[row]) rows[count++] = (uint32_t)row;
  }
  const int32_t code = dr_batch_gather(*batch, rows, count, &kept, run->error);
  free(rows);
  if (code != DRAY_OK) return code;
  dr_batch_free(*batch);
  *batch = kept;
  return DRAY_OK;
}

static int32_t cast_rows(struct run *run, struct dr_batch **out) {
  struct dr_batch *batch = NULL;
  DRAY_TRY(bind_array(run));
  DRAY_TRY(take_row_errors(run));
  DRAY_TRY(take_absent(run));
  DRAY_TRY(take_deleted(run));
  DRAY_TRY(cast_columns(run, &batch));
  batch->absent = run->absent;
  batch->deleted = run->deleted;
  run->absent = NULL;
  run->deleted = NULL;
  batch->first_row = run->first_row;
  int32_t code = run->bad_count > 0 ? tell_keys(run, batch) : DRAY_OK;
  if (code == DRAY_OK) code = drop_rejected(run, &batch);
  if (code != DRAY_OK) {
    dr_batch_free(batch);
    return code;
  }
  *out = batch;
  return DRAY_OK;
}

int32_t dr_caster_run(struct dr_caster *caster, struct ArrowArray *array, uint64_t first_row, struct dr_batch **out,
                      struct dr_rejects *rejects, struct dray_error *error) {
  struct dray_error own; // also for values that are rejected, which is no failure of the call
  const size_t before = rejects->count;
  dray_error_init(&own);
  if (array->release == NULL || array->length == 0) {
    struct ArrowArray none = {.release = NULL};
    dray_array_release(array);
    const int32_t code = dr_batch_wrap(caster->target, &none, out, error);
    if (code == DRAY_OK) (*out)->first_row = first_row;
    return code;
  }
  struct run run = {.caster = caster,
                    .array = array,
                    .rows = array->length,
                    .first_row = first_row,
                    .rejects = rejects,
                    .error = &own};
  const int32_t code = cast_rows(&run, out);
  if (code != DRAY_OK) {
    rejects->count = before;
    (void)dray_fail_field(error, code, own.field, "%s", own.text);
  }
  if (rejects->count - before > 1) {
    qsort(rejects->items + before, rejects->count - before, sizeof(*rejects->items), compare_rejects);
  }
  for (size_t i = 0; run.absent != NULL && i < caster->target->field_count; i++) free(run.absent[i]);
  free(run.absent);
  free(run.deleted);
  free(run.bad);
  dray_array_release(array);
  return code;
}
