// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One table of settings, two uses: the JSON Schema that `spec` hands to the host, and the binding of the JSON that
// `create` receives. Both read the same rows, so they cannot disagree. Called by plugins; knows nothing of the host.
#include "dray/sdk/config.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dray/sdk/json.h"
#include "dray/sdk/value.h"

#define KEPT_BYTES_MAX (1u << 20)
#define SETTINGS_BYTES_MAX (1u << 20) // one connection's settings
#define CHOICES_TEXT_MAX 512
#define SHOWN_VALUE_MAX 80

// ---- spec ----

static int has_bounds(const struct dray_setting *setting) {
  return setting->minimum < 0 || setting->minimum > 0 || setting->maximum < 0 || setting->maximum > 0;
}

static int32_t type_of(const struct dray_setting *setting) {
  return setting->kind & ~DRAY_SETTING_PLACE;
}

static const char *schema_type(int32_t kind) {
  switch (kind) {
  case DRAY_SETTING_STRING:
  case DRAY_SETTING_SECRET:
    return "string";
  case DRAY_SETTING_INT:
    return "integer";
  case DRAY_SETTING_FLOAT:
    return "number";
  case DRAY_SETTING_BOOL:
    return "boolean";
  default:
    return NULL; // JSON: its own schema says
  }
}

static void write_bound(struct dray_json_writer *writer, const char *key, double bound, int32_t kind) {
  dray_json_key(writer, key);
  if (kind == DRAY_SETTING_INT && fabs(bound) < 9e15) {
    dray_json_write_int(writer, (int64_t)bound);
  } else {
    dray_json_write_float(writer, bound);
  }
}

static void write_keywords(struct dray_json_writer *writer, const struct dray_setting *setting) {
  const char *type = schema_type(type_of(setting));
  if (type != NULL) {
    dray_json_key(writer, "type");
    dray_json_write_text(writer, type);
  }
  if (setting->description != NULL) {
    dray_json_key(writer, "description");
    dray_json_write_text(writer, setting->description);
  }
  if (type_of(setting) == DRAY_SETTING_SECRET) {
    dray_json_key(writer, "writeOnly");
    dray_json_write_bool(writer, 1);
  }
  if ((setting->kind & DRAY_SETTING_PLACE) != 0) {
    dray_json_key(writer, "place");
    dray_json_write_bool(writer, 1);
  }
  if (setting->default_json != NULL) {
    dray_json_key(writer, "default");
    dray_json_write_raw(writer, dray_str_of(setting->default_json));
  }
  if (setting->choices != NULL) {
    dray_json_key(writer, "enum");
    dray_json_begin_array(writer);
    for (const char *const *choice = setting->choices; *choice != NULL; choice++) dray_json_write_text(writer, *choice);
    dray_json_end_array(writer);
  }
  if ((type_of(setting) == DRAY_SETTING_INT || type_of(setting) == DRAY_SETTING_FLOAT) && has_bounds(setting)) {
    write_bound(writer, "minimum", setting->minimum, type_of(setting));
    write_bound(writer, "maximum", setting->maximum, type_of(setting));
  }
}

// Copies the tree; the parser has bounded its depth.
static void write_tree(struct dray_json_writer *writer, const struct dray_json *value) {
  switch (value->kind) {
  case DRAY_JSON_OBJECT:
    dray_json_begin_object(writer);
    for (const struct dray_json *child = value->child; child != NULL; child = child->next) {
      dray_json_key_str(writer, child->name);
      write_tree(writer, child);
    }
    dray_json_end_object(writer);
    break;
  case DRAY_JSON_ARRAY:
    dray_json_begin_array(writer);
    for (const struct dray_json *child = value->child; child != NULL; child = child->next) write_tree(writer, child);
    dray_json_end_array(writer);
    break;
  case DRAY_JSON_STRING:
    dray_json_write_str(writer, value->text);
    break;
  case DRAY_JSON_NUMBER:
    dray_json_write_raw(writer, value->text); // every digit as it was written
    break;
  case DRAY_JSON_BOOL:
    dray_json_write_bool(writer, value->boolean);
    break;
  default:
    dray_json_write_null(writer);
    break;
  }
}

