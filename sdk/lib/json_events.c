// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The rows reader, upper half: the parser's events become values in columns. Every event moves at most one node in the
// compiled fields; what no path wants is skipped by counting depth. Nothing is kept but the text of containers that a
// column takes whole.
#include "json_rows_inside.h"

#include <stdio.h>

static uint64_t here(const struct dray_json_rows *rows) {
  return rows->piece_position + dray_json_parser_offset(&rows->parser);
}

static size_t above(const struct dray_json_rows *rows) {
  return (size_t)rows->depth - rows->step_count - 1;
}

int32_t dray_json_rows_fail_here(const struct dray_json_rows *rows, struct dray_error *error, int32_t code,
                                 const char *text) {
  uint64_t line = rows->line + 1;
  if (!rows->lines && rows->parser.handle != NULL) {
    const size_t offset = dray_json_parser_offset(&rows->parser);
    for (size_t i = 0; i < offset && i < rows->piece_len; i++) line += rows->piece[i] == '\n';
  }
  return dray_fail(error, code, "%s%sline %llu: %s", rows->name != NULL ? rows->name : "",
                   rows->name != NULL ? " " : "", (unsigned long long)line, text);
}

int dray_json_rows_stop(struct dray_json_rows *rows, int32_t code) {
  rows->failed = code;
  return 0;
}

int dray_json_rows_oversize(struct dray_json_rows *rows, uint64_t now) {
  if (rows->lines || now - rows->mark <= rows->record_bytes_max) return 0;
  char text[128];
  (void)snprintf(text, sizeof(text), "%s is larger than the %llu bytes that a record may have",
                 rows->in_record ? "a record" : "a value outside of the records",
                 (unsigned long long)rows->record_bytes_max);
  rows->failed = dray_json_rows_fail_here(rows, rows->error, DRAY_E_DATA_TOO_LARGE, text);
  return 1;
}

int dray_json_rows_spoil(struct dray_json_rows *rows) {
  rows->spoiled = 1;
  rows->captures = 0;
  if (rows->depth > (int32_t)rows->step_count) rows->skip_depth = (int32_t)rows->step_count + 1;
  return 1;
}

// A record that is bad as such.
static int spoil_record(struct dray_json_rows *rows, int32_t code, const char *text) {
  (void)dray_json_rows_fail_here(rows, &rows->bad, code, text);
  return dray_json_rows_spoil(rows);
}

// Judges what came of a value for `path`, with the reason in rows->bad: class DATA spoils the record, anything else
// ends the input.
static int judge(struct dray_json_rows *rows, struct dray_str path, int32_t code) {
  if (code == DRAY_OK) return 1;
  if (rows->bad.error_class != DRAY_CLASS_DATA) {
    return dray_json_rows_stop(rows, dray_fail(rows->error, code, "%s", rows->bad.text));
  }
  char text[DRAY_ERROR_TEXT_MAX];
  (void)snprintf(text, sizeof(text), "%.*s: %.800s", DRAY_VALUE_ARG(path), rows->bad.text);
  return spoil_record(rows, code, text);
}

// ---- text of containers that a column takes whole ----

// The buffer is bounded by the record's limit, so a LIMIT is the record's size.
static int judge_text(struct dray_json_rows *rows, int32_t code) {
  if (code == DRAY_OK) return 1;
  if (code == DRAY_E_LIMIT) code = dray_fail(&rows->bad, DRAY_E_DATA_TOO_LARGE, "the value is too large to be kept");
  return judge(rows, rows->fields.nodes[0].path, code);
}

static int capture_literal(struct dray_json_rows *rows, struct dray_str text) {
  return judge_text(rows, dray_json_emit_literal(&rows->emitter, text, &rows->bad));
}

static int refuse_text(struct dray_json_rows *rows, struct dray_str text) {
  const int32_t code = dray_fail(&rows->bad, DRAY_E_DATA_UTF8, "'%.*s' is not valid UTF-8", DRAY_VALUE_ARG(text));
  return judge(rows, rows->fields.nodes[0].path, code);
}

