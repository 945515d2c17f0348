// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Arrow schemas: making canonical ones, copying any, recognising canonical columns. Each node owns one block with its
// strings, so that a child can be moved out of its parent, as Arrow's rules allow.
#include <stdio.h>
#include <stdlib.h>

#include "column_inside.h"

#define DEPTH_MAX 64
#define METADATA_PAIRS_MAX 4096
#define METADATA_BYTES_MAX (1 << 20)
#define METADATA_MARKED_MAX 1024 // of a canonical column

// What private_data of a schema points to. The children's array is behind it, then the strings.
struct node {
  struct ArrowSchema *children; // owned, child_count of them
  int64_t child_count;
  struct ArrowSchema dictionary;
};

static void release_node(struct ArrowSchema *schema) {
  struct node *node = schema->private_data;
  for (int64_t i = 0; i < node->child_count; i++) dray_schema_release(&node->children[i]);
  dray_schema_release(&node->dictionary);
  free(node->children);
  free(node);
  schema->release = NULL;
}

static char *put_bytes(char **at, const void *bytes, size_t len) {
  char *to = *at;
  if (len > 0) memcpy(to, bytes, len);
  *at += len;
  return to;
}

// A node with its strings and room for `child_count` released children. `metadata` may be NULL.
static int32_t make_node(struct ArrowSchema *out, const char *format, const char *name, const char *metadata,
                         size_t metadata_bytes, int64_t child_count, struct dray_error *error) {
  const size_t format_bytes = strlen(format) + 1, name_bytes = name != NULL ? strlen(name) + 1 : 0;
  const size_t pointer_bytes = sizeof(void *) * (size_t)child_count;
  struct node *node = calloc(1, sizeof *node + pointer_bytes + metadata_bytes + format_bytes + name_bytes);
  struct ArrowSchema *children = child_count > 0 ? calloc((size_t)child_count, sizeof *children) : NULL;
  if (node == NULL || (child_count > 0 && children == NULL)) {
    free(node);
    free(children);
    return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a schema of %lld columns", (long long)child_count);
  }
  struct ArrowSchema **pointers = (struct ArrowSchema **)(void *)(node + 1);
  char *at = (char *)(pointers + child_count);
  *node = (struct node){.children = children, .child_count = child_count};
  for (int64_t i = 0; i < child_count; i++) pointers[i] = &children[i];
  *out = (struct ArrowSchema){.n_children = child_count,
                              .children = child_count > 0 ? pointers : NULL,
                              .release = release_node,
                              .private_data = node};
  if (metadata != NULL) out->metadata = put_bytes(&at, metadata, metadata_bytes);
  out->format = put_bytes(&at, format, format_bytes);
  if (name != NULL) out->name = put_bytes(&at, name, name_bytes);
  return DRAY_OK;
}

// ---- canonical schemas ----

int dray_column_reserved(const char *name) {
  static const char *const names[] = {DRAY_COLUMN_ABSENT, DRAY_COLUMN_ROW,     DRAY_COLUMN_OP,    DRAY_COLUMN_CHANGED,
                                      DRAY_COLUMN_ERROR,  DRAY_COLUMN_DELETED, DRAY_COLUMN_BEFORE};
  if (name == NULL || strncmp(name, "_dray_", 6) != 0) return 0;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(name, names[i]) == 0) return 1;
  }
  return 0;
}

static const char *const formats[] = {
    [DRAY_TYPE_BOOL] = "b",  [DRAY_TYPE_INT64] = "l",  [DRAY_TYPE_FLOAT64] = "g",         [DRAY_TYPE_STRING] = "u",
    [DRAY_TYPE_BYTES] = "z", [DRAY_TYPE_DATE] = "tdD", [DRAY_TYPE_TIMESTAMP] = "tsu:UTC", [DRAY_TYPE_JSON] = "u",
};

#define EXTENSION_KEY "ARROW:extension:name"
#define EXTENSION_JSON "arrow.json"