// Writes the author's schema of a JSON setting with the table's description and default laid over it.
static int32_t write_json_setting(struct dray_json_writer *writer, const struct dray_setting *setting,
                                  struct dray_error *error) {
  struct dray_json *schema = NULL;
  if (setting->schema_json != NULL) {
    const int32_t rc = dray_json_parse(dray_str_of(setting->schema_json), SETTINGS_BYTES_MAX, &schema, error);
    if (rc == DRAY_E_OUT_OF_MEMORY) return rc;
    if (rc != DRAY_OK || schema->kind != DRAY_JSON_OBJECT) {
      dray_json_free(schema);
      return dray_fail_field(error, DRAY_E_PLUGIN_CONTRACT, setting->name,
                             "the schema_json of the setting %s is not a JSON object", setting->name);
    }
  }
  dray_json_begin_object(writer);
  write_keywords(writer, setting);
  for (const struct dray_json *member = schema != NULL ? schema->child : NULL; member != NULL; member = member->next) {
    if (setting->description != NULL && dray_str_is(member->name, "description")) continue;
    if (setting->default_json != NULL && dray_str_is(member->name, "default")) continue;
    dray_json_key_str(writer, member->name);
    write_tree(writer, member);
  }
  dray_json_end_object(writer);
  dray_json_free(schema);
  return DRAY_OK;
}

static void write_required(struct dray_json_writer *writer, const struct dray_setting *settings, size_t setting_count) {
  dray_json_key(writer, "required");
  dray_json_begin_array(writer);
  for (size_t i = 0; i < setting_count; i++) {
    if (settings[i].required) dray_json_write_text(writer, settings[i].name);
  }
  dray_json_end_array(writer);
}

static int32_t check_default(const struct dray_setting *setting, struct dray_error *error);

static int32_t write_spec(const struct dray_setting *settings, size_t setting_count, struct dray_buffer *out,
                          struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, out, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "type");
  dray_json_write_text(&writer, "object");
  dray_json_key(&writer, "properties");
  dray_json_begin_object(&writer);
  for (size_t i = 0; i < setting_count; i++) {
    DRAY_TRY(check_default(&settings[i], error));
    dray_json_key(&writer, settings[i].name);
    if (type_of(&settings[i]) == DRAY_SETTING_JSON) {
      DRAY_TRY(write_json_setting(&writer, &settings[i], error));
    } else {
      dray_json_begin_object(&writer);
      write_keywords(&writer, &settings[i]);
      dray_json_end_object(&writer);
    }
  }
  dray_json_end_object(&writer);
  write_required(&writer, settings, setting_count);
  dray_json_key(&writer, "additionalProperties");
  dray_json_write_bool(&writer, 0);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

int32_t dray_config_spec(const struct dray_setting *settings, size_t setting_count, struct dray_buffer *out,
                         struct dray_error *error) {
  const size_t before = out->len;
  const int32_t rc = write_spec(settings, setting_count, out, error);
  if (rc != DRAY_OK) out->len = before; // nothing half written
  return rc;
}

int32_t dray_config_kept_spec(struct dray_kept_spec *kept, const struct dray_setting *settings, size_t setting_count,
                              struct dray_str *out_json, struct dray_error *error) {
  int32_t rc = DRAY_OK;
  (void)pthread_mutex_lock(&kept->lock);
  if (kept->text.len == 0) {
    dray_buffer_init(&kept->text, KEPT_BYTES_MAX);
    rc = dray_config_spec(settings, setting_count, &kept->text, error);
    if (rc != DRAY_OK) dray_buffer_free(&kept->text);
  }
  if (rc == DRAY_OK) *out_json = dray_buffer_view(&kept->text);
  (void)pthread_mutex_unlock(&kept->lock);
  return rc;
}

// ---- binding ----

