// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary that sections are read with: mappings by tables of keys, and typed values. Whatever is wrong becomes
// a problem and reading goes on, so that one look shows everything.
#include <stdio.h>

#include "config/inside.h"

const char *dr_node_kind_name(int kind) {
  static const char *const names[] = {"nothing", "nothing", "true or false", "a whole number", "a number",
                                      "a text",  "a list",  "a mapping",     "a secret"};
  return kind > 0 && kind < (int)(sizeof(names) / sizeof(names[0])) ? names[kind] : names[0];
}

static int is_old_boolean(const struct dr_node *node) {
  static const char *const words[] = {"yes", "no", "on", "off", "Yes", "No", "On", "Off", "YES", "NO", "ON", "OFF"};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    if (node->kind == DR_NODE_STRING && dray_str_is(node->text, words[i])) return 1;
  }
  return 0;
}

static int is_quoted_number(const struct dr_node *node) {
  struct dr_node bare = *node;
  if (node->kind != DR_NODE_STRING) return 0;
  dr_scalar_resolve(&bare);
  return bare.kind == DR_NODE_INT || bare.kind == DR_NODE_FLOAT;
}

// What surprises people about YAML, for a value that is not what was wanted.
static const char *type_hint(const struct dr_node *node, const char *wanted) {
  const int is_other_scalar = node->kind == DR_NODE_INT || node->kind == DR_NODE_FLOAT || node->kind == DR_NODE_BOOL;
  if (strcmp(wanted, "true or false") == 0 && is_old_boolean(node))
    return "yes, no, on and off are texts since YAML 1.2; write true or false";
  if (strstr(wanted, "text") != NULL && is_other_scalar)
    return "without quotes YAML reads it as a number or as true or false; put it in quotes";
  if (node->kind == DR_NODE_NULL && node->text.len == 0) return "nothing stands after the colon";
  if (strstr(wanted, "number") != NULL && is_quoted_number(node)) return "in quotes a number is a text; take them away";
  return NULL;
}

int32_t dr_problem_type(struct dr_reader *reader, const struct dr_node *node, const char *wanted) {
  if (node->kind == DR_NODE_SECRET)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_TYPE, NULL,
                         "!secret and !literal are for settings that a plugin marks as secret",
                         "%s%.*s%s must be %s, not a secret", node->name.len > 0 ? "`" : "", DRAY_STR_ARG(node->name),
                         node->name.len > 0 ? "`" : "this", wanted);
  if (node->name.len == 0)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_TYPE, NULL, type_hint(node, wanted), "this must be %s, not %s",
                         wanted, dr_node_kind_name(node->kind));
  return dr_problem_at(reader, node, DRAY_E_CONFIG_TYPE, NULL, type_hint(node, wanted), "`%.*s` must be %s, not %s",
                       DRAY_STR_ARG(node->name), wanted, dr_node_kind_name(node->kind));
}

int dr_name_is_torn(const struct dr_node *node) {
  return node->kind == DR_NODE_NULL && node->name.len > 0 &&
         memchr(node->name.data, ':', (size_t)node->name.len) != NULL;
}

int32_t dr_problem_torn(struct dr_reader *reader, const struct dr_node *node) {
  return dr_problem_at_name(reader, node, DRAY_E_CONFIG_SYNTAX, NULL, "without it the colon is a part of the key",
                            "a blank is missing after the colon, in %s", reader->where);
}

int dr_is_open_decimal(const struct dr_node *node) {
  return node->kind == DR_NODE_STRING && node->text.len >= 8 && memcmp(node->text.data, "decimal(", 8) == 0 &&
         memchr(node->text.data, ')', (size_t)node->text.len) == NULL;
}

int dr_is_torn_decimal(const struct dr_node *node) {
  const struct dr_node *next = node->next;
  return dr_is_open_decimal(node) && next != NULL && next->kind == DR_NODE_NULL && next->name.len > 0 &&
         next->name.data[next->name.len - 1] == ')';
}

static int32_t unknown_key(struct dr_reader *reader, const struct dr_node *child, const struct dr_key *keys,
                           size_t key_count) {
  if (dr_name_is_torn(child)) return dr_problem_torn(reader, child);
  const char *names[64];
  size_t count = 0;
  for (size_t i = 0; i < key_count && count < sizeof(names) / sizeof(names[0]); i++) names[count++] = keys[i].name;
  return dr_problem_at_name(reader, child, DRAY_E_CONFIG_UNKNOWN_KEY, dr_nearest(child->name.data, names, count), NULL,
                            "unknown key \"%.*s\" in %s", DRAY_STR_ARG(child->name), reader->where);
}

int dr_has_key(const struct dr_node *map, const char *name, const struct dr_key *keys, size_t key_count) {
  const char *names[64];
  size_t count = 0;
  if (dr_node_get(map, name) != NULL) return 1;
  for (size_t i = 0; i < key_count && count < sizeof(names) / sizeof(names[0]); i++) names[count++] = keys[i].name;
  for (const struct dr_node *child = map->kind == DR_NODE_MAP ? map->child : NULL; child != NULL; child = child->next) {
    const char *nearest = dr_nearest(child->name.data, names, count);
    if (nearest != NULL && strcmp(nearest, name) == 0) return 1;
  }
  return 0;
}