#define PAIR_HEAD_BYTES 12 // two lengths, and the count of a first pair

// Arrow's metadata: a count, then per pair two lengths with their bytes; int32 in the machine's byte order.
static void put_pair(char **at, const char *key, const char *value) {
  const char *const texts[] = {key, value};
  for (size_t i = 0; i < 2; i++) {
    const int32_t len = (int32_t)strlen(texts[i]);
    (void)put_bytes(at, &len, sizeof len);
    (void)put_bytes(at, texts[i], (size_t)len);
  }
}

static size_t json_metadata(char *out) {
  const int32_t count = 1;
  char *at = out;
  (void)put_bytes(&at, &count, sizeof count);
  put_pair(&at, EXTENSION_KEY, EXTENSION_JSON);
  return (size_t)(at - out);
}

static int32_t check_def(const struct dray_column_def *def, size_t index, struct dray_error *error) {
  const struct dray_type type = def->type;
  const struct dray_str name = dray_str_of(def->name);
  if (name.len == 0 || name.len > DRAY_COLUMN_NAME_MAX || !dray_text_valid(name)) {
    return dray_fail(error, DRAY_E_SCHEMA_NAME,
                     "column %zu needs a name of 1 to %d bytes of UTF-8, not '%.*s' (%llu bytes)", index + 1,
                     DRAY_COLUMN_NAME_MAX, DRAY_VALUE_ARG(name), (unsigned long long)name.len);
  }
  const int decimal_ok = type.precision >= 1 && type.precision <= DRAY_DECIMAL_PRECISION_MAX && type.scale >= 0 &&
                         type.scale <= type.precision;
  if (type.id < DRAY_TYPE_BOOL || type.id > DRAY_TYPE_JSON || (type.id == DRAY_TYPE_DECIMAL && !decimal_ok)) {
    return dray_fail(error, DRAY_E_SCHEMA_TYPE, "column '%s' has no valid type (%d, precision %d, scale %d)", def->name,
                     type.id, type.precision, type.scale);
  }
  return DRAY_OK;
}

static int32_t make_column(const struct dray_column_def *def, struct ArrowSchema *out, struct dray_error *error) {
  char decimal[24], metadata[64];
  const char *format = formats[def->type.id];
  size_t metadata_bytes = 0;
  if (def->type.id == DRAY_TYPE_DECIMAL) {
    (void)snprintf(decimal, sizeof decimal, "d:%d,%d", def->type.precision, def->type.scale);
    format = decimal;
  }
  if (def->type.id == DRAY_TYPE_JSON) metadata_bytes = json_metadata(metadata);
  DRAY_TRY(make_node(out, format, def->name, metadata_bytes > 0 ? metadata : NULL, metadata_bytes, 0, error));
  out->flags = def->nullable ? ARROW_FLAG_NULLABLE : 0;
  return DRAY_OK;
}

int32_t dray_schema_make(const struct dray_column_def *columns, size_t column_count, struct ArrowSchema *out,
                         struct dray_error *error) {
  struct ArrowSchema schema;
  if (column_count > DRAY_COLUMNS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "%zu columns are more than the %d that a schema may have", column_count,
                     DRAY_COLUMNS_MAX);
  }
  for (size_t i = 0; i < column_count; i++) DRAY_TRY(check_def(&columns[i], i, error));
  DRAY_TRY(make_node(&schema, "+s", "", NULL, 0, (int64_t)column_count, error));
  for (size_t i = 0; i < column_count; i++) {
    const int32_t code = make_column(&columns[i], schema.children[i], error);
    if (code != DRAY_OK) {
      dray_schema_release(&schema);
      return code;
    }
  }
  *out = schema;
  return DRAY_OK;
}

// ---- metadata ----

static int32_t read_int32(const char **at) {
  int32_t value;
  memcpy(&value, *at, sizeof value);
  *at += sizeof value;
  return value;
}