static const char *kind_name(int32_t kind) {
  static const char *const names[] = {"",         "a string", "a whole number", "a number", "true or false",
                                      "a secret", "JSON"};
  assert(kind >= DRAY_SETTING_STRING && kind <= DRAY_SETTING_JSON);
  return names[kind];
}

static const char *json_kind_name(int32_t kind) {
  static const char *const names[] = {"", "null", "true or false", "a number", "a string", "a list", "an object"};
  return names[kind];
}

static int32_t wrong_type(const struct dray_setting *setting, const struct dray_json *value, struct dray_error *error) {
  return dray_fail_field(error, DRAY_E_CONFIG_TYPE, setting->name, "%s must be %s, not %s", setting->name,
                         kind_name(type_of(setting)), json_kind_name(value->kind));
}

static void *member(const struct dray_setting *setting, void *target) {
  return (char *)target + setting->offset;
}

static int32_t bind_copy(const struct dray_setting *setting, struct dray_str text, void *target,
                         struct dray_error *error) {
  char *copy = dray_str_dup(text);
  if (copy == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the setting %s", setting->name);
  *(char **)member(setting, target) = copy;
  return DRAY_OK;
}

static void list_choices(const struct dray_setting *setting, char *out, size_t out_bytes) {
  size_t at = 0;
  out[0] = '\0';
  for (const char *const *choice = setting->choices; *choice != NULL && at < out_bytes; choice++) {
    const int n = snprintf(out + at, out_bytes - at, "%s%s", at > 0 ? ", " : "", *choice);
    at += n > 0 ? (size_t)n : 0;
  }
}

static int32_t check_choice(const struct dray_setting *setting, struct dray_str value, struct dray_error *error) {
  if (setting->choices == NULL) return DRAY_OK;
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, value);
  for (const char *const *choice = setting->choices; *choice != NULL; choice++) {
    if (dray_str_is(value, *choice)) return DRAY_OK;
    dray_nearest_offer(&nearest, *choice);
  }
  char all[CHOICES_TEXT_MAX];
  list_choices(setting, all, sizeof(all));
  const int shown = (int)(value.len < SHOWN_VALUE_MAX ? value.len : SHOWN_VALUE_MAX);
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting->name, "%s is \"%.*s\"; allowed: %s%s", setting->name,
                         shown, value.data, all, dray_nearest_hint(&nearest));
}

static int32_t bind_string(const struct dray_setting *setting, const struct dray_json *value, void *target,
                           struct dray_error *error) {
  if (value->kind != DRAY_JSON_STRING) return wrong_type(setting, value, error);
  if (value->text.len > 0 && memchr(value->text.data, '\0', value->text.len) != NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting->name, "%s holds a NUL character", setting->name);
  }
  DRAY_TRY(check_choice(setting, value->text, error));
  return bind_copy(setting, value->text, target, error);
}

static int32_t check_bounds(const struct dray_setting *setting, double number, struct dray_str shown,
                            struct dray_error *error) {
  if (!has_bounds(setting) || (number >= setting->minimum && number <= setting->maximum)) return DRAY_OK;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, setting->name, "%s is %.*s; it must be from %.15g to %.15g",
                         setting->name, DRAY_STR_ARG(shown), setting->minimum, setting->maximum);
}

static int32_t bind_int(const struct dray_setting *setting, const struct dray_json *value, void *target,
                        struct dray_error *error) {
  int64_t number = 0;
  if (value->kind != DRAY_JSON_NUMBER) return wrong_type(setting, value, error);
  if (dray_parse_int64(value->text, &number, NULL) != DRAY_OK) {
    return dray_fail_field(error, DRAY_E_CONFIG_TYPE, setting->name, "%s must be a whole number of 64 bits, not %.*s",
                           setting->name, DRAY_STR_ARG(value->text));
  }
  DRAY_TRY(check_bounds(setting, (double)number, value->text, error));
  *(int64_t *)member(setting, target) = number;
  return DRAY_OK;
}

