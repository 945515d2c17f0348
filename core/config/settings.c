// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Settings against a plugin's JSON Schema: type, properties, required, additionalProperties, enum, const, minimum,
// maximum, minLength, maxLength, minItems, maxItems, items and writeOnly (a secret). Words beyond these are ignored,
// as
// JSON Schema says. A value that turns out to be no secret is cleared for showing.
#include <stdio.h>
#include <stdlib.h>

#include "config/inside.h"
#include "dray/sdk/json.h"

#define SCHEMA_BYTES_MAX (1024 * 1024)
#define NAMES_MAX 256

struct checking {
  struct dr_reader reader; // `where` is where the settings are: "the settings"
  struct dray_error *error;
};

static int is_true(const struct dray_json *value) {
  return value != NULL && value->kind == DRAY_JSON_BOOL && value->boolean;
}

static int is_secret(const struct dray_json *schema) {
  return is_true(dray_json_get(schema, "writeOnly"));
}

struct type_name {
  const char *name;
  const char *words;
};
static const struct type_name type_names[] = {
    {"string", "a text"}, {"integer", "a whole number"}, {"number", "a number"}, {"boolean", "true or false"},
    {"array", "a list"},  {"object", "a mapping"},       {"null", "nothing"}};

static const char *type_words(struct dray_str name) {
  for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
    if (dray_str_is(name, type_names[i].name)) return type_names[i].words;
  }
  return NULL;
}

static int is_of_type(const struct dr_node *node, struct dray_str type) {
  switch (node->kind) {
  case DR_NODE_STRING:
    return dray_str_is(type, "string");
  case DR_NODE_INT:
    return dray_str_is(type, "integer") || dray_str_is(type, "number");
  case DR_NODE_FLOAT:
    return dray_str_is(type, "number");
  case DR_NODE_BOOL:
    return dray_str_is(type, "boolean");
  case DR_NODE_LIST:
    return dray_str_is(type, "array");
  case DR_NODE_MAP:
    return dray_str_is(type, "object");
  case DR_NODE_NULL:
    return dray_str_is(type, "null");
  default:
    return 0;
  }
}

// "`retries`"; entries of lists have no name.
static const char *label_of(const struct dr_node *node, char *out, size_t out_bytes) {
  (void)snprintf(out, out_bytes, node->name.len > 0 ? "`%.*s`" : "this entry%.*s", DRAY_STR_ARG(node->name));
  return out;
}

// `type` is a name or a list of names. *out_good = 0 after a problem.
static int32_t check_type(struct checking *c, const struct dr_node *node, const struct dray_json *schema,
                          int *out_good) {
  const struct dray_json *type = dray_json_get(schema, "type");
  char wanted[160] = "";
  size_t len = 0;
  *out_good = 1;
  if (type == NULL) return DRAY_OK;
  for (const struct dray_json *one = type->kind == DRAY_JSON_ARRAY ? type->child : type; one != NULL; one = one->next) {
    if (one->kind != DRAY_JSON_STRING || type_words(one->text) == NULL || is_of_type(node, one->text)) return DRAY_OK;
    const int n = snprintf(wanted + len, sizeof(wanted) - len, "%s%s", len > 0 ? " or " : "", type_words(one->text));
    if (n > 0 && (size_t)n < sizeof(wanted) - len) len += (size_t)n;
    if (type->kind != DRAY_JSON_ARRAY) break;
  }
  *out_good = 0;
  if (strcmp(wanted, "a whole number") == 0 && node->kind == DR_NODE_FLOAT && strpbrk(node->text.data, ".eEn") == NULL)
    return dr_problem_at(&c->reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "`%.*s` is larger than a 64-bit number",
                         DRAY_STR_ARG(node->name));
  return dr_problem_type(&c->reader, node, wanted);
}

static int equals(const struct dr_node *node, const struct dray_json *value) {
  switch (value->kind) {
  case DRAY_JSON_STRING:
    return node->kind == DR_NODE_STRING && dray_str_equal(node->text, value->text);
  case DRAY_JSON_NUMBER:
    return (node->kind == DR_NODE_INT || node->kind == DR_NODE_FLOAT) && node->number == strtod(value->text.data, NULL);
  case DRAY_JSON_BOOL:
    return node->kind == DR_NODE_BOOL && node->boolean == value->boolean;
  case DRAY_JSON_NULL:
    return node->kind == DR_NODE_NULL;
  default:
    return 0;
  }
}

