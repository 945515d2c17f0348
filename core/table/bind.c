// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Binding a parsed column to an array that a plugin laid out. Everything that a later read relies on is checked here,
// once for the whole array, so that reading a value needs no checks.
#include "table/source.h"

static int32_t malformed(const struct dr_source *source, const char *what, int64_t value, struct dray_error *error) {
  return dray_fail_field(error, DRAY_E_PLUGIN_CONTRACT, source->name,
                         "the Arrow array of column '%s' is malformed: %s (%lld)", source->name, what,
                         (long long)value);
}

static int64_t buffer_count(int32_t kind) {
  static const int8_t counts[] = {
      [DR_KIND_NULL] = 0,      [DR_KIND_BOOL] = 2,       [DR_KIND_INT] = 2,       [DR_KIND_FLOAT] = 2,
      [DR_KIND_DECIMAL] = 2,   [DR_KIND_TEXT] = 3,       [DR_KIND_TEXT_VIEW] = 3, [DR_KIND_FIXED] = 2,
      [DR_KIND_DATE] = 2,      [DR_KIND_TIME] = 2,       [DR_KIND_TIMESTAMP] = 2, [DR_KIND_DURATION] = 2,
      [DR_KIND_LIST] = 2,      [DR_KIND_FIXED_LIST] = 1, [DR_KIND_STRUCT] = 1,    [DR_KIND_MAP] = 2,
      [DR_KIND_DICTIONARY] = 2};
  return counts[kind];
}

static int32_t check_shape(const struct dr_source *source, const struct ArrowArray *array, int64_t first,
                           int64_t length, struct dray_error *error) {
  if (array == NULL || array->release == NULL) return malformed(source, "it is released", 0, error);
  if (array->length < 0 || array->offset < 0 || array->offset > INT64_MAX - array->length) {
    return malformed(source, "its length or offset is impossible", array->length, error);
  }
  if (array->length - first < length) return malformed(source, "it is too short", array->length, error);
  if (array->null_count < -1 || array->null_count > array->length) {
    return malformed(source, "its null count is impossible", array->null_count, error);
  }
  const int64_t wanted = buffer_count(source->kind);
  const int enough = source->kind == DR_KIND_TEXT_VIEW ? array->n_buffers >= wanted : array->n_buffers == wanted;
  if (source->kind == DR_KIND_NULL) return DRAY_OK; // some exporters give it a bitmap
  if (!enough || array->buffers == NULL) {
    return malformed(source, "it has the wrong number of buffers", array->n_buffers, error);
  }
  if (array->n_children != (int64_t)source->child_count || (array->n_children > 0 && array->children == NULL)) {
    return malformed(source, "it has the wrong number of children", array->n_children, error);
  }
  if (array->null_count > 0 && array->buffers[0] == NULL) {
    return malformed(source, "it has nulls and no validity bitmap", array->null_count, error);
  }
  if (length > 0 && wanted > 1 && array->buffers[1] == NULL) return malformed(source, "a buffer is missing", 1, error);
  return DRAY_OK;
}

static int wide_offsets_rise(const uint8_t *values, int64_t first, int64_t length) {
  int fall = 0;
  for (int64_t i = first; i < first + length; i++) {
    fall |= dr_load_index(values, 8, 1, i + 1) < dr_load_index(values, 8, 1, i);
  }
  return !fall;
}

// Offsets of text, lists and maps: they begin at 0 or later and never fall. Writes the last one.
static int32_t check_offsets(const struct dr_source *source, int64_t length, int64_t *out_last,
                             struct dray_error *error) {
  const int64_t first = dr_load_index(source->values, source->width, 1, source->offset);
  if (first < 0) return malformed(source, "an offset is negative", first, error);
  const int rise = source->width == 4 ? dray_offsets_rise(source->values + source->offset * 4, (uint64_t)length)
                                      : wide_offsets_rise(source->values, source->offset, length);
  if (!rise) return malformed(source, "its offsets fall", first, error);
  *out_last = dr_load_index(source->values, source->width, 1, source->offset + length);
  return DRAY_OK;
}