static int capture_string(struct dray_json_rows *rows, struct dray_str text) {
  if (!dray_utf8_valid(text.data, text.len)) return refuse_text(rows, text);
  return judge_text(rows, dray_json_emit_string(&rows->emitter, text, &rows->bad));
}

static int capture_key(struct dray_json_rows *rows, struct dray_str name) {
  if (!dray_utf8_valid(name.data, name.len)) return refuse_text(rows, name);
  return judge_text(rows, dray_json_emit_key(&rows->emitter, name, &rows->bad));
}

// ---- values ----

static int32_t put_json_string(struct dray_json_rows *rows, size_t column, struct dray_str text) {
  if (!dray_utf8_valid(text.data, text.len)) {
    return dray_fail(&rows->bad, DRAY_E_DATA_UTF8, "'%.*s' is not valid UTF-8", DRAY_VALUE_ARG(text));
  }
  dray_buffer_clear(&rows->scratch);
  DRAY_TRY(dray_json_append_quoted(&rows->scratch, text, &rows->bad));
  return dray_builder_bytes(rows->builder, column, dray_buffer_view(&rows->scratch), &rows->bad);
}

static int32_t put_scalar(struct dray_json_rows *rows, const struct dray_json_target *target, int32_t kind,
                          struct dray_str text) {
  struct dray_builder *builder = rows->builder;
  if (kind == DRAY_JSON_NULL) return dray_builder_null(builder, target->column, &rows->bad);
  const int is_empty = rows->empty_is_null && kind == DRAY_JSON_STRING && text.len == 0;
  if (is_empty && target->type != DRAY_TYPE_STRING && target->type != DRAY_TYPE_BYTES) {
    return dray_builder_null(builder, target->column, &rows->bad);
  }
  switch (target->type) {
  case DRAY_TYPE_STRING:
    return dray_builder_bytes(builder, target->column, text, &rows->bad);
  case DRAY_TYPE_JSON:
    if (kind == DRAY_JSON_STRING) return put_json_string(rows, target->column, text);
    return dray_builder_bytes(builder, target->column, text, &rows->bad);
  case DRAY_TYPE_BOOL:
    break; // true and false as words, 1 and 0 as digits
  case DRAY_TYPE_BYTES:
    if (kind == DRAY_JSON_STRING) break;
    return dray_fail(&rows->bad, DRAY_E_DATA_TYPE, "%.*s is no string, which bytes are written as",
                     DRAY_VALUE_ARG(text));
  default:
    if (kind != DRAY_JSON_BOOL) break;
    return dray_fail(&rows->bad, DRAY_E_DATA_TYPE, "%.*s is no %s", DRAY_VALUE_ARG(text), dray_type_name(target->type));
  }
  return dray_builder_text(builder, target->column, text, &rows->bad);
}

// The value is to blame and no more: its column is null in a row that says so, the others are read. Returns as judge.
static int put_misfit(struct dray_json_rows *rows, const struct dray_json_node *node, size_t column, int32_t code) {
  char text[DRAY_ERROR_TEXT_MAX];
  struct dray_error why;
  if (rows->error_column < 0 || rows->bad.error_class != DRAY_CLASS_DATA) return judge(rows, node->path, code);
  (void)snprintf(text, sizeof(text), "%.*s: %.800s", DRAY_VALUE_ARG(node->path), rows->bad.text);
  dray_error_init(&why);
  (void)dray_json_rows_fail_here(rows, &why, code, text);
  rows->misfits++;
  const int32_t put = dray_builder_misfit(rows->builder, column, &why, rows->error);
  return put == DRAY_OK ? 1 : dray_json_rows_stop(rows, put);
}

static int put_targets(struct dray_json_rows *rows, const struct dray_json_node *node, int32_t kind,
                       struct dray_str text) {
  for (const struct dray_json_target *target = node->targets; target != NULL; target = target->next) {
    const int32_t code = put_scalar(rows, target, kind, text);
    if (code != DRAY_OK && !put_misfit(rows, node, target->column, code)) return 0;
    if (rows->spoiled) return 1;
  }
  return 1;
}