static const char *spell(const struct dray_json *value) {
  switch (value->kind) {
  case DRAY_JSON_BOOL:
    return value->boolean ? "true" : "false";
  case DRAY_JSON_NULL:
    return "null";
  default:
    return value->text.data != NULL ? value->text.data : "...";
  }
}

static int32_t check_enum(struct checking *c, const struct dr_node *node, const struct dray_json *schema) {
  const struct dray_json *allowed = dray_json_get(schema, "enum");
  const char *names[NAMES_MAX];
  char list[512] = "", label[80];
  size_t count = 0, len = 0;
  if (allowed == NULL || allowed->kind != DRAY_JSON_ARRAY || allowed->child_count == 0) return DRAY_OK;
  for (const struct dray_json *one = allowed->child; one != NULL; one = one->next) {
    if (equals(node, one)) return DRAY_OK;
    if (one->kind == DRAY_JSON_STRING && count < NAMES_MAX) names[count++] = one->text.data;
    const char *glue = one == allowed->child ? "" : one->next == NULL ? " or " : ", ";
    const int n = snprintf(list + len, sizeof(list) - len, "%s%s", glue, spell(one));
    if (n > 0 && (size_t)n < sizeof(list) - len) len += (size_t)n;
  }
  const char *nearest = node->kind == DR_NODE_STRING ? dr_nearest(node->text.data, names, count) : NULL;
  return dr_problem_at(&c->reader, node, DRAY_E_CONFIG_VALUE, nearest, NULL, "%s is %s, not \"%.*s\"",
                       label_of(node, label, sizeof(label)), list, DRAY_STR_ARG(node->text));
}

// How long or large a value is, in the unit of its limits. 0: it has no such measure.
struct measure {
  double value;
  const char *minimum, *maximum; // words of the schema
  const char *unit;
};

static int measure_of(const struct dr_node *node, struct measure *out) {
  switch (node->kind) {
  case DR_NODE_INT:
  case DR_NODE_FLOAT:
    *out = (struct measure){node->number, "minimum", "maximum", ""};
    return 1;
  case DR_NODE_LIST:
    *out = (struct measure){(double)node->child_count, "minItems", "maxItems", " entries"};
    return 1;
  case DR_NODE_STRING: {
    *out = (struct measure){0, "minLength", "maxLength", " characters"};
    uint32_t c = 0;
    for (size_t at = 0; at < node->text.len; out->value++)
      at += dr_utf8_next(node->text.data + at, (size_t)node->text.len - at, &c);
    return 1;
  }
  default:
    return 0;
  }
}

static int32_t check_limits(struct checking *c, const struct dr_node *node, const struct dray_json *schema) {
  struct measure measure;
  char label[80];
  if (!measure_of(node, &measure)) return DRAY_OK;
  const struct dray_json *minimum = dray_json_get(schema, measure.minimum),
                         *maximum = dray_json_get(schema, measure.maximum);
  const int low =
      minimum != NULL && minimum->kind == DRAY_JSON_NUMBER && !(measure.value >= strtod(minimum->text.data, NULL));
  const int high =
      maximum != NULL && maximum->kind == DRAY_JSON_NUMBER && !(measure.value <= strtod(maximum->text.data, NULL));
  if (low && node->kind == DR_NODE_STRING && node->text.len == 0)
    return dr_problem_at(&c->reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "%s is empty",
                         label_of(node, label, sizeof(label)));
  if (low)
    return dr_problem_at(&c->reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "%s has a minimum of %s%s, it is %.15g",
                         label_of(node, label, sizeof(label)), minimum->text.data, measure.unit, measure.value);
  if (high)
    return dr_problem_at(&c->reader, node, DRAY_E_CONFIG_VALUE, NULL, NULL, "%s has a maximum of %s%s, it is %.15g",
                         label_of(node, label, sizeof(label)), maximum->text.data, measure.unit, measure.value);
  return DRAY_OK;
}

static int32_t check_value(struct checking *c, const struct dr_node *node, const struct dray_json *schema, int depth);