// A view is a length, then either up to 12 bytes, or 4 bytes of them again, a buffer's number and an offset into it.
static int32_t check_views(const struct dr_source *source, const struct ArrowArray *array, int64_t length,
                           struct dray_error *error) {
  const int64_t variadic = array->n_buffers - 3;
  const uint8_t *sizes = array->buffers[array->n_buffers - 1];
  for (int64_t i = 0; i < length; i++) {
    int32_t view[4];
    memcpy(view, source->values + (i + source->offset) * 16, sizeof(view));
    if (dr_source_is_null(source, i) || (view[0] >= 0 && view[0] <= 12)) continue;
    if (view[0] < 0 || view[2] < 0 || view[2] >= variadic || sizes == NULL) {
      return malformed(source, "a view points nowhere", view[2], error);
    }
    const int64_t size = dr_load_index(sizes, 8, 1, view[2]);
    if (view[3] < 0 || view[3] > size - view[0] || source->buffers[2 + view[2]] == NULL) {
      return malformed(source, "a view points outside its buffer", view[3], error);
    }
  }
  return DRAY_OK;
}

static int32_t bind_dictionary(struct dr_source *source, const struct ArrowArray *array, int64_t length,
                               struct dray_error *error) {
  const struct ArrowArray *dictionary = array->dictionary;
  if (dictionary == NULL) return malformed(source, "its dictionary is missing", 0, error);
  DRAY_TRY(dr_source_bind(source->dictionary, dictionary, 0, dictionary->length, error));
  for (int64_t i = 0; i < length; i++) {
    const int64_t at = i + source->offset;
    if (source->validity != NULL && (source->validity[at >> 3] >> (at & 7) & 1) == 0) continue;
    const int64_t index = dr_load_index(source->values, source->width, source->is_signed, at);
    if (index < 0 || index >= dictionary->length) {
      return malformed(source, "an index is outside its dictionary", index, error);
    }
  }
  return DRAY_OK;
}

static int32_t bind_nested(struct dr_source *source, const struct ArrowArray *array, int64_t length,
                           struct dray_error *error) {
  int64_t last = 0;
  switch (source->kind) {
  case DR_KIND_LIST:
  case DR_KIND_MAP:
    if (length > 0) DRAY_TRY(check_offsets(source, length, &last, error));
    return dr_source_bind(&source->children[0], array->children[0], 0, last, error);
  case DR_KIND_FIXED_LIST:
    if (source->width > 0 && source->offset > INT64_MAX / source->width - length) {
      return malformed(source, "its offset is impossible", source->offset, error);
    }
    return dr_source_bind(&source->children[0], array->children[0], 0, (source->offset + length) * source->width,
                          error);
  case DR_KIND_STRUCT:
    for (size_t i = 0; i < source->child_count; i++) {
      DRAY_TRY(dr_source_bind(&source->children[i], array->children[i], source->offset, length, error));
    }
    return DRAY_OK;
  default:
    return DRAY_OK;
  }
}

int32_t dr_source_bind(struct dr_source *source, const struct ArrowArray *array, int64_t first, int64_t length,
                       struct dray_error *error) {
  int64_t last = 0;
  DRAY_TRY(check_shape(source, array, first, length, error));
  if (source->kind == DR_KIND_NULL) return DRAY_OK;
  source->offset = array->offset + first;
  source->validity = array->null_count == 0 ? NULL : array->buffers[0];
  source->values = array->n_buffers > 1 ? array->buffers[1] : NULL;
  source->buffers = array->buffers;
  if (source->kind == DR_KIND_DICTIONARY) return bind_dictionary(source, array, length, error);
  if (source->child_count > 0) return bind_nested(source, array, length, error);
  if (source->kind == DR_KIND_TEXT_VIEW) return check_views(source, array, length, error);
  if (source->kind != DR_KIND_TEXT) return DRAY_OK;
  source->data = array->buffers[2];
  if (length > 0) DRAY_TRY(check_offsets(source, length, &last, error));
  if (source->data != NULL) return DRAY_OK;
  if (last > 0 && last != dr_load_index(source->values, source->width, 1, source->offset)) {
    return malformed(source, "its bytes are missing", last, error);
  }
  source->data = "";
  return DRAY_OK;
}
