// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of the objects, and which of their fields a plan's columns are.
#include "objects.h"

#include <stdio.h>
#include <strings.h>

#define STRING                                                                                                         \
  { DRAY_TYPE_STRING, 0, 0 }
#define JSON                                                                                                           \
  { DRAY_TYPE_JSON, 0, 0 }
#define KEY (DRAY_FIELD_REQUIRED | DRAY_FIELD_MATCH_KEY | DRAY_FIELD_CASELESS)
#define MERGE_PREFIX "merge_"

static const struct dray_field member_fields[] = {
    {"email_address", NULL, STRING, KEY, "compared without regard to case"},
    {"status", NULL, STRING, DRAY_FIELD_NULL_KEPT, "subscribed, unsubscribed, cleaned, pending, transactional"},
    {"email_type", NULL, STRING, DRAY_FIELD_NULL_KEPT, "html or text"},
    {"language", NULL, STRING, 0, NULL},
    {"vip", NULL, {DRAY_TYPE_BOOL, 0, 0}, 0, "null makes it false"},
    {"ip_signup", NULL, STRING, DRAY_FIELD_NULL_KEPT, NULL},
    {"timestamp_signup", NULL, {DRAY_TYPE_TIMESTAMP, 0, 0}, DRAY_FIELD_NULL_KEPT, NULL},
    {"ip_opt", NULL, STRING, DRAY_FIELD_NULL_KEPT, NULL},
    {"timestamp_opt", NULL, {DRAY_TYPE_TIMESTAMP, 0, 0}, DRAY_FIELD_NULL_KEPT, NULL},
    {"latitude", NULL, {DRAY_TYPE_FLOAT64, 0, 0}, DRAY_FIELD_NULL_KEPT, NULL},
    {"longitude", NULL, {DRAY_TYPE_FLOAT64, 0, 0}, DRAY_FIELD_NULL_KEPT, NULL},
    {"interests", NULL, JSON, DRAY_FIELD_NULL_KEPT, "{\"interest id\": true or false}"},
    {"tags", NULL, JSON, DRAY_FIELD_NULL_KEPT,
     "[\"name\", ...], added, or with sync_tags the whole; with sync_tags null is none"},
};
static const struct dray_field tag_fields[] = {
    {"email_address", NULL, STRING, KEY, "of a member that is there"},
    {"tag", NULL, STRING, KEY, "its name; made when it is new"},
};
static const struct dray_field segment_fields[] = {
    {"email_address", NULL, STRING, KEY, "of a member that is there"},
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALL (DRAY_OP_INSERT | DRAY_OP_UPDATE | DRAY_OP_DELETE)

const struct mc_object mc_objects[] = {
    {.def = {.name = "members",
             .description = "members of the audience list_id, 500 a call, with a field merge_TAG for each merge field "
                            "(null empties it); removal: delete_mode",
             .fields = member_fields,
             .field_count = COUNT(member_fields),
             .operations = ALL},
     .kind = MC_OBJECT_MEMBERS},
    {.def = {.name = "member_tags",
             .description = "tags of members, a row each, 500 of one tag a call; insert adds, delete removes",
             .fields = tag_fields,
             .field_count = COUNT(tag_fields),
             .operations = ALL},
     .kind = MC_OBJECT_TAGS},
    {.def = {.name = "segment_members",
             .description = "members of the static segment segment_id, 500 a call; insert adds, delete removes",
             .fields = segment_fields,
             .field_count = COUNT(segment_fields),
             .operations = ALL},
     .kind = MC_OBJECT_SEGMENT},
};
const size_t mc_object_count = COUNT(mc_objects);

int32_t mc_object_find(struct dray_str name, const struct mc_object **out, struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  for (size_t i = 0; i < mc_object_count; i++) {
    *out = &mc_objects[i];
    if (dray_str_is(name, mc_objects[i].def.name)) return DRAY_OK;
    dray_nearest_offer(&nearest, mc_objects[i].def.name);
  }
  return dray_fail(error, DRAY_E_SCHEMA_OBJECT, "there is no object %.*s; there are members, member_tags and %s%s",
                   DRAY_VALUE_ARG(name), "segment_members", dray_nearest_hint(&nearest));
}

// ---- columns ----

static int32_t kind_of(const char *name) {
  static const struct {
    const char *name;
    int32_t kind;
  } special[] = {{"email_address", MC_COLUMN_EMAIL},
                 {"tag", MC_COLUMN_TAG},
                 {"status", MC_COLUMN_STATUS},
                 {"latitude", MC_COLUMN_PLACE},
                 {"longitude", MC_COLUMN_PLACE},
                 {"interests", MC_COLUMN_OBJECT},
                 {"tags", MC_COLUMN_TAGS}};
  for (size_t i = 0; i < COUNT(special); i++) {
    if (strcmp(special[i].name, name) == 0) return special[i].kind;
  }
  return MC_COLUMN_PLAIN;
}

static int32_t fail_field(const struct mc_object *object, const char *name, struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(name));
  for (size_t i = 0; i < object->def.field_count; i++) dray_nearest_offer(&nearest, object->def.fields[i].name);
  return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, name,
                         "%s has no field %.80s (merge fields are called merge_TAG)%s", object->def.name, name,
                         dray_nearest_hint(&nearest));
}

