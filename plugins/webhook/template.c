// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The template as a flat program. A document is a few dozen steps; rendering walks them and looks nothing up by name.
#include "template.h"

#include <stdlib.h>

#define TEMPLATE_BYTES_MAX (256u << 10)
#define TEXT_BYTES_MAX (16u << 20)

enum {
  STEP_OBJECT,
  STEP_OBJECT_END,
  STEP_ARRAY,
  STEP_ARRAY_END,
  STEP_KEY,
  STEP_RAW,
  STEP_VALUE,
  STEP_TEXT,
  STEP_PIECE,
  STEP_TEXT_END
};

struct step {
  int kind;
  int32_t number; // VALUE; PIECE: -1 for a literal one
  char *text;     // KEY: the name; RAW: JSON; PIECE: the literal
};

struct webhook_template {
  struct step *steps;
  size_t count, capacity;
};

struct compiler {
  struct webhook_template *template;
  const char *setting;
  const struct webhook_names *names;
  struct dray_error *error;
};

static int32_t add(struct compiler *compiler, int kind, int32_t number, const struct dray_str *text) {
  struct webhook_template *template = compiler->template;
  if (template->count == template->capacity) {
    const size_t capacity = template->capacity == 0 ? 32 : template->capacity * 2;
    struct step *grown = realloc(template->steps, capacity * sizeof(*grown));
    if (grown == NULL) return dray_fail(compiler->error, DRAY_E_OUT_OF_MEMORY, "no memory for a template");
    template->steps = grown;
    template->capacity = capacity;
  }
  struct step step = {kind, number, NULL};
  if (text != NULL) {
    step.text = dray_str_dup(*text);
    if (step.text == NULL) return dray_fail(compiler->error, DRAY_E_OUT_OF_MEMORY, "no memory for a template");
  }
  template->steps[template->count++] = step;
  return DRAY_OK;
}

// Finds "{{name}}" from `at` on. Returns 0 when there is none; *out_end is behind it.
static int find_name(struct dray_str text, uint64_t at, uint64_t *out_start, uint64_t *out_end,
                     struct dray_str *out_name) {
  for (; at + 4 <= text.len; at++) {
    if (text.data[at] != '{' || text.data[at + 1] != '{') continue;
    uint64_t end = at + 2;
    while (end + 1 < text.len && !(text.data[end] == '}' && text.data[end + 1] == '}')) end++;
    if (end + 1 >= text.len) return 0;
    uint64_t from = at + 2, to = end;
    while (from < to && text.data[from] == ' ') from++;
    while (to > from && text.data[to - 1] == ' ') to--;
    *out_start = at;
    *out_end = end + 2;
    *out_name = dray_str_make(text.data + from, to - from);
    return 1;
  }
  return 0;
}

static int32_t resolve(struct compiler *compiler, struct dray_str name, int32_t *out_number) {
  return compiler->names->resolve(compiler->names->ctx, name, out_number, compiler->error);
}

static int32_t compile_text(struct compiler *compiler, struct dray_str text) {
  uint64_t at = 0, start = 0, end = 0;
  int32_t number = -1;
  struct dray_str name;
  const int any = find_name(text, 0, &start, &end, &name);
  if (any && start == 0 && end == text.len) {
    DRAY_TRY(resolve(compiler, name, &number));
    return add(compiler, STEP_VALUE, number, NULL);
  }
  DRAY_TRY(add(compiler, STEP_TEXT, -1, NULL));
  while (find_name(text, at, &start, &end, &name)) {
    const struct dray_str literal = dray_str_make(text.data + at, start - at);
    if (literal.len > 0) DRAY_TRY(add(compiler, STEP_PIECE, -1, &literal));
    DRAY_TRY(resolve(compiler, name, &number));
    DRAY_TRY(add(compiler, STEP_PIECE, number, NULL));
    at = end;
  }
  const struct dray_str rest = dray_str_make(text.data + at, text.len - at);
  if (rest.len > 0) DRAY_TRY(add(compiler, STEP_PIECE, -1, &rest));
  return add(compiler, STEP_TEXT_END, -1, NULL);
}