static int32_t bind_float(const struct dray_setting *setting, const struct dray_json *value, void *target,
                          struct dray_error *error) {
  double number = 0;
  if (value->kind != DRAY_JSON_NUMBER) return wrong_type(setting, value, error);
  if (dray_parse_float64(value->text, &number, NULL) != DRAY_OK || !isfinite(number)) {
    return dray_fail_field(error, DRAY_E_CONFIG_TYPE, setting->name,
                           "%s must be a number that a double holds, not %.*s", setting->name,
                           DRAY_STR_ARG(value->text));
  }
  DRAY_TRY(check_bounds(setting, number, value->text, error));
  *(double *)member(setting, target) = number;
  return DRAY_OK;
}

static int32_t bind_bool(const struct dray_setting *setting, const struct dray_json *value, void *target,
                         struct dray_error *error) {
  if (value->kind != DRAY_JSON_BOOL) return wrong_type(setting, value, error);
  *(int32_t *)member(setting, target) = value->boolean != 0;
  return DRAY_OK;
}

// The host sends a reference, never the secret. The value itself is not shown even where it is wrong.
static int32_t bind_secret(const struct dray_setting *setting, const struct dray_json *value, void *target,
                           struct dray_error *error) {
  const struct dray_json *path = value->kind == DRAY_JSON_OBJECT ? dray_json_get(value, "$secret") : NULL;
  if (path == NULL || path->kind != DRAY_JSON_STRING || value->child_count != 1) {
    return dray_fail_field(error, DRAY_E_CONFIG_SECRET_LITERAL, setting->name,
                           "%s must be a reference to a secret; its value is not to be written out here",
                           setting->name);
  }
  *(int32_t *)member(setting, target) = 1;
  return DRAY_OK;
}

static int32_t bind_json(const struct dray_setting *setting, const struct dray_json *value, void *target,
                         struct dray_error *error) {
  struct dray_buffer text;
  dray_buffer_init(&text, SETTINGS_BYTES_MAX);
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, &text, error);
  write_tree(&writer, value);
  int32_t rc = dray_json_writer_finish(&writer);
  if (rc == DRAY_OK) rc = bind_copy(setting, dray_buffer_view(&text), target, error);
  dray_buffer_free(&text);
  return rc;
}

static int32_t bind_value(const struct dray_setting *setting, const struct dray_json *value, void *target,
                          struct dray_error *error) {
  switch (type_of(setting)) {
  case DRAY_SETTING_STRING:
    return bind_string(setting, value, target, error);
  case DRAY_SETTING_INT:
    return bind_int(setting, value, target, error);
  case DRAY_SETTING_FLOAT:
    return bind_float(setting, value, target, error);
  case DRAY_SETTING_BOOL:
    return bind_bool(setting, value, target, error);
  case DRAY_SETTING_SECRET:
    return bind_secret(setting, value, target, error);
  default:
    assert(type_of(setting) == DRAY_SETTING_JSON);
    return bind_json(setting, value, target, error);
  }
}

static int32_t bind_default(const struct dray_setting *setting, void *target, struct dray_error *error) {
  struct dray_json *value = NULL;
  int32_t rc = dray_json_parse(dray_str_of(setting->default_json), SETTINGS_BYTES_MAX, &value, error);
  if (rc == DRAY_OK) rc = bind_value(setting, value, target, error);
  dray_json_free(value);
  if (rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY) return rc;
  return dray_fail_field(error, DRAY_E_PLUGIN_CONTRACT, setting->name,
                         "the default of the setting %s is not a value that the setting takes: %.80s", setting->name,
                         setting->default_json);
}

static int32_t check_default(const struct dray_setting *setting, struct dray_error *error) {
  if (setting->default_json == NULL) return DRAY_OK;
  union {
    char *text;
    int64_t number;
    double real;
    int32_t flag;
  } scratch = {0};
  struct dray_setting here = *setting;
  here.offset = 0;
  DRAY_TRY(bind_default(&here, &scratch, error));
  dray_config_release(&here, 1, &scratch);
  return DRAY_OK;
}