// A null says of everything below it that there is none.
static int put_nulls(struct dray_json_rows *rows, const struct dray_json_node *node) {
  if (!put_targets(rows, node, DRAY_JSON_NULL, dray_str_make("null", 4))) return 0;
  for (const struct dray_json_node *child = node->children; child != NULL && !rows->spoiled; child = child->sibling) {
    if (!put_nulls(rows, child)) return 0;
  }
  return 1;
}

static int put_value(struct dray_json_rows *rows, struct dray_json_node *node, int32_t kind, struct dray_str text) {
  return kind == DRAY_JSON_NULL ? put_nulls(rows, node) : put_targets(rows, node, kind, text);
}

// The node of a value that begins inside a record, NULL when nobody wants it.
static struct dray_json_node *next_node(struct dray_json_frame *frame) {
  if (!frame->is_object) return dray_json_node_element(frame->node, frame->index++);
  struct dray_json_node *node = frame->member;
  frame->member = NULL;
  return node;
}

// ---- records ----

static int32_t write_bad_row(struct dray_json_rows *rows) {
  char text[DRAY_ERROR_TEXT_MAX + 64];
  const int len = snprintf(text, sizeof(text), "%s: %s", dray_error_info(rows->bad.code)->name, rows->bad.text);
  const struct dray_str reason = dray_str_make(text, (uint64_t)len);
  return dray_builder_end_bad_row(rows->builder, (size_t)rows->error_column, reason, &rows->full, rows->error);
}

// Whether only_with or only_without leave the record out. Of one that is not whole nobody can tell.
static int is_passed_over(const struct dray_json_rows *rows) {
  if (!rows->is_object || !rows->is_whole) return 0;
  if (rows->only_with != NULL && (rows->filter_seen & DRAY_JSON_FILTER_WITH) == 0) return 1;
  if ((rows->filter_seen & DRAY_JSON_FILTER_WITHOUT) != 0) return 1;
  if (rows->wanted == NULL) return 0;
  struct dray_str values[DRAY_JSON_MEMBERS_MAX] = {{NULL, 0}};
  for (size_t i = 0; i < rows->member_count; i++) {
    if ((rows->member_seen >> i & 1) != 0) values[i] = dray_buffer_view(&rows->member_text[i]);
  }
  return !rows->wanted(rows->wanted_ctx, values);
}

static int32_t put_constants(struct dray_json_rows *rows) {
  for (size_t i = 0; i < rows->constant_count; i++) {
    const struct dray_json_constant *constant = &rows->constants[i];
    if (constant->text->len == 0) {
      DRAY_TRY(dray_builder_null(rows->builder, constant->column, rows->error));
    } else {
      DRAY_TRY(dray_builder_text(rows->builder, constant->column, dray_buffer_view(constant->text), rows->error));
    }
  }
  return DRAY_OK;
}

int dray_json_rows_end_record(struct dray_json_rows *rows) {
  rows->in_record = 0;
  int32_t code = DRAY_OK;
  const uint64_t misfits = rows->misfits;
  rows->misfits = 0;
  if (is_passed_over(rows)) {
    rows->spoiled = 0;
    dray_builder_abandon_row(rows->builder);
    return 1;
  }
  if (!rows->spoiled) {
    rows->bad_count += misfits > 0;
    code = put_constants(rows);
    if (code == DRAY_OK) code = dray_builder_end_row(rows->builder, &rows->full, rows->error);
  } else {
    rows->spoiled = 0;
    rows->bad_count++;
    dray_builder_abandon_row(rows->builder);
    if (rows->error_column < 0) {
      return dray_json_rows_stop(rows, dray_fail(rows->error, rows->bad.code, "%s", rows->bad.text));
    }
    code = write_bad_row(rows);
  }
  if (code != DRAY_OK) return dray_json_rows_stop(rows, code);
  return !rows->full;
}

