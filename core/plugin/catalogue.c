// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of plugin-written JSON. What passes here can be shown, stored and planned with without another look.
#include "plugin/catalogue.h"

#include "dray/sdk/json.h"

#define CATALOGUE_BYTES_MAX (16u << 20) // a warehouse with tens of thousands of tables
#define COMPARED_MAX 4096               // entries; beyond, looking for double names would take seconds

static int is_text(const struct dray_json *value) {
  return value != NULL && value->kind == DRAY_JSON_STRING && value->text.len > 0;
}

static int is_boolean_or_absent(const struct dray_json *value) {
  return value == NULL || value->kind == DRAY_JSON_BOOL;
}

// ---- [{"of","name","ok","text","fix","code"}] ----

// Absent, or the number of an error.
static int is_code_or_absent(const struct dray_json *value) {
  int64_t number = 0;
  if (value == NULL) return 1;
  if (value->kind != DRAY_JSON_NUMBER || dray_parse_int64(value->text, &number, NULL) != DRAY_OK) return 0;
  return number > 0 && number <= INT32_MAX && dray_error_info((int32_t)number)->code == (int32_t)number;
}

static int32_t check_steps(const struct dr_call *call, const struct dray_json *root) {
  if (root->kind != DRAY_JSON_ARRAY) return dr_call_broken(call, "the check results are not a JSON array");
  for (const struct dray_json *step = root->child; step != NULL; step = step->next) {
    const struct dray_json *ok = step->kind == DRAY_JSON_OBJECT ? dray_json_get(step, "ok") : NULL;
    if (ok == NULL || ok->kind != DRAY_JSON_BOOL || !is_text(dray_json_get(step, "name"))) {
      return dr_call_broken(call, "a check result is not {\"name\": text, \"ok\": true or false, ...}");
    }
    const struct dray_json *text = dray_json_get(step, "text");
    const struct dray_json *fix = dray_json_get(step, "fix");
    const struct dray_json *of = dray_json_get(step, "of");
    if ((text != NULL && text->kind != DRAY_JSON_STRING) || (fix != NULL && fix->kind != DRAY_JSON_STRING) ||
        (of != NULL && of->kind != DRAY_JSON_STRING)) {
      return dr_call_broken(call, "text, fix or of of the check \"%.80s\" is not a string",
                            dray_json_get(step, "name")->text.data);
    }
    if (!is_code_or_absent(dray_json_get(step, "code"))) {
      return dr_call_broken(call, "the code of the check \"%.80s\" is not the number of an error",
                            dray_json_get(step, "name")->text.data);
    }
  }
  return DRAY_OK;
}

// ---- [{"kind","name"}] ----

static int32_t check_dropped(const struct dr_call *call, const struct dray_json *root) {
  if (root->kind != DRAY_JSON_ARRAY) return dr_call_broken(call, "what was removed is not a JSON array");
  for (const struct dray_json *thing = root->child; thing != NULL; thing = thing->next) {
    if (is_text(dray_json_get(thing, "kind")) && is_text(dray_json_get(thing, "name"))) continue;
    return dr_call_broken(call, "a thing that was removed is not {\"kind\": text, \"name\": text}");
  }
  return DRAY_OK;
}

// ---- columns and fields ----