// The parser has bounded the depth.
static int32_t compile_value(struct compiler *compiler, const struct dray_json *value) {
  static const struct dray_str words[] = {{"null", 4}, {"true", 4}, {"false", 5}};
  if (value->kind == DRAY_JSON_STRING) return compile_text(compiler, value->text);
  if (value->kind == DRAY_JSON_NUMBER) return add(compiler, STEP_RAW, -1, &value->text);
  if (value->kind == DRAY_JSON_NULL) return add(compiler, STEP_RAW, -1, &words[0]);
  if (value->kind == DRAY_JSON_BOOL) return add(compiler, STEP_RAW, -1, &words[value->boolean ? 1 : 2]);
  const int object = value->kind == DRAY_JSON_OBJECT;
  DRAY_TRY(add(compiler, object ? STEP_OBJECT : STEP_ARRAY, -1, NULL));
  for (const struct dray_json *child = value->child; child != NULL; child = child->next) {
    if (object) DRAY_TRY(add(compiler, STEP_KEY, -1, &child->name));
    DRAY_TRY(compile_value(compiler, child));
  }
  return add(compiler, object ? STEP_OBJECT_END : STEP_ARRAY_END, -1, NULL);
}

int32_t webhook_template_compile(const char *json, const char *setting, const struct webhook_names *names,
                                 struct webhook_template **out, struct dray_error *error) {
  struct dray_json *root = NULL;
  struct webhook_template *template = calloc(1, sizeof(*template));
  if (template == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a template");
  struct compiler compiler = {template, setting, names, error};
  int32_t rc = dray_json_parse(dray_str_of(json), TEMPLATE_BYTES_MAX, &root, error);
  if (rc == DRAY_E_DATA_JSON) {
    rc = dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting, "%s is not a JSON document that can be a template",
                         setting);
  }
  if (rc == DRAY_OK) rc = compile_value(&compiler, root);
  dray_json_free(root);
  if (rc != DRAY_OK) {
    webhook_template_free(template);
    return rc;
  }
  *out = template;
  return DRAY_OK;
}

void webhook_template_free(struct webhook_template *template) {
  if (template == NULL) return;
  for (size_t i = 0; i < template->count; i++) free(template->steps[i].text);
  free(template->steps);
  free(template);
}

size_t webhook_template_count(const struct webhook_template *template, int32_t number, size_t *out_in_text) {
  size_t whole = 0, in_text = 0;
  for (size_t i = 0; i < template->count; i++) {
    whole += template->steps[i].kind == STEP_VALUE && template->steps[i].number == number;
    in_text += template->steps[i].kind == STEP_PIECE && template->steps[i].number == number;
  }
  if (out_in_text != NULL) *out_in_text = in_text;
  return whole;
}

// ---- rendering ----

// Writes the text that begins at step `at`; returns the index of its last step.
static size_t render_text(const struct webhook_template *template, size_t at, const struct webhook_values *values,
                          struct dray_json_writer *writer) {
  struct dray_buffer text;
  dray_buffer_init(&text, TEXT_BYTES_MAX);
  int32_t rc = DRAY_OK;
  for (at++; template->steps[at].kind != STEP_TEXT_END; at++) {
    const struct step *piece = &template->steps[at];
    if (rc != DRAY_OK) continue;
    rc = piece->number < 0 ? dray_buffer_append_str(&text, piece->text, writer->error)
                           : values->text(values->ctx, piece->number, &text, writer->error);
  }
  if (rc == DRAY_OK) dray_json_write_str(writer, dray_buffer_view(&text));
  if (rc != DRAY_OK && writer->failed == DRAY_OK) writer->failed = rc;
  dray_buffer_free(&text);
  return at;
}

void webhook_template_render(const struct webhook_template *template, const struct webhook_values *values,
                             struct dray_json_writer *writer) {
  for (size_t i = 0; i < template->count && writer->failed == DRAY_OK; i++) {
    const struct step *step = &template->steps[i];
    const struct step *next = i + 1 < template->count ? &template->steps[i + 1] : NULL;
    switch (step->kind) {
    case STEP_OBJECT:
      dray_json_begin_object(writer);
      break;
    case STEP_OBJECT_END:
      dray_json_end_object(writer);
      break;
    case STEP_ARRAY:
      dray_json_begin_array(writer);
      break;
    case STEP_ARRAY_END:
      dray_json_end_array(writer);
      break;
    case STEP_KEY:
      if (next != NULL && next->kind == STEP_VALUE && !values->has(values->ctx, next->number)) {
        i++; // the member has no value: it is left out
      } else {
        dray_json_key(writer, step->text);
      }
      break;
    case STEP_RAW:
      dray_json_write_raw(writer, dray_str_of(step->text));
      break;
    case STEP_VALUE:
      if (values->has(values->ctx, step->number)) {
        values->write(values->ctx, step->number, writer);
      } else {
        dray_json_write_null(writer);
      }
      break;
    default:
      i = render_text(template, i, values, writer);
      break;
    }
  }
}
