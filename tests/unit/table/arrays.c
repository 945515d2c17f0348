// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "arrays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static void *allocate(size_t bytes) {
  void *memory = calloc(1, bytes + 1);
  assert_non_null(memory);
  return memory;
}

// ---- schemas ----

static void release_schema(struct ArrowSchema *schema) {
  for (int64_t i = 0; i < schema->n_children; i++) {
    dray_schema_release(schema->children[i]);
    free(schema->children[i]);
  }
  dray_schema_release(schema->dictionary);
  free(schema->dictionary);
  free(schema->children);
  free(schema->private_data); // metadata
  schema->release = NULL;
}

void arrow_schema(struct ArrowSchema *out, const char *format, const char *name, int64_t child_count) {
  *out = (struct ArrowSchema){.format = format,
                              .name = name,
                              .flags = ARROW_FLAG_NULLABLE,
                              .n_children = child_count,
                              .release = release_schema};
  out->children = allocate((size_t)child_count * sizeof(void *));
  for (int64_t i = 0; i < child_count; i++) out->children[i] = allocate(sizeof(struct ArrowSchema));
}

void arrow_extension(struct ArrowSchema *schema, const char *extension) {
  static const char key[] = "ARROW:extension:name";
  const int32_t count = 1, key_bytes = (int32_t)strlen(key), value_bytes = (int32_t)strlen(extension);
  char *at = schema->private_data = allocate(12 + sizeof(key) + strlen(extension));
  schema->metadata = at;
  memcpy(at, &count, 4);
  memcpy(at + 4, &key_bytes, 4);
  memcpy(at + 8, key, (size_t)key_bytes);
  memcpy(at + 8 + key_bytes, &value_bytes, 4);
  memcpy(at + 12 + key_bytes, extension, (size_t)value_bytes);
}

struct ArrowSchema *arrow_schema_dictionary(struct ArrowSchema *schema, const char *format) {
  schema->dictionary = allocate(sizeof(*schema->dictionary));
  arrow_schema(schema->dictionary, format, NULL, 0);
  return schema->dictionary;
}

// ---- arrays ----

static void release_array(struct ArrowArray *array) {
  for (int64_t i = 0; i < array->n_children; i++) {
    dray_array_release(array->children[i]);
    free(array->children[i]);
  }
  dray_array_release(array->dictionary);
  free(array->dictionary);
  free(array->children);
  for (int64_t i = 0; i < array->n_buffers; i++) free((void *)(uintptr_t)array->buffers[i]);
  free((void *)(uintptr_t)array->buffers);
  array->release = NULL;
}

void arrow_array(struct ArrowArray *out, int64_t length, int64_t buffer_count, int64_t child_count) {
  *out = (struct ArrowArray){
      .length = length, .n_buffers = buffer_count, .n_children = child_count, .release = release_array};
  out->buffers = allocate((size_t)buffer_count * sizeof(void *));
  out->children = allocate((size_t)child_count * sizeof(void *));
  for (int64_t i = 0; i < child_count; i++) out->children[i] = allocate(sizeof(struct ArrowArray));
}

void arrow_buffer(struct ArrowArray *array, int64_t index, const void *data, size_t bytes) {
  // Exactly as large as needed, so that a read beyond it is seen.
  void *copy = malloc(bytes > 0 ? bytes : 1);
  assert_non_null(copy);
  if (bytes > 0) memcpy(copy, data, bytes);
  free((void *)(uintptr_t)array->buffers[index]);
  array->buffers[index] = copy;
}

struct ArrowArray *arrow_array_dictionary(struct ArrowArray *array) {
  array->dictionary = allocate(sizeof(*array->dictionary));
  return array->dictionary;
}

void arrow_validity(struct ArrowArray *array, const char *valid) {
  uint8_t bits[64] = {0};
  const size_t count = strlen(valid);
  assert_true(count <= sizeof(bits) * 8);
  array->null_count = 0;
  for (size_t i = 0; i < count; i++) {
    if (valid[i] == '1') {
      bits[i / 8] |= (uint8_t)(1u << (i % 8));
    } else {
      array->null_count++;
    }
  }
  arrow_buffer(array, 0, bits, count / 8 + 1);
}

void arrow_values(struct ArrowArray *out, int64_t length, const void *values, size_t width) {
  arrow_array(out, length, 2, 0);
  arrow_buffer(out, 1, values, (size_t)length * width);
}