// Every element is {"name", "type"}, the type left out where `any_type` and it is any; `flags` are members that are
// booleans where they are given.
static int32_t check_fields(const struct dr_call *call, const char *of, const struct dray_json *fields, int any_type,
                            const char *const *flags) {
  if (fields->kind != DRAY_JSON_ARRAY) return dr_call_broken(call, "the columns of %.80s are not an array", of);
  for (const struct dray_json *field = fields->child; field != NULL; field = field->next) {
    const struct dray_json *name = field->kind == DRAY_JSON_OBJECT ? dray_json_get(field, "name") : NULL;
    if (!is_text(name)) return dr_call_broken(call, "a column of %.80s has no name", of);
    const struct dray_json *type = dray_json_get(field, "type");
    struct dray_type parsed;
    const int is_any = type == NULL && any_type;
    if (!is_any && (!is_text(type) || dray_type_parse(type->text, &parsed, NULL) != DRAY_OK)) {
      return dr_call_broken(call, "the column %.80s of %.80s has the type \"%.40s\", which is none of the nine",
                            name->text.data, of, is_text(type) ? type->text.data : "");
    }
    for (const char *const *flag = flags; *flag != NULL; flag++) {
      if (is_boolean_or_absent(dray_json_get(field, *flag))) continue;
      return dr_call_broken(call, "%s of the column %.80s of %.80s is not true or false", *flag, name->text.data, of);
    }
    for (const struct dray_json *other = fields->child; other != field; other = other->next) {
      if (!dray_str_equal(dray_json_get(other, "name")->text, name->text)) continue;
      return dr_call_broken(call, "%.80s has two columns %.80s", of, name->text.data);
    }
  }
  return DRAY_OK;
}

// A list of strings out of `allowed` (NULL: any), or absent.
static int32_t check_words(const struct dr_call *call, const char *of, const struct dray_json *entry, const char *name,
                           const char *const *allowed) {
  const struct dray_json *words = dray_json_get(entry, name);
  if (words == NULL) return DRAY_OK;
  if (words->kind != DRAY_JSON_ARRAY) return dr_call_broken(call, "%s of %.80s is not an array", name, of);
  for (const struct dray_json *word = words->child; word != NULL; word = word->next) {
    int good = is_text(word);
    if (good && allowed != NULL) {
      const char *const *at = allowed;
      while (*at != NULL && !dray_str_is(word->text, *at)) at++;
      good = *at != NULL;
    }
    if (good) continue;
    return dr_call_broken(call, "%s of %.80s holds \"%.80s\", which does not belong there", name, of,
                          is_text(word) ? word->text.data : "");
  }
  return DRAY_OK;
}

// ---- streams and objects ----

static int32_t check_stream(const struct dr_call *call, const struct dray_json *stream, const char *name) {
  static const char *const flags[] = {"nullable", NULL};
  static const char *const modes[] = {"full", "incremental", NULL};
  const struct dray_json *columns = dray_json_get(stream, "columns");
  if (columns == NULL) return dr_call_broken(call, "the stream %.80s has no columns", name);
  DRAY_TRY(check_fields(call, name, columns, 0, flags));
  const struct dray_json *cursor = dray_json_get(stream, "cursor");
  if (cursor != NULL && cursor->kind != DRAY_JSON_NULL && !is_text(cursor)) {
    return dr_call_broken(call, "the cursor of the stream %.80s is neither a name nor null", name);
  }
  if (!is_boolean_or_absent(dray_json_get(stream, "changes"))) {
    return dr_call_broken(call, "changes of the stream %.80s is not true or false", name);
  }
  DRAY_TRY(check_words(call, name, stream, "primary_key", NULL));
  return check_words(call, name, stream, "modes", modes);
}

// How a field's values are compared. Another word than those known is refused: taken for "exact" it could lose rows.
static int32_t check_compared(const struct dr_call *call, const char *of, const struct dray_json *fields) {
  for (const struct dray_json *field = fields->child; field != NULL; field = field->next) {
    const struct dray_json *compare = dray_json_get(field, "compare"), *type = dray_json_get(field, "type");
    const char *name = dray_json_get(field, "name")->text.data;
    if (compare == NULL || (is_text(compare) && dray_str_is(compare->text, "exact"))) continue;
    if (!is_text(compare) || !dray_str_is(compare->text, "caseless")) {
      return dr_call_broken(call, "compare of the column %.80s of %.80s is neither \"exact\" nor \"caseless\"", name,
                            of);
    }
    if (type == NULL || dray_str_is(type->text, dray_type_name(DRAY_TYPE_STRING))) continue;
    return dr_call_broken(call, "the column %.80s of %.80s is compared \"caseless\", but is no string", name, of);
  }
  return DRAY_OK;
}