// Every destination has it, so none has a setting for it.
#define NULLS_HINT ": what a null means is said field by field in the sync's map, {phone: {to: phone, nulls: keep}}"

static int32_t refuse_unknown(const struct dray_setting *settings, size_t setting_count, const struct dray_json *object,
                              struct dray_error *error) {
  for (const struct dray_json *given = object->child; given != NULL; given = given->next) {
    struct dray_nearest nearest;
    dray_nearest_init(&nearest, given->name);
    size_t i = 0;
    while (i < setting_count && !dray_str_is(given->name, settings[i].name))
      dray_nearest_offer(&nearest, settings[i++].name);
    if (i < setting_count) continue;
    char field[sizeof(error->field)];
    (void)snprintf(field, sizeof(field), "%.*s", DRAY_STR_ARG(given->name));
    const char *hint = dray_str_is(given->name, "nulls") ? NULLS_HINT : dray_nearest_hint(&nearest);
    return dray_fail_field(error, DRAY_E_CONFIG_UNKNOWN_KEY, field, "%s is not a setting here%s", field, hint);
  }
  return DRAY_OK;
}

static int32_t bind_all(const struct dray_setting *settings, size_t setting_count, const struct dray_json *object,
                        void *target, struct dray_error *error) {
  if (object->kind != DRAY_JSON_OBJECT) {
    return dray_fail(error, DRAY_E_CONFIG_TYPE, "settings must be an object, not %s", json_kind_name(object->kind));
  }
  DRAY_TRY(refuse_unknown(settings, setting_count, object, error));
  for (size_t i = 0; i < setting_count; i++) {
    const struct dray_setting *setting = &settings[i];
    const struct dray_json *given = dray_json_get(object, setting->name);
    if (given != NULL) {
      DRAY_TRY(bind_value(setting, given, target, error));
    } else if (setting->default_json != NULL) {
      DRAY_TRY(bind_default(setting, target, error));
    } else if (setting->required) {
      return dray_fail_field(error, DRAY_E_CONFIG_MISSING, setting->name, "%s is required: %s", setting->name,
                             setting->description != NULL ? setting->description : kind_name(type_of(setting)));
    }
  }
  return DRAY_OK;
}

int32_t dray_config_bind(const struct dray_setting *settings, size_t setting_count, struct dray_str json, void *target,
                         struct dray_error *error) {
  struct dray_json *object = NULL;
  const struct dray_str text = json.len > 0 ? json : dray_str_of("{}");
  int32_t rc = dray_json_parse(text, SETTINGS_BYTES_MAX, &object, error);
  if (rc == DRAY_E_DATA_JSON && error != NULL) { // here it is a setting that is wrong, not a row
    char why[DRAY_ERROR_TEXT_MAX];
    memcpy(why, error->text, sizeof(why));
    rc = dray_fail(error, DRAY_E_CONFIG_VALUE, "the settings are not valid JSON: %.900s", why);
  } else if (rc == DRAY_E_DATA_JSON) {
    rc = DRAY_E_CONFIG_VALUE;
  }
  if (rc == DRAY_OK) {
    rc = bind_all(settings, setting_count, object, target, error);
    if (rc != DRAY_OK) dray_config_release(settings, setting_count, target);
  }
  dray_json_free(object);
  return rc;
}

void dray_config_release(const struct dray_setting *settings, size_t setting_count, void *target) {
  for (size_t i = 0; i < setting_count; i++) {
    void *at = member(&settings[i], target);
    switch (type_of(&settings[i])) {
    case DRAY_SETTING_STRING:
    case DRAY_SETTING_JSON:
      free(*(char **)at);
      *(char **)at = NULL;
      break;
    case DRAY_SETTING_INT:
      *(int64_t *)at = 0;
      break;
    case DRAY_SETTING_FLOAT:
      *(double *)at = 0;
      break;
    default:
      *(int32_t *)at = 0;
      break;
    }
  }
}