void arrow_texts(struct ArrowArray *out, const char *const *texts, int64_t length, int width) {
  char data[4096], valid[512];
  int32_t small[256] = {0};
  int64_t large[256] = {0};
  size_t used = 0, nulls = 0;
  assert_true(length < 256);
  for (int64_t i = 0; i < length; i++) {
    const size_t len = texts[i] != NULL ? strlen(texts[i]) : 0;
    assert_true(used + len <= sizeof(data));
    if (len > 0) memcpy(data + used, texts[i], len);
    used += len;
    valid[i] = texts[i] != NULL ? '1' : '0';
    nulls += texts[i] == NULL;
    small[i + 1] = (int32_t)used;
    large[i + 1] = (int64_t)used;
  }
  valid[length] = '\0';
  arrow_array(out, length, 3, 0);
  if (nulls > 0) arrow_validity(out, valid);
  arrow_buffer(out, 1, width == 4 ? (const void *)small : (const void *)large, (size_t)(length + 1) * (size_t)width);
  arrow_buffer(out, 2, data, used);
}

void arrow_struct_of(struct ArrowSchema *column, struct ArrowArray *values, struct ArrowSchema *out_schema,
                     struct ArrowArray *out) {
  arrow_schema(out_schema, "+s", "", 1);
  arrow_array(out, values->length, 1, 1);
  *out_schema->children[0] = *column;
  *out->children[0] = *values;
  column->release = NULL;
  values->release = NULL;
}

// ---- canonical batches as text ----

const char *cell(const struct dr_batch *batch, size_t column, uint64_t row) {
  static char text[2][1024];
  static int turn;
  struct dray_buffer out;
  turn ^= 1;
  if (dr_batch_is_absent(batch, column, row)) {
    assert_true(dray_column_is_null(&batch->view.columns[column], row));
    return "(absent)";
  }
  if (dray_column_is_null(&batch->view.columns[column], row)) return "(null)";
  dray_buffer_init(&out, sizeof(text[0]) - 1);
  assert_int_equal(dray_column_text(&batch->view.columns[column], row, &out, NULL), DRAY_OK);
  memcpy(text[turn], out.data != NULL ? out.data : "", out.len);
  text[turn][out.len] = '\0';
  dray_buffer_free(&out);
  return text[turn];
}

struct dr_schema *schema_of(const struct dray_column_def *columns, size_t count) {
  struct dr_schema *schema = NULL;
  assert_int_equal(dr_schema_new(columns, count, &schema, NULL), DRAY_OK);
  return schema;
}

struct dr_batch *batch_of(struct dr_schema *schema, const char *const *cells, size_t rows) {
  struct dray_column_def defs[32];
  struct ArrowSchema arrow;
  struct ArrowArray array;
  struct dray_builder *builder = NULL;
  struct dr_batch *batch = NULL;
  const size_t count = schema->field_count;
  assert_true(count < 32);
  for (size_t i = 0; i < count; i++) {
    defs[i] = (struct dray_column_def){schema->fields[i].name, schema->fields[i].type, 1};
  }
  defs[count] = (struct dray_column_def){DRAY_COLUMN_ABSENT, {DRAY_TYPE_BYTES, 0, 0}, 1};
  assert_int_equal(dray_schema_make(defs, count + 1, &arrow, NULL), DRAY_OK);
  assert_int_equal(dray_builder_new(&arrow, 0, 0, &builder, NULL), DRAY_OK);
  for (size_t i = 0; i < rows * count; i++) {
    if (cells[i] == NULL) {
      assert_int_equal(dray_builder_null(builder, i % count, NULL), DRAY_OK);
    } else if (strcmp(cells[i], "(absent)") != 0) {
      assert_int_equal(dray_builder_text(builder, i % count, dray_str_of(cells[i]), NULL), DRAY_OK);
    }
    if (i % count == count - 1) assert_int_equal(dray_builder_end_row(builder, NULL, NULL), DRAY_OK);
  }
  assert_int_equal(dray_builder_finish(builder, &array, NULL), DRAY_OK);
  assert_int_equal(dr_batch_wrap(schema, &array, &batch, NULL), DRAY_OK);
  dray_builder_free(builder);
  dray_schema_release(&arrow);
  return batch;
}

uint64_t random_bits(uint64_t *seed) {
  uint64_t z = (*seed += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}
