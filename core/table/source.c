// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Arrow's format strings, read into a tree of sources (https://arrow.apache.org/docs/format/CDataInterface.html).
// Which canonical type holds which Arrow type is decided here and nowhere else; README.md shows it as a table.
#include "table/source.h"

#include <stdlib.h>

#define DEPTH_MAX 32 // half of what JSON may nest, since a map takes two levels

#define SECONDS 1
#define MILLIS 1000
#define MICROS 1000000
#define NANOS 1000000000

#define TYPE(name)                                                                                                     \
  { DRAY_TYPE_##name, 0, 0 }

struct plain_format {
  const char *format;
  int32_t kind, width, is_signed;
  int64_t per_second;
  struct dray_type type;
};

static const struct plain_format plain_formats[] = {
    {"n", DR_KIND_NULL, 0, 0, 0, TYPE(STRING)},
    {"b", DR_KIND_BOOL, 0, 0, 0, TYPE(BOOL)},
    {"c", DR_KIND_INT, 1, 1, 0, TYPE(INT64)},
    {"C", DR_KIND_INT, 1, 0, 0, TYPE(INT64)},
    {"s", DR_KIND_INT, 2, 1, 0, TYPE(INT64)},
    {"S", DR_KIND_INT, 2, 0, 0, TYPE(INT64)},
    {"i", DR_KIND_INT, 4, 1, 0, TYPE(INT64)},
    {"I", DR_KIND_INT, 4, 0, 0, TYPE(INT64)},
    {"l", DR_KIND_INT, 8, 1, 0, TYPE(INT64)},
    {"L", DR_KIND_INT, 8, 0, 0, {DRAY_TYPE_DECIMAL, 20, 0}},
    {"e", DR_KIND_FLOAT, 2, 0, 0, TYPE(FLOAT64)},
    {"f", DR_KIND_FLOAT, 4, 0, 0, TYPE(FLOAT64)},
    {"g", DR_KIND_FLOAT, 8, 0, 0, TYPE(FLOAT64)},
    {"u", DR_KIND_TEXT, 4, 0, 0, TYPE(STRING)},
    {"U", DR_KIND_TEXT, 8, 0, 0, TYPE(STRING)},
    {"vu", DR_KIND_TEXT_VIEW, 16, 0, 0, TYPE(STRING)},
    {"z", DR_KIND_TEXT, 4, 0, 0, TYPE(BYTES)},
    {"Z", DR_KIND_TEXT, 8, 0, 0, TYPE(BYTES)},
    {"vz", DR_KIND_TEXT_VIEW, 16, 0, 0, TYPE(BYTES)},
    {"tdD", DR_KIND_DATE, 4, 1, 0, TYPE(DATE)},
    {"tdm", DR_KIND_DATE, 8, 1, 0, TYPE(DATE)},
    {"tts", DR_KIND_TIME, 4, 1, SECONDS, TYPE(STRING)},
    {"ttm", DR_KIND_TIME, 4, 1, MILLIS, TYPE(STRING)},
    {"ttu", DR_KIND_TIME, 8, 1, MICROS, TYPE(STRING)},
    {"ttn", DR_KIND_TIME, 8, 1, NANOS, TYPE(STRING)},
    {"tDs", DR_KIND_DURATION, 8, 1, SECONDS, TYPE(INT64)},
    {"tDm", DR_KIND_DURATION, 8, 1, MILLIS, TYPE(INT64)},
    {"tDu", DR_KIND_DURATION, 8, 1, MICROS, TYPE(INT64)},
    {"tDn", DR_KIND_DURATION, 8, 1, NANOS, TYPE(INT64)},
    {"+l", DR_KIND_LIST, 4, 0, 0, TYPE(JSON)},
    {"+L", DR_KIND_LIST, 8, 0, 0, TYPE(JSON)},
    {"+s", DR_KIND_STRUCT, 0, 0, 0, TYPE(JSON)},
    {"+m", DR_KIND_MAP, 4, 0, 0, TYPE(JSON)},
};

// Formats with something behind a colon.
static const struct plain_format prefixed_formats[] = {
    {"tss:", DR_KIND_TIMESTAMP, 8, 1, SECONDS, TYPE(TIMESTAMP)},
    {"tsm:", DR_KIND_TIMESTAMP, 8, 1, MILLIS, TYPE(TIMESTAMP)},
    {"tsu:", DR_KIND_TIMESTAMP, 8, 1, MICROS, TYPE(TIMESTAMP)},
    {"tsn:", DR_KIND_TIMESTAMP, 8, 1, NANOS, TYPE(TIMESTAMP)},
    {"w:", DR_KIND_FIXED, 0, 0, 0, TYPE(BYTES)},
    {"+w:", DR_KIND_FIXED_LIST, 0, 0, 0, TYPE(JSON)},
    {"d:", DR_KIND_DECIMAL, 16, 1, 0, TYPE(DECIMAL)},
};

static int32_t no_type(const struct ArrowSchema *schema, const char *why, struct dray_error *error) {
  const char *name = schema->name != NULL ? schema->name : "";
  return dray_fail_field(error, DRAY_E_SCHEMA_TYPE, name, "column '%s' has the Arrow type '%s', which %s", name,
                         schema->format, why);
}

// Up to `max` numbers with commas between; how many, or -1.
static int take_numbers(const char *text, int32_t *out, int max) {
  int count = 0;
  for (;;) {
    struct dray_str number = dray_str_make(text, strcspn(text, ","));
    int64_t value = 0;
    if (count == max || dray_parse_int64(number, &value, NULL) != DRAY_OK) return -1;
    if (value < -1000 || value > INT32_MAX) return -1;
    out[count++] = (int32_t)value;
    if (text[number.len] == '\0') return count;
    text += number.len + 1;
  }
}

// The canonical decimal that holds every value. A negative scale needs more digits before the point. Beyond 38 digits
// the type promises more than a value may keep: then each value is looked at.
static int32_t parse_decimal(const struct ArrowSchema *schema, struct dr_source *out, struct dray_error *error) {
  int32_t numbers[3] = {0, 0, 128};
  if (take_numbers(schema->format + 2, numbers, 3) < 2) return no_type(schema, "is malformed", error);
  int32_t precision = numbers[0];
  const int32_t bits = numbers[2];
  out->scale = numbers[1];
  out->width = bits / 8;
  if ((bits != 32 && bits != 64 && bits != 128 && bits != 256) || precision < 1 || precision > 76) {
    return no_type(schema, "is not a decimal that is known", error);
  }
  if (out->scale > DRAY_DECIMAL_PRECISION_MAX || out->scale < -DRAY_DECIMAL_PRECISION_MAX) {
    return no_type(schema, "has more digits than a decimal keeps", error);
  }
  if (out->scale < 0) precision -= out->scale;
  if (precision < out->scale) precision = out->scale;
  if (precision > DRAY_DECIMAL_PRECISION_MAX) precision = DRAY_DECIMAL_PRECISION_MAX;
  out->type = (struct dray_type){DRAY_TYPE_DECIMAL, precision, out->scale > 0 ? out->scale : 0};
  return DRAY_OK;
}

static int32_t parse_prefixed(const struct ArrowSchema *schema, struct dr_source *out, struct dray_error *error) {
  const char *numbers = strchr(schema->format, ':') + 1;
  if (out->kind == DR_KIND_DECIMAL) return parse_decimal(schema, out, error);
  if (out->kind == DR_KIND_TIMESTAMP) return DRAY_OK;
  if (take_numbers(numbers, &out->width, 1) != 1 || out->width < 0) return no_type(schema, "is malformed", error);
  return DRAY_OK;
}

static int32_t parse_format(const struct ArrowSchema *schema, struct dr_source *out, struct dray_error *error) {
  const struct plain_format *found = NULL;
  for (size_t i = 0; i < sizeof(plain_formats) / sizeof(plain_formats[0]); i++) {
    if (strcmp(schema->format, plain_formats[i].format) == 0) found = &plain_formats[i];
  }
  int prefixed = 0;
  for (size_t i = 0; i < sizeof(prefixed_formats) / sizeof(prefixed_formats[0]); i++) {
    const char *prefix = prefixed_formats[i].format;
    if (strncmp(schema->format, prefix, strlen(prefix)) != 0) continue;
    found = &prefixed_formats[i];
    prefixed = 1;
  }
  if (found == NULL) return no_type(schema, "has no canonical form; cast it at the source", error);
  out->kind = found->kind;
  out->width = found->width;
  out->is_signed = found->is_signed;
  out->per_second = found->per_second;
  out->type = found->type;
  return prefixed ? parse_prefixed(schema, out, error) : DRAY_OK;
}

static void apply_extension(struct dr_source *source, struct dray_str extension) {
  if (source->type.id == DRAY_TYPE_STRING && source->kind != DR_KIND_TIME && dray_str_is(extension, "arrow.json")) {
    source->type.id = DRAY_TYPE_JSON;
  }
  if (source->kind == DR_KIND_FIXED && source->width == 16 && dray_str_is(extension, "arrow.uuid")) {
    source->type.id = DRAY_TYPE_STRING;
    source->is_uuid = 1;
  }
}

static int32_t parse(const struct ArrowSchema *schema, int depth, struct dr_source *out, struct dray_error *error);

static int32_t parse_children(const struct ArrowSchema *schema, int depth, struct dr_source *out,
                              struct dray_error *error) {
  static const int8_t wanted[] = {
      [DR_KIND_LIST] = 1, [DR_KIND_FIXED_LIST] = 1, [DR_KIND_MAP] = 1, [DR_KIND_STRUCT] = -1, [DR_KIND_DICTIONARY] = 0};
  const int64_t count = schema->n_children;
  if (count < 0 || count > DRAY_COLUMNS_MAX || (count > 0 && schema->children == NULL) ||
      (wanted[out->kind] >= 0 && count != wanted[out->kind])) {
    return no_type(schema, "has the wrong number of children", error);
  }
  if (count == 0) return DRAY_OK;
  out->children = calloc((size_t)count, sizeof(*out->children));
  if (out->children == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  out->child_count = (size_t)count;
  for (int64_t i = 0; i < count; i++) DRAY_TRY(parse(schema->children[i], depth + 1, &out->children[i], error));
  if (out->kind == DR_KIND_MAP && (out->children[0].kind != DR_KIND_STRUCT || out->children[0].child_count != 2)) {
    return no_type(schema, "is a map without keys and values", error);
  }
  return DRAY_OK;
}

static int32_t parse_dictionary(const struct ArrowSchema *schema, int depth, struct dr_source *out,
                                struct dray_error *error) {
  if (out->kind != DR_KIND_INT) return no_type(schema, "is a dictionary without integer indices", error);
  out->dictionary = calloc(1, sizeof(*out->dictionary));
  if (out->dictionary == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  DRAY_TRY(parse(schema->dictionary, depth + 1, out->dictionary, error));
  apply_extension(out->dictionary, dray_schema_extension(schema));
  out->kind = DR_KIND_DICTIONARY;
  out->type = out->dictionary->type;
  return DRAY_OK;
}

static int32_t parse(const struct ArrowSchema *schema, int depth, struct dr_source *out, struct dray_error *error) {
  if (schema == NULL || schema->format == NULL) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "an Arrow schema is released or malformed");
  }
  if (depth > DEPTH_MAX) return dray_fail(error, DRAY_E_LIMIT, "an Arrow type is nested deeper than %d", DEPTH_MAX);
  if (!dray_text_valid(dray_str_of(schema->name))) {
    return dray_fail(error, DRAY_E_SCHEMA_NAME, "a column name is not valid UTF-8");
  }
  out->name = dray_str_dup(dray_str_of(schema->name));
  if (out->name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema");
  DRAY_TRY(parse_format(schema, out, error));
  if (schema->dictionary != NULL) DRAY_TRY(parse_dictionary(schema, depth, out, error));
  apply_extension(out, dray_schema_extension(schema));
  return parse_children(schema, depth, out, error);
}

int32_t dr_source_parse(const struct ArrowSchema *schema, struct dr_source *out, struct dray_error *error) {
  struct dr_source source;
  memset(&source, 0, sizeof(source));
  const int32_t code = parse(schema, 0, &source, error);
  if (code != DRAY_OK) {
    dr_source_free(&source);
    return code;
  }
  *out = source;
  return DRAY_OK;
}

void dr_source_free(struct dr_source *source) {
  if (source == NULL) return;
  for (size_t i = 0; i < source->child_count; i++) dr_source_free(&source->children[i]);
  free(source->children);
  dr_source_free(source->dictionary);
  free(source->dictionary);
  free(source->name);
  memset(source, 0, sizeof(*source));
}