// Documents only; a line's record ends with the line.
static int record_over(struct dray_json_rows *rows) {
  rows->is_whole = 1;
  const uint64_t now = rows->lines ? 0 : here(rows);
  if (dray_json_rows_oversize(rows, now)) return 0;
  rows->in_record = 0;
  if (rows->lines) return 1;
  rows->mark = now;
  return dray_json_rows_end_record(rows);
}

// Whether some path leads into a record of that kind; if not, the record is bad.
static int check_shape(struct dray_json_rows *rows, int32_t kind) {
  const struct dray_json_node *root = &rows->fields.nodes[0];
  const int has_elements = root->children != NULL;
  if (root->targets != NULL || !has_elements) return 1; // the record itself is wanted, or nothing at all
  if (kind == DRAY_JSON_OBJECT && root->named > 0) return 1;
  if (kind == DRAY_JSON_ARRAY) {
    for (const struct dray_json_node *child = root->children; child != NULL; child = child->sibling) {
      if (child->name == NULL) return 1;
    }
    (void)spoil_record(rows, DRAY_E_DATA_SHAPE, "the record is an array; are the records its elements?");
  } else {
    (void)spoil_record(rows, DRAY_E_DATA_SHAPE, "the record is not of the kind that the columns are read from");
  }
  return 0;
}

static void begin_record(struct dray_json_rows *rows, int32_t kind) {
  rows->in_record = 1;
  rows->reached = 1;
  rows->is_object = kind == DRAY_JSON_OBJECT;
  rows->is_whole = 0;
  rows->filter_key = 0;
  rows->filter_seen = 0;
  rows->member_key = -1;
  rows->member_seen = 0;
  rows->record_count++;
  if (rows->lines) {
    rows->line_records++;
  } else {
    rows->mark = here(rows);
  }
}

// ---- outside of records ----

// Documents: nothing outside of records may hold the parser for longer than a record may be.
static int note_place(struct dray_json_rows *rows) {
  if (rows->lines) return 1;
  const uint64_t now = here(rows);
  if (dray_json_rows_oversize(rows, now)) return 0;
  rows->mark = now;
  return 1;
}

// Whether the value that begins inside the `depth` innermost containers lies on records_path.
static int on_records_path(struct dray_json_rows *rows, size_t depth) {
  if (depth == 0) return 1;
  struct dray_json_level *level = &rows->levels[depth - 1];
  const struct dray_json_step *step = &rows->steps[depth - 1];
  if (level->is_object) {
    const int hit = level->hit;
    level->hit = 0;
    return hit;
  }
  const uint64_t index = level->index++;
  return step->kind == DRAY_JSON_STEP_ALL || index == step->index;
}

// A line with a second value: what it is cannot be told.
static int refuse_second(struct dray_json_rows *rows) {
  rows->is_whole = 0;
  if (rows->spoiled) return 1;
  (void)spoil_record(rows, DRAY_E_DATA_JSON, "the line holds more than one value");
  return 1;
}

// An escape that no text can hold: it matters where somebody wants the text.
static int refuse_surrogate(struct dray_json_rows *rows, struct dray_str path) {
  const int32_t code =
      dray_fail(&rows->bad, DRAY_E_DATA_UTF8, "a \\u escape is one half of a surrogate pair without the other");
  return judge(rows, path, code);
}

static int scalar_outside(struct dray_json_rows *rows, int32_t kind, struct dray_str text, int lone) {
  if (!note_place(rows)) return 0;
  const size_t depth = (size_t)rows->depth;
  if (!on_records_path(rows, depth) || depth != rows->step_count) return 1;
  if (rows->lines && rows->line_records > 0) return refuse_second(rows);
  begin_record(rows, kind);
  struct dray_json_node *root = &rows->fields.nodes[0];
  if (check_shape(rows, kind)) {
    const int kept =
        lone && root->targets != NULL ? refuse_surrogate(rows, root->path) : put_value(rows, root, kind, text);
    if (!kept) return 0;
  }
  return record_over(rows);
}