// What a null does to a field.
static int32_t check_nulls(const struct dr_call *call, const char *of, const struct dray_json *fields) {
  static const char *const words[] = {"emptied", "kept", "refused"};
  for (const struct dray_json *field = fields->child; field != NULL; field = field->next) {
    const struct dray_json *null = dray_json_get(field, "null");
    size_t i = 0;
    while (null != NULL && i < 3 && !(is_text(null) && dray_str_is(null->text, words[i]))) i++;
    if (i < 3) continue;
    return dr_call_broken(call, "null of the column %.80s of %.80s is none of \"emptied\", \"kept\" and \"refused\"",
                          dray_json_get(field, "name")->text.data, of);
  }
  return DRAY_OK;
}

static int32_t check_object(const struct dr_call *call, const struct dray_json *object, const char *name) {
  static const char *const flags[] = {"required", "writable", "match_key", NULL};
  static const char *const operations[] = {"insert", "update", "delete", NULL};
  const struct dray_json *fields = dray_json_get(object, "fields");
  if (fields != NULL) { // left out: it takes any
    DRAY_TRY(check_fields(call, name, fields, 1, flags));
    DRAY_TRY(check_compared(call, name, fields));
    DRAY_TRY(check_nulls(call, name, fields));
  }
  return check_words(call, name, object, "operations", operations);
}

static int same_entry(const struct dray_json *a, const struct dray_json *b) {
  const struct dray_str a_schema = dray_json_string(dray_json_get(a, "schema"), "");
  const struct dray_str b_schema = dray_json_string(dray_json_get(b, "schema"), "");
  return dray_str_equal(a_schema, b_schema) &&
         dray_str_equal(dray_json_get(a, "name")->text, dray_json_get(b, "name")->text);
}

static int32_t check_entries(const struct dr_call *call, const struct dray_json *root, const char *list,
                             int32_t (*check)(const struct dr_call *, const struct dray_json *, const char *)) {
  const struct dray_json *entries = root->kind == DRAY_JSON_OBJECT ? dray_json_get(root, list) : NULL;
  if (entries == NULL || entries->kind != DRAY_JSON_ARRAY) {
    return dr_call_broken(call, "the JSON is not {\"%s\": [...]}", list);
  }
  for (const struct dray_json *entry = entries->child; entry != NULL; entry = entry->next) {
    const struct dray_json *name = entry->kind == DRAY_JSON_OBJECT ? dray_json_get(entry, "name") : NULL;
    if (!is_text(name)) return dr_call_broken(call, "one of the %s has no name", list);
    DRAY_TRY(check(call, entry, name->text.data));
    const struct dray_json *other = entries->child_count <= COMPARED_MAX ? entries->child : entry;
    while (other != entry && !same_entry(other, entry)) other = other->next;
    if (other != entry) return dr_call_broken(call, "%s lists %.80s twice", list, name->text.data);
  }
  return DRAY_OK;
}

int32_t dr_catalogue_check(const struct dr_call *call, int kind, struct dray_str json) {
  if (json.data == NULL) return dr_call_broken(call, "it wrote no JSON");
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  int32_t rc = dray_json_parse(json, CATALOGUE_BYTES_MAX, &root, &why);
  if (rc == DRAY_E_OUT_OF_MEMORY) return dray_fail(call->error, rc, "%s", why.text);
  if (rc != DRAY_OK) return dr_call_broken(call, "%s", why.text);
  if (kind == DR_CATALOGUE_CHECK) {
    rc = check_steps(call, root);
  } else if (kind == DR_CATALOGUE_DROPPED) {
    rc = check_dropped(call, root);
  } else if (kind == DR_CATALOGUE_STREAMS) {
    rc = check_entries(call, root, "streams", check_stream);
  } else {
    rc = check_entries(call, root, "objects", check_object);
  }
  dray_json_free(root);
  return rc;
}
