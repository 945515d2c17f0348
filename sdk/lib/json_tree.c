// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tree: one small document as nodes, for the control plane (specs, catalogues, answers of an API). All nodes and
// texts of a document lie in one arena that goes with the root.
#include <stdlib.h>

#include "dray/sdk/json.h"
#include "json_document.h"
#include "json_text.h"

#define CHUNK_BYTES_MIN 2048
#define CHUNK_BYTES_MAX (1024 * 1024)
#define PAIRWISE_MAX 16 // members up to which comparing all pairs is the quickest way to find a duplicate

struct chunk {
  struct chunk *next;
  size_t used;
  size_t capacity;
  _Alignas(max_align_t) char data[];
};

// What the root lies in, so that it can be freed by the root alone.
struct document {
  struct chunk *chunks;
  struct dray_json root;
};

struct tree {
  struct dray_json_document state; // first
  struct document *document;
  int32_t has_root;
  struct dray_str name; // of the next value, when its parent is an object
  struct dray_json *open[DRAY_JSON_DEPTH_MAX];
  struct dray_json *last[DRAY_JSON_DEPTH_MAX]; // their last child so far
};

// ---- arena ----

static struct chunk *add_chunk(struct chunk **chunks, size_t at_least) {
  size_t capacity = *chunks != NULL ? (*chunks)->capacity * 2 : CHUNK_BYTES_MIN;
  if (capacity > CHUNK_BYTES_MAX) capacity = CHUNK_BYTES_MAX;
  if (capacity < at_least) capacity = at_least;
  struct chunk *chunk = malloc(sizeof(*chunk) + capacity);
  if (chunk == NULL) return NULL;
  chunk->next = *chunks;
  chunk->used = 0;
  chunk->capacity = capacity;
  *chunks = chunk;
  return chunk;
}