static int open_frame(struct dray_json_rows *rows, struct dray_json_node *node, int32_t kind);

static int open_outside(struct dray_json_rows *rows, int32_t kind) {
  if (!note_place(rows)) return 0;
  const size_t depth = (size_t)rows->depth - 1;
  const int is_object = kind == DRAY_JSON_OBJECT;
  const int wanted = on_records_path(rows, depth);
  if (wanted && depth == rows->step_count) {
    if (rows->lines && rows->line_records > 0) {
      rows->skip_depth = rows->depth;
      return refuse_second(rows);
    }
    begin_record(rows, kind);
    return !check_shape(rows, kind) || open_frame(rows, &rows->fields.nodes[0], kind);
  }
  if (!wanted || is_object != (rows->steps[depth].kind == DRAY_JSON_STEP_NAME)) {
    rows->skip_depth = rows->depth;
    return 1;
  }
  if (depth == rows->array_at) rows->reached = 1;
  rows->levels[depth] = (struct dray_json_level){.is_object = is_object};
  return 1;
}

// ---- inside of records ----

static int takes_containers(const struct dray_json_target *target) {
  return target->type == DRAY_TYPE_JSON || target->type == DRAY_TYPE_STRING;
}

static int open_frame(struct dray_json_rows *rows, struct dray_json_node *node, int32_t kind) {
  struct dray_json_frame *frame = &rows->frames[above(rows)];
  *frame =
      (struct dray_json_frame){.node = node, .capture = DRAY_JSON_NO_CAPTURE, .is_object = kind == DRAY_JSON_OBJECT};
  int captured = 0;
  for (const struct dray_json_target *target = node->targets; target != NULL; target = target->next) {
    if (takes_containers(target)) {
      captured = 1;
      continue;
    }
    const int32_t code = dray_fail(&rows->bad, DRAY_E_DATA_TYPE, "%s is no %s",
                                   frame->is_object ? "an object" : "an array", dray_type_name(target->type));
    if (!put_misfit(rows, node, target->column, code)) return 0;
    if (rows->spoiled) return 1;
  }
  if (captured && rows->captures == 0) {
    dray_buffer_clear(&rows->text);
    rows->emitter.comma = 0;
  }
  if (captured) rows->captures++;
  if (rows->captures == 0) return 1;
  if (!judge_text(rows, dray_json_emit_open(&rows->emitter, frame->is_object ? '{' : '[', &rows->bad))) return 0;
  if (captured) frame->capture = rows->text.len - 1;
  return 1;
}

static int close_frame(struct dray_json_rows *rows) {
  const struct dray_json_frame *frame = &rows->frames[above(rows)];
  if (rows->captures == 0) return 1;
  if (!judge_text(rows, dray_json_emit_close(&rows->emitter, frame->is_object ? '}' : ']', &rows->bad))) return 0;
  if (frame->capture == DRAY_JSON_NO_CAPTURE || rows->spoiled) return 1;
  rows->captures--;
  const struct dray_str text = dray_str_make(rows->text.data + frame->capture, rows->text.len - frame->capture);
  for (const struct dray_json_target *target = frame->node->targets; target != NULL; target = target->next) {
    if (!takes_containers(target)) continue;
    const int32_t code = dray_builder_bytes(rows->builder, target->column, text, &rows->bad);
    if (code != DRAY_OK && !put_misfit(rows, frame->node, target->column, code)) return 0;
    if (rows->spoiled) return 1;
  }
  return 1;
}

// Notes that a value came for the node; a second one in the same record spoils it.
static int claim(struct dray_json_rows *rows, struct dray_json_node *node) {
  if (node->seen == rows->record_count) {
    (void)judge(rows, node->path, dray_fail(&rows->bad, DRAY_E_DATA_JSON, "the member stands twice in one object"));
    return 0;
  }
  node->seen = rows->record_count;
  return 1;
}

// ---- only_with, only_without, wanted ----