int32_t dr_read_section(struct dr_reader *reader, const struct dr_node *map, const struct dr_key *keys,
                        size_t key_count) {
  if (map->kind != DR_NODE_MAP) return dr_problem_type(reader, map, "a mapping");
  for (const struct dr_node *child = map->child; child != NULL; child = child->next) {
    size_t i = 0;
    while (i < key_count && !dray_str_is(child->name, keys[i].name)) i++;
    if (i < key_count) {
      DRAY_TRY(keys[i].read(reader, child));
    } else {
      DRAY_TRY(unknown_key(reader, child, keys, key_count));
    }
  }
  return DRAY_OK;
}

int32_t dr_read_text(struct dr_reader *reader, const struct dr_node *node, const char **out) {
  if (node->kind != DR_NODE_STRING) return dr_problem_type(reader, node, "a text");
  if (node->text.len == 0)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "`%.*s` is empty", DRAY_STR_ARG(node->name));
  *out = node->text.data;
  return DRAY_OK;
}

int32_t dr_read_texts(struct dr_reader *reader, const struct dr_node *node, const char *const **out,
                      size_t *out_count) {
  if (node->kind != DR_NODE_LIST && node->kind != DR_NODE_STRING)
    return dr_problem_type(reader, node, "a text or a list of texts");
  if (node->kind == DR_NODE_LIST && node->child_count == 0)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "`%.*s` is an empty list",
                         DRAY_STR_ARG(node->name));
  const size_t room = node->kind == DR_NODE_LIST ? node->child_count : 1;
  const char **texts = NULL;
  size_t count = 0;
  DRAY_TRY(dr_project_alloc(reader->project, room * sizeof(*texts), &texts, reader->error));
  for (const struct dr_node *item = node->kind == DR_NODE_LIST ? node->child : node; item != NULL; item = item->next) {
    const char *text = NULL;
    DRAY_TRY(dr_read_text(reader, item, &text));
    int twice = 0;
    for (size_t i = 0; text != NULL && i < count; i++) twice |= strcmp(texts[i], text) == 0;
    if (twice)
      DRAY_TRY(dr_problem_at(reader, item, DRAY_E_CONFIG_VALUE, NULL, NULL, "\"%s\" stands twice in this list", text));
    else if (text != NULL)
      texts[count++] = text;
    if (node->kind != DR_NODE_LIST) break;
  }
  *out = texts;
  *out_count = count;
  return DRAY_OK;
}

int32_t dr_read_choice(struct dr_reader *reader, const struct dr_node *node, const struct dr_choice *choices,
                       size_t choice_count, int *out) {
  const char *names[16];
  char list[256] = "";
  size_t len = 0;
  if (node->kind != DR_NODE_STRING) return dr_problem_type(reader, node, "a text");
  for (size_t i = 0; i < choice_count && i < sizeof(names) / sizeof(names[0]); i++) {
    names[i] = choices[i].name;
    if (dray_str_is(node->text, choices[i].name)) {
      *out = choices[i].value;
      return DRAY_OK;
    }
    const int n = snprintf(list + len, sizeof(list) - len, "%s%s",
                           i == 0                  ? ""
                           : i + 1 == choice_count ? " or "
                                                   : ", ",
                           names[i]);
    if (n > 0 && (size_t)n < sizeof(list) - len) len += (size_t)n;
  }
  return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, dr_nearest(node->text.data, names, choice_count), NULL,
                       "`%.*s` is %s, not \"%.*s\"", DRAY_STR_ARG(node->name), list, DRAY_STR_ARG(node->text));
}

int32_t dr_read_count(struct dr_reader *reader, const struct dr_node *node, uint64_t minimum, uint64_t maximum,
                      uint64_t *out) {
  if (node->kind != DR_NODE_INT) return dr_problem_type(reader, node, "a whole number");
  if (node->integer < 0 || (uint64_t)node->integer < minimum || (uint64_t)node->integer > maximum)
    return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "`%.*s` is from %llu to %llu, not %lld",
                         DRAY_STR_ARG(node->name), (unsigned long long)minimum, (unsigned long long)maximum,
                         (long long)node->integer);
  *out = (uint64_t)node->integer;
  return DRAY_OK;
}

int32_t dr_read_size(struct dr_reader *reader, const struct dr_node *node, uint64_t *out) {
  if (node->kind != DR_NODE_STRING && node->kind != DR_NODE_INT) return dr_problem_type(reader, node, "a size");
  if (dr_parse_size(node->text, out)) return DRAY_OK;
  return dr_problem_at(reader, node, DRAY_E_CONFIG_VALUE, NULL, "units are B, KiB, MiB, GiB, TiB and kB, MB, GB, TB",
                       "`%.*s` is a size such as 256MiB, not \"%.*s\"", DRAY_STR_ARG(node->name),
                       DRAY_STR_ARG(node->text));
}

int32_t dr_read_duration(struct dr_reader *reader, const struct dr_node *node, int64_t *out_ms) {
  if (node->kind != DR_NODE_STRING && node->kind != DR_NODE_INT) return dr_problem_type(reader, node, "a duration");
  if (dr_parse_duration(node->text, out_ms)) return DRAY_OK;
  return dr_problem_at(
      reader, node, DRAY_E_CONFIG_VALUE, NULL, "units are ms, s, m, h and d; 1h30m is an hour and a half",
      "`%.*s` is a duration such as 5m, not \"%.*s\"", DRAY_STR_ARG(node->name), DRAY_STR_ARG(node->text));
}