// The setting that a key was meant to be; NULL: none is near.
static const char *meant_setting(const struct dr_node *child, const struct dray_json *properties) {
  const char *names[NAMES_MAX];
  size_t count = 0;
  for (const struct dray_json *p = properties != NULL ? properties->child : NULL; p != NULL && count < NAMES_MAX;
       p = p->next)
    names[count++] = p->name.data;
  return dr_nearest(child->name.data, names, count);
}

static int is_given(const struct dr_node *node, const char *name, const struct dray_json *properties) {
  if (dr_node_get(node, name) != NULL) return 1;
  for (const struct dr_node *child = node != NULL ? node->child : NULL; child != NULL; child = child->next) {
    const char *meant = dray_json_get(properties, child->name.data) == NULL ? meant_setting(child, properties) : NULL;
    if (meant != NULL && strcmp(meant, name) == 0) return 1; // the slip is reported
  }
  return 0;
}

static int32_t unknown_setting(struct checking *c, const struct dr_node *child, const struct dray_json *properties) {
  if (dr_name_is_torn(child)) return dr_problem_torn(&c->reader, child);
  return dr_problem_at_name(&c->reader, child, DRAY_E_CONFIG_UNKNOWN_KEY, meant_setting(child, properties), NULL,
                            "unknown key \"%.*s\" in %s", DRAY_STR_ARG(child->name), c->reader.where);
}

static int32_t check_required(struct checking *c, const struct dr_node *node, struct dr_mark mark, uint32_t width,
                              const struct dray_json *schema) {
  const struct dray_json *required = dray_json_get(schema, "required"),
                         *properties = dray_json_get(schema, "properties");
  for (const struct dray_json *name = required != NULL ? required->child : NULL; name != NULL; name = name->next) {
    if (name->kind != DRAY_JSON_STRING || is_given(node, name->text.data, properties)) continue;
    const struct dray_json *property = dray_json_get(properties, name->text.data);
    const struct dray_str about = dray_json_string(dray_json_get(property, "description"), "");
    DRAY_TRY(dr_project_problem(c->reader.project, mark, width, DRAY_E_CONFIG_MISSING, NULL,
                                about.len > 0 ? about.data : NULL, "`%s` is missing in %s", name->text.data,
                                c->reader.where));
  }
  return DRAY_OK;
}

static int32_t check_object(struct checking *c, const struct dr_node *node, const struct dray_json *schema, int depth) {
  const struct dray_json *properties = dray_json_get(schema, "properties"),
                         *more = dray_json_get(schema, "additionalProperties");
  for (const struct dr_node *child = node->child; child != NULL; child = child->next) {
    const struct dray_json *property = dray_json_get(properties, child->name.data);
    if (property == NULL && dr_is_torn_decimal(child)) {
      DRAY_TRY(dr_problem_at(&c->reader, child, DRAY_E_CONFIG_VALUE, NULL, DR_TORN_DECIMAL_WHY,
                             "the type of `%.*s` is torn apart at its comma", DRAY_STR_ARG(child->name)));
      child = child->next; // the other half
    } else if (property != NULL) {
      DRAY_TRY(check_value(c, child, property, depth + 1));
    } else if (more != NULL && more->kind == DRAY_JSON_BOOL && !more->boolean) {
      DRAY_TRY(unknown_setting(c, child, properties)); // stays masked: it may be a misspelt secret
    } else if (more != NULL && more->kind == DRAY_JSON_OBJECT) {
      DRAY_TRY(check_value(c, child, more, depth + 1));
    }
  }
  return DRAY_OK;
}

static int32_t check_nested(struct checking *c, const struct dr_node *node, const struct dray_json *schema, int depth) {
  const char *outer = c->reader.where;
  const int named = node->name.len > 0;
  char label[80];
  DRAY_TRY(dr_project_format(c->reader.project, &c->reader.where, c->error, "%s of %s",
                             label_of(node, label, sizeof(label)), outer));
  int32_t rc = check_required(c, node, named ? node->name_mark : node->mark, named ? node->name_width : 1, schema);
  if (rc == DRAY_OK) rc = check_object(c, node, schema, depth);
  c->reader.where = outer;
  return rc;
}