// Measures encoded metadata, and finds the value of `key` on the way. 0 when it cannot be right.
static size_t walk_metadata(const char *metadata, const char *key, struct dray_str *value) {
  const char *at = metadata;
  const int32_t count = read_int32(&at);
  if (count < 0 || count > METADATA_PAIRS_MAX) return 0;
  for (int32_t i = 0; i < count; i++) {
    struct dray_str text[2];
    for (int half = 0; half < 2; half++) {
      const int32_t len = read_int32(&at);
      if (len < 0 || len > METADATA_BYTES_MAX || at - metadata > METADATA_BYTES_MAX) return 0;
      text[half] = dray_str_make(at, (uint64_t)len);
      at += len;
    }
    if (dray_str_is(text[0], key)) *value = text[1];
  }
  return (size_t)(at - metadata);
}

static struct dray_str value_of(const struct ArrowSchema *schema, const char *key) {
  struct dray_str value = {NULL, 0};
  if (schema->metadata == NULL || walk_metadata(schema->metadata, key, &value) == 0) return dray_str_make(NULL, 0);
  return value;
}

struct dray_str dray_schema_extension(const struct ArrowSchema *schema) {
  return value_of(schema, EXTENSION_KEY);
}

static int32_t add_pair(struct ArrowSchema *column, const char *key, const char *value, struct dray_error *error) {
  char metadata[METADATA_MARKED_MAX], *at = metadata;
  struct dray_str found = {NULL, 0};
  struct ArrowSchema marked;
  const size_t had = column->metadata != NULL ? walk_metadata(column->metadata, key, &found) : 0;
  int32_t count = 0;
  if (column->n_children > 0 || (column->metadata != NULL && had == 0)) {
    return dray_fail(error, DRAY_E_INTERNAL, "column '%s' was not made by dray_schema_make", column->name);
  }
  if (strlen(key) + strlen(value) + PAIR_HEAD_BYTES > METADATA_MARKED_MAX - had) {
    return dray_fail(error, DRAY_E_LIMIT, "column '%s' has no room for what '%s' says of it", column->name, key);
  }
  if (had > 0) memcpy(&count, column->metadata, sizeof count);
  count++;
  (void)put_bytes(&at, &count, sizeof count);
  put_pair(&at, key, value);
  if (had > 0) (void)put_bytes(&at, column->metadata + sizeof count, had - sizeof count);
  DRAY_TRY(make_node(&marked, column->format, column->name, metadata, (size_t)(at - metadata), 0, error));
  marked.flags = column->flags;
  dray_schema_release(column);
  *column = marked;
  return DRAY_OK;
}

int32_t dray_schema_mark_key(struct ArrowSchema *column, struct dray_error *error) {
  return add_pair(column, DRAY_MARK_PRIMARY_KEY, "true", error);
}

int32_t dray_schema_mark(struct ArrowSchema *column, const char *key, const char *value, struct dray_error *error) {
  return add_pair(column, key, value, error);
}

struct dray_str dray_schema_marked(const struct ArrowSchema *column, const char *key) {
  return value_of(column, key);
}

