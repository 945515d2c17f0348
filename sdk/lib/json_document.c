// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One document in memory, from text to events, with errors that say where.
#include "json_document.h"

#include "dray/sdk/json.h"
#include "json_text.h"

int dray_json_document_open(struct dray_json_document *document) {
  if (document->depth == DRAY_JSON_DEPTH_MAX) {
    document->failed =
        dray_fail(document->error, DRAY_E_LIMIT, "JSON is nested deeper than %d levels", DRAY_JSON_DEPTH_MAX);
    return 0;
  }
  document->depth++;
  return 1;
}

void dray_json_document_close(struct dray_json_document *document) {
  document->depth--;
}

int dray_json_document_note(struct dray_json_document *document, int32_t code) {
  if (code != DRAY_OK) document->failed = code;
  return code == DRAY_OK;
}

struct place {
  unsigned long long line;
  unsigned long long column; // in characters, from 1
};

static struct place locate(struct dray_str text, size_t offset) {
  struct place place = {1, 1};
  for (size_t i = 0; i < offset && i < text.len; i++) {
    if (text.data[i] == '\n') {
      place.line++;
      place.column = 1;
    } else if (((unsigned char)text.data[i] & 0xC0) != 0x80) {
      place.column++;
    }
  }
  return place;
}

static int32_t fail_at(struct dray_str text, size_t offset, int32_t code, const char *why, struct dray_error *error) {
  const struct place place = locate(text, offset);
  return dray_fail(error, code, "line %llu, column %llu: %s", place.line, place.column, why);
}

// What yajl would take, or take wrongly, without a word.
static int32_t check_text(struct dray_str text, struct dray_error *error) {
  if (!dray_utf8_valid(text.data, text.len)) {
    size_t good = 0; // whole characters, so that the place can be said
    while (good < text.len) {
      const unsigned char lead = (unsigned char)text.data[good];
      const size_t len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      if (len > text.len - good || !dray_utf8_valid(text.data + good, len)) break;
      good += len;
    }
    return fail_at(text, good, DRAY_E_DATA_UTF8, "the text is not valid UTF-8", error);
  }
  struct dray_json_surrogates scan = {0};
  const size_t lone = dray_json_surrogates_scan(&scan, text.data, text.len);
  if (lone < text.len) {
    return fail_at(text, lone, DRAY_E_DATA_JSON, "a \\u escape is one half of a surrogate pair without the other",
                   error);
  }
  return DRAY_OK;
}

static int32_t run(struct dray_json_parser *parser, struct dray_str text, struct dray_json_document *document,
                   struct dray_error *error) {
  int outcome = dray_json_parser_feed(parser, text.data, text.len);
  size_t offset = 0;
  if (outcome == DRAY_JSON_PARSED) {
    offset = text.len;
    outcome = dray_json_parser_finish(parser);
  } else if (outcome != DRAY_JSON_NO_MEMORY) {
    offset = dray_json_parser_offset(parser);
  }
  if (outcome == DRAY_JSON_PARSED) return DRAY_OK;
  if (outcome == DRAY_JSON_NO_MEMORY) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to read JSON");
  if (outcome == DRAY_JSON_STOPPED) return document->failed;
  char why[160];
  DRAY_TRY(dray_json_parser_reason(parser, why, sizeof(why), error));
  return fail_at(text, offset, DRAY_E_DATA_JSON, offset == text.len && text.len == 0 ? "there is no value" : why,
                 error);
}

int32_t dray_json_document_read(struct dray_str text, const yajl_callbacks *callbacks, void *ctx,
                                struct dray_error *error) {
  struct dray_json_document *document = ctx;
  *document = (struct dray_json_document){.error = error};
  if (text.len == 0) text.data = "";                                // which may be NULL
  if (text.len >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) { // RFC 8259, 8.1: a BOM may be ignored
    text.data += 3;
    text.len -= 3;
  }
  DRAY_TRY(check_text(text, error));
  struct dray_json_parser parser = {0};
  DRAY_TRY(dray_json_parser_start(&parser, callbacks, ctx, 0, error));
  const int32_t rc = run(&parser, text, document, error);
  dray_json_parser_free(&parser);
  return rc;
}