static int32_t find_one(const struct mc_object *object, const struct ArrowSchema *column, struct mc_column *out,
                        struct dray_error *error) {
  const char *name = column->name;
  struct dray_type type;
  *out = (struct mc_column){.kind = MC_COLUMN_NONE};
  if (dray_column_reserved(name)) return DRAY_OK;
  if (strlen(name) >= sizeof(out->name)) return fail_field(object, name, error);
  const int may_merge = object->kind == MC_OBJECT_MEMBERS;
  if (may_merge && strncmp(name, MERGE_PREFIX, strlen(MERGE_PREFIX)) == 0) {
    out->kind = MC_COLUMN_MERGE;
    (void)snprintf(out->name, sizeof(out->name), "%s", name + strlen(MERGE_PREFIX));
    return DRAY_OK;
  }
  size_t at = 0;
  while (at < object->def.field_count && strcmp(object->def.fields[at].name, name) != 0) at++;
  if (at == object->def.field_count) return fail_field(object, name, error);
  out->kind = kind_of(name);
  (void)snprintf(out->name, sizeof(out->name), "%s", name);
  DRAY_TRY(dray_schema_type(column, &type, error));
  if (object->def.fields[at].type.id == DRAY_TYPE_JSON && type.id != DRAY_TYPE_JSON) {
    return dray_fail_field(error, DRAY_E_SCHEMA_TYPE, name, "%s is json, and the column is %s", name,
                           dray_type_name(type.id));
  }
  const int is_text = out->kind == MC_COLUMN_EMAIL || out->kind == MC_COLUMN_TAG || out->kind == MC_COLUMN_STATUS;
  if (is_text && type.id != DRAY_TYPE_STRING) {
    return dray_fail_field(error, DRAY_E_SCHEMA_TYPE, name, "%s is a string, and the column is %s", name,
                           dray_type_name(type.id));
  }
  return DRAY_OK;
}

static int32_t check_keys(const struct mc_object *object, const struct dray_write_plan *plan,
                          struct dray_error *error) {
  uint64_t wanted = 0;
  for (size_t i = 0; i < object->def.field_count; i++) {
    const struct dray_field *field = &object->def.fields[i];
    if ((field->flags & DRAY_FIELD_MATCH_KEY) == 0) continue;
    uint64_t at = 0;
    while (at < plan->match_key_count && !dray_str_is(plan->match_keys[at], field->name)) at++;
    if (at == plan->match_key_count) wanted = UINT64_MAX / 2;
    wanted++;
  }
  if (wanted == plan->match_key_count) return DRAY_OK;
  return dray_fail(error, DRAY_E_SCHEMA_KEY, "rows of %s are matched by email_address%s, and by nothing else",
                   object->def.name, object->kind == MC_OBJECT_TAGS ? " and tag" : "");
}

int32_t mc_columns_find(const struct mc_object *object, const struct dray_write_plan *plan, struct mc_column *out,
                        size_t *out_merge, struct dray_error *error) {
  *out_merge = 0;
  for (int64_t i = 0; i < plan->schema->n_children; i++) {
    DRAY_TRY(find_one(object, plan->schema->children[i], &out[i], error));
    *out_merge += out[i].kind == MC_COLUMN_MERGE;
  }
  return check_keys(object, plan, error);
}