int32_t dray_schema_mark_number(struct ArrowSchema *column, const char *key, uint64_t value, struct dray_error *error) {
  char text[24];
  (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  return add_pair(column, key, text, error);
}

uint64_t dray_schema_marked_number(const struct ArrowSchema *column, const char *key) {
  const struct dray_str text = value_of(column, key);
  uint64_t value = 0;
  for (uint64_t i = 0; i < text.len; i++) {
    if (text.data[i] < '0' || text.data[i] > '9' || value > UINT64_MAX / 10 - 1) return 0;
    value = value * 10 + (uint64_t)(text.data[i] - '0');
  }
  return value;
}

int32_t dray_schema_mark_loose(struct ArrowSchema *column, struct dray_error *error) {
  return add_pair(column, DRAY_MARK_LOOSE, "true", error);
}

int dray_schema_is_loose(const struct ArrowSchema *column) {
  return dray_str_is(value_of(column, DRAY_MARK_LOOSE), "true");
}

// ---- copies ----

static int32_t copy_node(const struct ArrowSchema *schema, int depth, struct ArrowSchema *out,
                         struct dray_error *error) {
  struct ArrowSchema copy;
  struct dray_str extension = {NULL, 0};
  size_t metadata_bytes = 0;
  int32_t code = DRAY_OK;
  if (schema == NULL || (depth > 0 && schema->release == NULL) || schema->format == NULL || schema->n_children < 0 ||
      (schema->n_children > 0 && schema->children == NULL)) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "an Arrow schema is released or malformed");
  }
  if (depth > DEPTH_MAX || schema->n_children > DRAY_COLUMNS_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "an Arrow schema is nested deeper than %d or has more than %d children",
                     DEPTH_MAX, DRAY_COLUMNS_MAX);
  }
  if (schema->metadata != NULL) {
    metadata_bytes = walk_metadata(schema->metadata, EXTENSION_KEY, &extension);
    if (metadata_bytes == 0) return dray_fail(error, DRAY_E_LIMIT, "an Arrow schema has oversized metadata");
  }
  DRAY_TRY(make_node(&copy, schema->format, schema->name, schema->metadata, metadata_bytes, schema->n_children, error));
  copy.flags = schema->flags;
  for (int64_t i = 0; i < schema->n_children && code == DRAY_OK; i++) {
    code = copy_node(schema->children[i], depth + 1, copy.children[i], error);
  }
  if (code == DRAY_OK && schema->dictionary != NULL) {
    struct node *node = copy.private_data;
    code = copy_node(schema->dictionary, depth + 1, &node->dictionary, error);
    copy.dictionary = &node->dictionary;
  }
  if (code != DRAY_OK) {
    dray_schema_release(&copy);
    return code;
  }
  *out = copy;
  return DRAY_OK;
}

int32_t dray_schema_copy(const struct ArrowSchema *schema, struct ArrowSchema *out, struct dray_error *error) {
  return copy_node(schema, 0, out, error);
}

// ---- recognising canonical columns ----

// "d:P,S" to P and S.
static int parse_decimal_format(const char *format, struct dray_type *out) {
  int32_t numbers[2] = {0, 0};
  const char *at = format + 2;
  if (strncmp(format, "d:", 2) != 0) return 0;
  for (int i = 0; i < 2; i++) {
    const char *from = at;
    for (; *at >= '0' && *at <= '9' && at - from < 2; at++) numbers[i] = numbers[i] * 10 + (*at - '0');
    if (at == from || *at != (i == 0 ? ',' : '\0')) return 0;
    if (i == 0) at++;
  }
  if (numbers[0] < 1 || numbers[0] > DRAY_DECIMAL_PRECISION_MAX || numbers[1] > numbers[0]) return 0;
  *out = (struct dray_type){DRAY_TYPE_DECIMAL, numbers[0], numbers[1]};
  return 1;
}

int32_t dray_schema_type(const struct ArrowSchema *column, struct dray_type *out, struct dray_error *error) {
  const char *format = column->format != NULL ? column->format : "";
  if (column->dictionary == NULL) {
    for (int32_t id = DRAY_TYPE_BOOL; id < DRAY_TYPE_JSON; id++) {
      if (formats[id] == NULL || strcmp(formats[id], format) != 0) continue;
      const int json = id == DRAY_TYPE_STRING && dray_str_is(dray_schema_extension(column), EXTENSION_JSON);
      *out = (struct dray_type){json ? DRAY_TYPE_JSON : id, 0, 0};
      return DRAY_OK;
    }
    if (parse_decimal_format(format, out)) return DRAY_OK;
  }
  return dray_fail(error, DRAY_E_SCHEMA_TYPE, "column '%s' has the Arrow format '%s'%s, which is not a canonical one",
                   column->name != NULL ? column->name : "", format, column->dictionary != NULL ? " (dictionary)" : "");
}