static int is_own_level(const struct dray_json_rows *rows) {
  return rows->in_record && rows->depth == (int32_t)rows->step_count + 1 &&
         (rows->only_with != NULL || rows->only_without != NULL || rows->member_count > 0);
}

// A value on the record's own level; text.data NULL: a container.
static int note_own(struct dray_json_rows *rows, int32_t kind, struct dray_str text) {
  const ptrdiff_t key = rows->member_key;
  rows->member_key = -1;
  if (kind != DRAY_JSON_NULL) rows->filter_seen |= rows->filter_key;
  if (key < 0 || kind == DRAY_JSON_NULL || text.data == NULL) return 1;
  dray_buffer_clear(&rows->member_text[key]);
  const int32_t code = dray_buffer_append(&rows->member_text[key], text.data, (size_t)text.len, rows->error);
  if (code != DRAY_OK) return dray_json_rows_stop(rows, code);
  rows->member_seen |= 1u << key;
  return 1;
}

static void note_filter_key(struct dray_json_rows *rows, struct dray_str name, int lone) {
  rows->filter_key = 0;
  rows->member_key = -1;
  if (lone) return;
  for (size_t i = 0; i < rows->member_count; i++) {
    if (dray_str_is(name, rows->members[i])) rows->member_key = (ptrdiff_t)i;
  }
  if (rows->only_with != NULL && dray_str_is(name, rows->only_with)) rows->filter_key |= DRAY_JSON_FILTER_WITH;
  if (rows->only_without != NULL && dray_str_is(name, rows->only_without)) rows->filter_key |= DRAY_JSON_FILTER_WITHOUT;
}

// ---- events ----

static int on_scalar(struct dray_json_rows *rows, int32_t kind, struct dray_str text) {
  const int lone = rows->lone_surrogate && kind == DRAY_JSON_STRING;
  if (lone) rows->lone_surrogate = 0;
  if (!rows->in_record && rows->watch_count > 0 && !dray_json_captures_scalar(rows, kind, text, lone)) return 0;
  if (is_own_level(rows) && !note_own(rows, kind, text)) return 0;
  if (rows->skip_depth != 0 && rows->captures == 0) return rows->in_record || note_place(rows);
  if (!rows->in_record) return scalar_outside(rows, kind, text, lone);
  struct dray_json_node *node = rows->skip_depth != 0 ? NULL : next_node(&rows->frames[above(rows)]);
  if (lone && (rows->captures > 0 || node != NULL)) {
    return refuse_surrogate(rows, node != NULL ? node->path : rows->fields.nodes[0].path);
  }
  if (rows->captures > 0) {
    const int kept = kind == DRAY_JSON_STRING ? capture_string(rows, text) : capture_literal(rows, text);
    if (!kept || rows->spoiled) return kept;
  }
  if (node == NULL || !claim(rows, node)) return 1;
  return put_value(rows, node, kind, text);
}

static int on_null(void *ctx) {
  return on_scalar(ctx, DRAY_JSON_NULL, dray_str_make("null", 4));
}

static int on_boolean(void *ctx, int value) {
  return on_scalar(ctx, DRAY_JSON_BOOL, value ? dray_str_make("true", 4) : dray_str_make("false", 5));
}

static int on_number(void *ctx, const char *digits, size_t len) {
  return on_scalar(ctx, DRAY_JSON_NUMBER, dray_str_make(digits, len));
}

static int on_string(void *ctx, const unsigned char *text, size_t len) {
  return on_scalar(ctx, DRAY_JSON_STRING, dray_str_make((const char *)text, len));
}