static int32_t check_secret(struct checking *c, const struct dr_node *node) {
  if (node->kind == DR_NODE_SECRET) return DRAY_OK;
  if (node->kind == DR_NODE_NULL || node->kind == DR_NODE_MAP || node->kind == DR_NODE_LIST)
    return dr_problem_type(&c->reader, node, "a secret");
  DRAY_TRY(dr_mask(c->reader.project, node, c->error));
  return dr_problem_at(&c->reader, node, DRAY_E_CONFIG_SECRET_LITERAL, NULL,
                       "config files are copied, committed and shown; write `!secret env:NAME`, `!secret file:PATH` or "
                       "`!secret exec:COMMAND`, or `!literal` before the value to allow it on purpose",
                       "`%.*s` is a secret and is written out", DRAY_STR_ARG(node->name));
}

static int32_t check_value(struct checking *c, const struct dr_node *node, const struct dray_json *schema, int depth) {
  int good = 0;
  if (is_secret(schema)) return check_secret(c, node);
  if (node->kind == DR_NODE_SECRET)
    return dr_problem_at(&c->reader, node, DRAY_E_CONFIG_TYPE, NULL,
                         "the plugin does not keep this setting secret: it may show it",
                         "`%.*s` is not a secret setting, so it cannot be given as one", DRAY_STR_ARG(node->name));
  if (node->kind != DR_NODE_MAP && node->kind != DR_NODE_LIST) dr_unmask(c->reader.project, node);
  DRAY_TRY(check_type(c, node, schema, &good));
  if (!good || depth > DR_CONFIG_DEPTH_MAX) return DRAY_OK;
  DRAY_TRY(check_enum(c, node, schema));
  DRAY_TRY(check_limits(c, node, schema));
  if (node->kind == DR_NODE_MAP) return check_nested(c, node, schema, depth);
  const struct dray_json *items = dray_json_get(schema, "items");
  if (node->kind != DR_NODE_LIST || items == NULL || items->kind != DRAY_JSON_OBJECT) return DRAY_OK;
  for (const struct dr_node *item = node->child; item != NULL; item = item->next)
    DRAY_TRY(check_value(c, item, items, depth + 1));
  return DRAY_OK;
}

// Whose settings these are, for the sentences.
static int32_t describe(struct dr_project *project, const struct dr_node *settings, const char **out,
                        uint32_t *out_width, struct dray_error *error) {
  *out_width = 1;
  for (size_t i = 0; i < project->connection_count; i++) {
    const struct dr_connection *connection = &project->connections[i];
    if (connection->settings != settings || settings == NULL) continue;
    *out_width = connection->mark.column == settings->mark.column ? 1 : (uint32_t)strlen(connection->name);
    const int known = connection->plugin[0] != '\0';
    return dr_project_format(project, out, error, "connection \"%s\"%s%s%s", connection->name, known ? " (plugin " : "",
                             connection->plugin, known ? ")" : "");
  }
  for (size_t i = 0; i < project->sync_count; i++) {
    if (project->syncs[i].to_options != settings || settings == NULL) continue;
    return dr_project_format(project, out, error, "`to` of sync \"%s\"", project->syncs[i].name);
  }
  *out = "these settings";
  return DRAY_OK;
}

int32_t dr_project_check_settings(struct dr_project *project, const struct dr_node *settings, struct dr_mark mark,
                                  struct dray_str json_schema, struct dray_error *error) {
  struct dray_json *schema = NULL;
  struct dray_error ours;
  uint32_t width = 1;
  struct checking c = {{project, NULL, NULL, &ours}, &ours};
  dray_error_init(&ours);
  int32_t rc = dray_json_parse(json_schema, SCHEMA_BYTES_MAX, &schema, &ours);
  if (rc != DRAY_OK && rc != DRAY_E_OUT_OF_MEMORY)
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the plugin's settings schema is not valid JSON: %s", ours.text);
  if (rc == DRAY_OK) rc = describe(project, settings, &c.reader.where, &width, &ours);
  if (rc == DRAY_OK) rc = check_required(&c, settings, mark, width, schema);
  if (rc == DRAY_OK && settings != NULL) rc = check_object(&c, settings, schema, 0);
  dray_json_free(schema);
  if (rc == DRAY_OK) return DRAY_OK;
  if (ours.code != rc) return dray_fail(error, rc, "no memory to check the settings");
  if (error != NULL) *error = ours;
  return rc;
}
