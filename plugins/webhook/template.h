// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// JSON templates without logic: any JSON document in which the text "{{name}}" stands for a value of any kind, and a
// text with {{name}} inside for a text. Compiled once per run, rendered per batch and per row.
#ifndef WEBHOOK_TEMPLATE_H
#define WEBHOOK_TEMPLATE_H

#include "dray/sdk.h"

// What the names mean is the caller's: compile asks it for a number, render for the value behind the number.
struct webhook_names {
  void *ctx;
  // The number of a name, or an error that says which names there are.
  int32_t (*resolve)(void *ctx, struct dray_str name, int32_t *out_number, struct dray_error *error);
};

struct webhook_values {
  void *ctx;
  // Whether there is a value; a member without one is left out, an element is null.
  int (*has)(void *ctx, int32_t number);
  // Writes the value.
  void (*write)(void *ctx, int32_t number, struct dray_json_writer *writer);
  // Appends the value as text, for use within a text. Nothing for null.
  int32_t (*text)(void *ctx, int32_t number, struct dray_buffer *out, struct dray_error *error);
};

struct webhook_template; // opaque

// @errors CONFIG_VALUE with `setting` as the field, what `resolve` gives, LIMIT, OUT_OF_MEMORY. The caller frees *out.
DRAY_NODISCARD int32_t webhook_template_compile(const char *json, const char *setting,
                                                const struct webhook_names *names, struct webhook_template **out,
                                                struct dray_error *error);
void webhook_template_free(struct webhook_template *template);
// How often a number occurs as a whole value, and how often within a text.
size_t webhook_template_count(const struct webhook_template *template, int32_t number, size_t *out_in_text);
// Writes the document at the writer's place; errors stick to the writer.
void webhook_template_render(const struct webhook_template *template, const struct webhook_values *values,
                             struct dray_json_writer *writer);

#endif // WEBHOOK_TEMPLATE_H