static int on_key(void *ctx, const unsigned char *name, size_t len) {
  struct dray_json_rows *rows = ctx;
  const struct dray_str view = dray_str_make((const char *)name, len);
  const int lone = rows->lone_surrogate;
  rows->lone_surrogate = 0;
  if (!rows->in_record && rows->watch_count > 0 && !dray_json_captures_key(rows, view, lone)) return 0;
  if (is_own_level(rows)) note_filter_key(rows, view, lone);
  if (rows->skip_depth == 0 && rows->in_record) {
    struct dray_json_frame *frame = &rows->frames[above(rows)];
    frame->member = lone ? NULL : dray_json_node_member(frame->node, view.data, len);
  } else if (!rows->in_record) {
    if (!note_place(rows)) return 0;
    if (rows->skip_depth == 0) {
      const size_t depth = (size_t)rows->depth - 1;
      rows->levels[depth].hit = !lone && dray_json_step_is(&rows->steps[depth], view);
    }
  }
  if (rows->captures == 0) return 1;
  return lone ? refuse_surrogate(rows, rows->fields.nodes[0].path) : capture_key(rows, view);
}

static int refuse_depth(struct dray_json_rows *rows) {
  char text[64];
  (void)snprintf(text, sizeof(text), "JSON is nested deeper than %d levels", rows->depth_max);
  if (!rows->lines) {
    if (dray_json_rows_oversize(rows, here(rows))) return 0;
    return dray_json_rows_stop(rows, dray_json_rows_fail_here(rows, rows->error, DRAY_E_LIMIT, text));
  }
  if (!rows->spoiled) (void)spoil_record(rows, DRAY_E_LIMIT, text);
  return 0; // the line is given up
}

static int on_open(struct dray_json_rows *rows, int32_t kind) {
  if (rows->depth == rows->depth_max) return refuse_depth(rows);
  if (!rows->in_record && rows->watch_count > 0 && !dray_json_captures_open(rows, kind)) return 0;
  if (is_own_level(rows) && !note_own(rows, kind, dray_str_make(NULL, 0))) return 0;
  rows->depth++;
  if (rows->skip_depth == 0 && !rows->in_record) return open_outside(rows, kind);
  if (rows->skip_depth == 0) {
    rows->depth--; // the frame that the value belongs to
    struct dray_json_node *node = next_node(&rows->frames[above(rows)]);
    rows->depth++;
    if (node != NULL) return !claim(rows, node) || open_frame(rows, node, kind);
    rows->skip_depth = rows->depth;
  }
  if (rows->captures > 0) {
    return judge_text(rows, dray_json_emit_open(&rows->emitter, kind == DRAY_JSON_OBJECT ? '{' : '[', &rows->bad));
  }
  return rows->in_record || note_place(rows);
}

static int on_close(struct dray_json_rows *rows, char bracket) {
  if (!rows->in_record && rows->watch_count > 0 && !dray_json_captures_close(rows, bracket)) return 0;
  if (rows->skip_depth != 0) {
    if (rows->captures > 0 && !judge_text(rows, dray_json_emit_close(&rows->emitter, bracket, &rows->bad))) return 0;
    if (rows->depth == rows->skip_depth) rows->skip_depth = 0;
  } else if (rows->in_record) {
    if (!close_frame(rows)) return 0;
    if (rows->depth == rows->skip_depth) rows->skip_depth = 0; // spoiled by its last byte: nothing left to skip
  }
  rows->depth--;
  if (!rows->in_record) return note_place(rows);
  return rows->depth != (int32_t)rows->step_count || record_over(rows);
}

static int on_begin_object(void *ctx) {
  return on_open(ctx, DRAY_JSON_OBJECT);
}
static int on_begin_array(void *ctx) {
  return on_open(ctx, DRAY_JSON_ARRAY);
}
static int on_end_object(void *ctx) {
  return on_close(ctx, '}');
}
static int on_end_array(void *ctx) {
  return on_close(ctx, ']');
}

const yajl_callbacks dray_json_rows_callbacks = {.yajl_null = on_null,
                                                 .yajl_boolean = on_boolean,
                                                 .yajl_number = on_number,
                                                 .yajl_string = on_string,
                                                 .yajl_start_map = on_begin_object,
                                                 .yajl_map_key = on_key,
                                                 .yajl_end_map = on_end_object,
                                                 .yajl_start_array = on_begin_array,
                                                 .yajl_end_array = on_end_array};