static void *arena_take(struct tree *tree, size_t bytes) {
  const size_t rounded = (bytes + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
  struct chunk *chunk = tree->document->chunks;
  if (chunk == NULL || chunk->capacity - chunk->used < rounded) {
    chunk = add_chunk(&tree->document->chunks, rounded);
    if (chunk == NULL) {
      tree->state.failed = dray_fail(tree->state.error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON document");
      return NULL;
    }
  }
  void *taken = chunk->data + chunk->used;
  chunk->used += rounded;
  return taken;
}

static int arena_copy(struct tree *tree, const void *data, size_t len, struct dray_str *out) {
  char *copy = arena_take(tree, len + 1);
  if (copy == NULL) return 0;
  if (len > 0) memcpy(copy, data, len);
  copy[len] = '\0';
  *out = dray_str_make(copy, len);
  return 1;
}

static void free_document(struct document *document) {
  while (document->chunks != NULL) {
    struct chunk *chunk = document->chunks;
    document->chunks = chunk->next;
    free(chunk);
  }
  free(document);
}

// ---- events ----

static struct dray_json *add(struct tree *tree, int32_t kind) {
  struct dray_json *value = &tree->document->root;
  if (tree->has_root) {
    value = arena_take(tree, sizeof(*value));
    if (value == NULL) return NULL;
  }
  tree->has_root = 1;
  *value = (struct dray_json){.kind = kind, .text = {"", 0}, .name = {"", 0}};
  if (tree->state.depth == 0) return value;
  struct dray_json *parent = tree->open[tree->state.depth - 1];
  struct dray_json **last = &tree->last[tree->state.depth - 1];
  if (parent->kind == DRAY_JSON_OBJECT) value->name = tree->name;
  if (*last != NULL) {
    (*last)->next = value;
  } else {
    parent->child = value;
  }
  *last = value;
  parent->child_count++;
  return value;
}

static int on_null(void *ctx) {
  return add(ctx, DRAY_JSON_NULL) != NULL;
}

static int on_boolean(void *ctx, int boolean) {
  struct dray_json *value = add(ctx, DRAY_JSON_BOOL);
  if (value == NULL) return 0;
  value->boolean = boolean != 0;
  return 1;
}

static int on_number(void *ctx, const char *digits, size_t len) {
  struct dray_json *value = add(ctx, DRAY_JSON_NUMBER);
  return value != NULL && arena_copy(ctx, digits, len, &value->text);
}

static int on_string(void *ctx, const unsigned char *text, size_t len) {
  struct dray_json *value = add(ctx, DRAY_JSON_STRING);
  return value != NULL && arena_copy(ctx, text, len, &value->text);
}

static int on_key(void *ctx, const unsigned char *name, size_t len) {
  struct tree *tree = ctx;
  return arena_copy(tree, name, len, &tree->name);
}

static int on_begin(struct tree *tree, int32_t kind) {
  struct dray_json *value = add(tree, kind);
  if (value == NULL || !dray_json_document_open(&tree->state)) return 0;
  tree->open[tree->state.depth - 1] = value;
  tree->last[tree->state.depth - 1] = NULL;
  return 1;
}

static int on_begin_object(void *ctx) {
  return on_begin(ctx, DRAY_JSON_OBJECT);
}
static int on_begin_array(void *ctx) {
  return on_begin(ctx, DRAY_JSON_ARRAY);
}

static int on_end_array(void *ctx) {
  struct tree *tree = ctx;
  dray_json_document_close(&tree->state);
  return 1;
}

// ---- duplicate members ----

static const struct dray_json *find_pairwise(const struct dray_json *object) {
  for (const struct dray_json *a = object->child; a != NULL; a = a->next) {
    for (const struct dray_json *b = a->next; b != NULL; b = b->next) {
      if (dray_str_equal(a->name, b->name)) return b;
    }
  }
  return NULL;
}

static int compare_names(const void *a, const void *b) {
  const struct dray_str x = (*(const struct dray_json *const *)a)->name;
  const struct dray_str y = (*(const struct dray_json *const *)b)->name;
  const int order = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
  return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static const struct dray_json *find_sorted(const struct dray_json **members, const struct dray_json *object) {
  size_t n = 0;
  for (const struct dray_json *child = object->child; child != NULL; child = child->next) members[n++] = child;
  qsort(members, n, sizeof(*members), compare_names);
  for (size_t i = 1; i < n; i++) {
    if (dray_str_equal(members[i - 1]->name, members[i]->name)) return members[i];
  }
  return NULL;
}

static int on_end_object(void *ctx) {
  struct tree *tree = ctx;
  const struct dray_json *object = tree->open[tree->state.depth - 1];
  const struct dray_json *twice = NULL;
  if (object->child_count <= PAIRWISE_MAX) {
    twice = find_pairwise(object);
  } else {
    const struct dray_json **members = malloc(object->child_count * sizeof(*members));
    if (members == NULL) {
      tree->state.failed = dray_fail(tree->state.error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON document");
      return 0;
    }
    twice = find_sorted(members, object);
    free(members);
  }
  if (twice != NULL) {
    tree->state.failed = dray_fail(tree->state.error, DRAY_E_DATA_JSON, "the member '%.*s' stands twice in one object",
                                   DRAY_STR_ARG(twice->name));
    return 0;
  }
  dray_json_document_close(&tree->state);
  return 1;
}

static const yajl_callbacks callbacks = {.yajl_null = on_null,
                                         .yajl_boolean = on_boolean,
                                         .yajl_number = on_number,
                                         .yajl_string = on_string,
                                         .yajl_start_map = on_begin_object,
                                         .yajl_map_key = on_key,
                                         .yajl_end_map = on_end_object,
                                         .yajl_start_array = on_begin_array,
                                         .yajl_end_array = on_end_array};

// ---- public ----

int32_t dray_json_parse(struct dray_str text, uint64_t bytes_max, struct dray_json **out, struct dray_error *error) {
  if (text.len > bytes_max) {
    return dray_fail(error, DRAY_E_LIMIT, "a JSON document of %llu bytes where at most %llu are allowed",
                     (unsigned long long)text.len, (unsigned long long)bytes_max);
  }
  struct document *document = calloc(1, sizeof(*document));
  if (document == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON document");
  struct tree tree = {.document = document};
  const int32_t rc = dray_json_document_read(text, &callbacks, &tree, error);
  if (rc != DRAY_OK) {
    free_document(document);
    return rc;
  }
  *out = &document->root;
  return DRAY_OK;
}

void dray_json_free(struct dray_json *root) {
  if (root == NULL) return;
  free_document((struct document *)(void *)((char *)root - offsetof(struct document, root)));
}

static const struct dray_json *find_member(const struct dray_json *object, const struct dray_json_step *step) {
  if (object->kind != DRAY_JSON_OBJECT) return NULL;
  const struct dray_json *child = object->child;
  while (child != NULL && !dray_json_step_is(step, child->name)) child = child->next;
  return child;
}

static const struct dray_json *find_element(const struct dray_json *array, uint64_t index) {
  if (array->kind != DRAY_JSON_ARRAY || index >= array->child_count) return NULL;
  const struct dray_json *child = array->child;
  while (index-- > 0) child = child->next;
  return child;
}

const struct dray_json *dray_json_get(const struct dray_json *object, const char *name) {
  const struct dray_json_step step = {.kind = DRAY_JSON_STEP_NAME, .name = dray_str_of(name)};
  return object != NULL ? find_member(object, &step) : NULL;
}

const struct dray_json *dray_json_path(const struct dray_json *root, const char *path) {
  const struct dray_json *value = root;
  const char *at = path;
  while (value != NULL) {
    struct dray_json_step step;
    if (dray_json_step_next(path, &at, &step, NULL) != DRAY_OK) return NULL;
    if (step.kind == DRAY_JSON_STEP_END) return value;
    if (step.kind == DRAY_JSON_STEP_ALL) return NULL;
    value = step.kind == DRAY_JSON_STEP_NAME ? find_member(value, &step) : find_element(value, step.index);
  }
  return NULL;
}

struct dray_str dray_json_string(const struct dray_json *value, const char *otherwise) {
  return value != NULL && value->kind == DRAY_JSON_STRING ? value->text : dray_str_of(otherwise);
}
