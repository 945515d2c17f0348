// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Rewrites a document without blanks and with the fewest escapes, so that equal documents that were only spelled
// differently become equal bytes. Order of members and digits of numbers stay. Most documents are compact already,
// since another part of the library wrote them: those are looked through, and taken as they are.
#include "dray/sdk/json.h"
#include "json_compact_scan.h"
#include "json_document.h"
#include "json_text.h"

struct compaction {
  struct dray_json_document document; // first
  struct dray_json_emitter emitter;
};

static int on_literal(struct compaction *c, struct dray_str text) {
  return dray_json_document_note(&c->document, dray_json_emit_literal(&c->emitter, text, c->document.error));
}

static int on_null(void *ctx) {
  return on_literal(ctx, dray_str_make("null", 4));
}

static int on_boolean(void *ctx, int value) {
  return on_literal(ctx, dray_str_of(value ? "true" : "false"));
}

static int on_number(void *ctx, const char *digits, size_t len) {
  return on_literal(ctx, dray_str_make(digits, len));
}

static int on_string(void *ctx, const unsigned char *text, size_t len) {
  struct compaction *c = ctx;
  const struct dray_str view = dray_str_make((const char *)text, len);
  return dray_json_document_note(&c->document, dray_json_emit_string(&c->emitter, view, c->document.error));
}

static int on_key(void *ctx, const unsigned char *name, size_t len) {
  struct compaction *c = ctx;
  const struct dray_str view = dray_str_make((const char *)name, len);
  return dray_json_document_note(&c->document, dray_json_emit_key(&c->emitter, view, c->document.error));
}

static int on_open(struct compaction *c, char bracket) {
  return dray_json_document_open(&c->document) &&
         dray_json_document_note(&c->document, dray_json_emit_open(&c->emitter, bracket, c->document.error));
}

static int on_close(struct compaction *c, char bracket) {
  dray_json_document_close(&c->document);
  return dray_json_document_note(&c->document, dray_json_emit_close(&c->emitter, bracket, c->document.error));
}

static int on_begin_object(void *ctx) {
  return on_open(ctx, '{');
}
static int on_end_object(void *ctx) {
  return on_close(ctx, '}');
}
static int on_begin_array(void *ctx) {
  return on_open(ctx, '[');
}
static int on_end_array(void *ctx) {
  return on_close(ctx, ']');
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

int32_t dray_json_compact(struct dray_str text, struct dray_buffer *out, struct dray_error *error) {
  if (dray_json_is_compact(text)) return dray_buffer_append(out, text.data, (size_t)text.len, error);
  struct compaction c = {.emitter = {.out = out}};
  const size_t before = out->len;
  const int32_t rc = dray_json_document_read(text, &callbacks, &c, error);
  if (rc != DRAY_OK && out->data != NULL) {
    out->len = before;
    out->data[before] = '\0';
  }
  return rc;
}
