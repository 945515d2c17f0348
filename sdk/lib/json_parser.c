// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// yajl's parser with memory that may run out. yajl does not look at what its allocator returns, so ours never returns
// NULL to it: it jumps back into the call that entered yajl. Every block is on a list, so nothing is lost by that.
#include "json_parser.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

struct dray_json_parser_block {
  _Alignas(max_align_t) struct dray_json_parser_block *next;
  struct dray_json_parser_block **link; // what points to this block
};

static void *attach(struct dray_json_parser *parser, struct dray_json_parser_block *block) {
  if (block == NULL) longjmp(parser->escape, 1);
  block->next = parser->all;
  block->link = &parser->all;
  if (block->next != NULL) block->next->link = &block->next;
  parser->all = block;
  return block + 1;
}

static void detach(struct dray_json_parser_block *block) {
  *block->link = block->next;
  if (block->next != NULL) block->next->link = block->link;
}

static void *take_memory(void *ctx, size_t size) {
  return attach(ctx, malloc(sizeof(struct dray_json_parser_block) + size));
}

static void free_memory(void *ctx, void *memory) {
  (void)ctx;
  if (memory == NULL) return;
  struct dray_json_parser_block *block = (struct dray_json_parser_block *)memory - 1;
  detach(block);
  free(block);
}

static void *grow_memory(void *ctx, void *memory, size_t size) {
  if (memory == NULL) return take_memory(ctx, size);
  struct dray_json_parser_block *block = (struct dray_json_parser_block *)memory - 1;
  struct dray_json_parser *parser = ctx;
  struct dray_json_parser_block *moved = realloc(block, sizeof(*block) + size);
  if (moved == NULL) longjmp(parser->escape, 1); // the old block is still on the list
  *moved->link = moved;
  if (moved->next != NULL) moved->next->link = &moved->next;
  return moved + 1;
}

// The frames between setjmp and longjmp hold nothing to clean up: they are yajl's, whose memory is all on the list.
static yajl_handle make_handle(struct dray_json_parser *parser, const yajl_callbacks *callbacks, void *ctx,
                               int many_values) {
  yajl_alloc_funcs memory = {take_memory, grow_memory, free_memory, parser};
  if (setjmp(parser->escape) != 0) return NULL;
  yajl_handle handle = yajl_alloc(callbacks, &memory, ctx);
  if (handle == NULL) return NULL;
  (void)yajl_config(handle, yajl_dont_validate_strings, 1);
  if (many_values) (void)yajl_config(handle, yajl_allow_multiple_values, 1);
  return handle;
}

int32_t dray_json_parser_start(struct dray_json_parser *parser, const yajl_callbacks *callbacks, void *ctx,
                               int many_values, struct dray_error *error) {
  dray_json_parser_free(parser);
  parser->handle = make_handle(parser, callbacks, ctx, many_values);
  if (parser->handle != NULL) return DRAY_OK;
  dray_json_parser_free(parser);
  return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON parser");
}

void dray_json_parser_free(struct dray_json_parser *parser) {
  while (parser->all != NULL) {
    struct dray_json_parser_block *block = parser->all;
    parser->all = block->next;
    free(block);
  }
  parser->handle = NULL;
}

static int outcome(yajl_status status) {
  if (status == yajl_status_ok) return DRAY_JSON_PARSED;
  return status == yajl_status_client_canceled ? DRAY_JSON_STOPPED : DRAY_JSON_SYNTAX;
}

int dray_json_parser_feed(struct dray_json_parser *parser, const char *data, size_t len) {
  assert(parser->handle != NULL);
  if (setjmp(parser->escape) != 0) {
    dray_json_parser_free(parser);
    return DRAY_JSON_NO_MEMORY;
  }
  return outcome(yajl_parse(parser->handle, (const unsigned char *)data, len));
}

int dray_json_parser_finish(struct dray_json_parser *parser) {
  assert(parser->handle != NULL);
  if (setjmp(parser->escape) != 0) {
    dray_json_parser_free(parser);
    return DRAY_JSON_NO_MEMORY;
  }
  // Behind a whole value yajl takes an unfinished string for the end. A line end cannot stand in a string, and is
  // nothing anywhere else.
  const yajl_status status = yajl_parse(parser->handle, (const unsigned char *)"\n", 1);
  return outcome(status == yajl_status_ok ? yajl_complete_parse(parser->handle) : status);
}

size_t dray_json_parser_offset(const struct dray_json_parser *parser) {
  return yajl_get_bytes_consumed(parser->handle);
}

static unsigned char *get_error(struct dray_json_parser *parser) {
  if (setjmp(parser->escape) != 0) return NULL;
  return yajl_get_error(parser->handle, 0, NULL, 0);
}

int32_t dray_json_parser_reason(struct dray_json_parser *parser, char *out, size_t out_bytes,
                                struct dray_error *error) {
  unsigned char *given = get_error(parser); // "lexical error: invalid char in json text.\n"
  if (given == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to say what is wrong with JSON");
  const char *text = (const char *)given;
  const char *reason = strstr(text, "error: ");
  if (reason != NULL) text = reason + strlen("error: ");
  size_t len = strcspn(text, "\n");
  while (len > 0 && text[len - 1] == '.') len--;
  if (len >= out_bytes) len = out_bytes - 1;
  memcpy(out, text, len);
  out[len] = '\0';
  yajl_free_error(parser->handle, given);
  return DRAY_OK;
}
