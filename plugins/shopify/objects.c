// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of objects, options and mappings. rows.c makes variables of rows by them.
#include "objects.h"

#include <stddef.h>
#include <stdlib.h>

#define STRING                                                                                                         \
  { DRAY_TYPE_STRING, 0, 0 }
#define BOOL                                                                                                           \
  { DRAY_TYPE_BOOL, 0, 0 }
#define JSON                                                                                                           \
  { DRAY_TYPE_JSON, 0, 0 }
#define TIMESTAMP                                                                                                      \
  { DRAY_TYPE_TIMESTAMP, 0, 0 }

// The path of a field is its member in the mutation's input; "-": it has none.
static const struct dray_field customer_fields[] = {
    {"id", "-", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_NULL_KEPT, "gid://shopify/Customer/1, or its number"},
    {"email", "email", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_CASELESS, NULL},
    {"phone", "phone", STRING, DRAY_FIELD_MATCH_KEY, "E.164: +491701234567"},
    {"custom_id", "-", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_NULL_KEPT,
     "value of the metafield of type id that the option custom_id names"},
    {"first_name", "firstName", STRING, 0, NULL},
    {"last_name", "lastName", STRING, 0, NULL},
    {"locale", "locale", STRING, 0, NULL},
    {"note", "note", STRING, 0, "at most 5,000 characters"},
    {"tags", "tags", JSON, 0, "a list, which replaces all tags; null: none. See the object customer_tags"},
    {"tax_exempt", "taxExempt", BOOL, DRAY_FIELD_NULL_KEPT, NULL},
    {"tax_exemptions", "taxExemptions", JSON, 0, "a list, which replaces all; null: none"},
    {"addresses", "addresses", JSON, 0, "a list of MailingAddressInput, which replaces all; null: none"},
};
static const struct dray_field tag_fields[] = {
    {"id", "-", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED, "gid://shopify/Customer/1, or its number"},
    {"tag", "-", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED, "one tag, at most 255 characters"},
};
static const struct dray_field metafield_fields[] = {
    {"owner_id", "ownerId", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED,
     "gid of a customer, order, product or variant"},
    {"namespace", "namespace", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED, NULL},
    {"key", "key", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED, NULL},
    {"value", "value", STRING, DRAY_FIELD_REQUIRED, "as text; lists and objects as their JSON; null: it is deleted"},
    {"type", "type", STRING, DRAY_FIELD_NULL_KEPT, "number_integer ...; not needed where there is a definition"},
};
static const struct dray_field consent_fields[] = {
    {"id", "-", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED, "gid://shopify/Customer/1, or its number"},
    {"email_marketing_state", "marketingState", STRING, DRAY_FIELD_NULL_KEPT, "SUBSCRIBED, UNSUBSCRIBED, PENDING"},
    {"email_marketing_opt_in_level", "marketingOptInLevel", STRING, DRAY_FIELD_NULL_KEPT,
     "SINGLE_OPT_IN, CONFIRMED_OPT_IN, UNKNOWN"},
    {"email_consent_updated_at", "consentUpdatedAt", TIMESTAMP, DRAY_FIELD_NULL_KEPT, "not in the future"},
};
static const struct dray_field order_fields[] = {
    {"id", "-", STRING, DRAY_FIELD_MATCH_KEY | DRAY_FIELD_REQUIRED, "gid://shopify/Order/1, or its number"},
    {"email", "email", STRING, 0, NULL},
    {"phone", "phone", STRING, 0, NULL},
    {"note", "note", STRING, 0, NULL},
    {"tags", "tags", JSON, 0, "a list, which replaces all tags; null: none"},
    {"po_number", "poNumber", STRING, 0, NULL},
    {"custom_attributes", "customAttributes", JSON, 0, "a list of {key, value}, which replaces all; null: none"},
    {"shipping_address", "shippingAddress", JSON, 0, "a MailingAddressInput"},
};

#define DEF(object_name, columns, what, text)                                                                          \
  {                                                                                                                    \
    .name = object_name, .description = text, .fields = columns##_fields,                                              \
    .field_count = sizeof(columns##_fields) / sizeof(columns##_fields[0]), .operations = what                          \
  }
#define WRITE (DRAY_OP_INSERT | DRAY_OP_UPDATE)

const struct shopify_object shopify_objects[SHOPIFY_OBJECT_COUNT] = {
    [SHOPIFY_OBJECT_CUSTOMERS] = {.def =
                                      DEF("customers", customer, WRITE | DRAY_OP_DELETE,
                                          "customers, matched by id, email, phone or an id of your own; deletes only "
                                          "with `deletes: delete`; a metafield that is null is deleted"),
                                  .owner = "CUSTOMER",
                                  .scopes = "write_customers"},
    [SHOPIFY_OBJECT_CUSTOMER_TAGS] = {.def = DEF("customer_tags", tag, WRITE | DRAY_OP_DELETE,
                                                 "one row for each customer and tag: others of its tags stay"),
                                      .scopes = "write_customers"},
    [SHOPIFY_OBJECT_METAFIELDS] = {.def = DEF("metafields", metafield, WRITE | DRAY_OP_DELETE,
                                              "one row for each metafield of a customer, order, product or variant"),
                                   .scopes = "write_customers|write_orders|write_products",
                                   .also = {{"write_customers", "none of customers can be written"},
                                            {"write_orders", "none of orders can be written"},
                                            {"write_products", "none of products and variants can be written"}}},
    [SHOPIFY_OBJECT_CONSENT] = {.def = DEF("customer_consent", consent, WRITE,
                                           "consent to marketing by email, by its own mutation"),
                                .scopes = "write_customers"},
    [SHOPIFY_OBJECT_ORDERS] = {.def = DEF(
                                   "orders", order, WRITE,
                                   "orders that are there: nothing is created; a metafield that is null is deleted"),
                               .owner = "ORDER",
                               .scopes = "write_orders"},
};

int32_t shopify_object_find(struct dray_str name, int32_t *out, struct dray_error *error) {
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, name);
  for (int32_t i = 0; i < SHOPIFY_OBJECT_COUNT; i++) {
    if (dray_str_is(name, shopify_objects[i].def.name)) {
      *out = i;
      return DRAY_OK;
    }
    dray_nearest_offer(&nearest, shopify_objects[i].def.name);
  }
  return dray_fail_field(error, DRAY_E_SCHEMA_OBJECT, "object", "Shopify has no object '%.*s'%s", DRAY_VALUE_ARG(name),
                         dray_nearest_hint(&nearest));
}

// ---- options ----

static const char *const match_choices[] = {"auto", "id", "email", "phone", "custom_id", NULL};
static const char *const missing_choices[] = {"create", "skip", NULL};
static const char *const tag_choices[] = {"add", "remove", NULL};
static const char *const delete_choices[] = {"ignore", "delete", NULL};

#define OPTION(name) offsetof(struct shopify_options, name)
static const struct dray_setting option_table[] = {
    {.name = "match_key",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(match_key),
     .default_json = "\"auto\"",
     .choices = match_choices,
     .description =
         "customers: the field that they are matched by; auto: the one that the key of the sync is mapped to"},
    {.name = "on_missing",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(on_missing),
     .default_json = "\"create\"",
     .choices = missing_choices,
     .description = "customers: create one that is not there, or skip (reject) its row"},
    {.name = "tag_mode",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(tag_mode),
     .default_json = "\"add\"",
     .choices = tag_choices,
     .description = "customer_tags: add the tags of the rows, or remove them"},
    {.name = "custom_id",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(custom_id),
     .description = "customers: the metafield of type id that the field custom_id is matched by: custom.crm_id"},
    {.name = "deletes",
     .kind = DRAY_SETTING_STRING,
     .offset = OPTION(deletes),
     .default_json = "\"ignore\"",
     .choices = delete_choices,
     .description = "customers: whether a row that is gone deletes the customer; one with orders cannot be deleted"},
    {.name = "bulk_threshold",
     .kind = DRAY_SETTING_INT,
     .offset = OPTION(bulk_threshold),
     .default_json = "1000",
     .minimum = 0,
     .maximum = 100000000,
     .description = "with more changes than this, a bulk operation writes them; 0: never"},
};
#define OPTION_COUNT (sizeof(option_table) / sizeof(option_table[0]))

int32_t shopify_options_spec(struct dray_buffer *out, struct dray_error *error) {
  return dray_config_spec(option_table, OPTION_COUNT, out, error);
}

int32_t shopify_options_bind(struct dray_str json, struct shopify_options *out, struct dray_error *error) {
  struct shopify_options options = {0};
  const struct dray_str text = json.len > 0 ? json : dray_str_of("{}");
  DRAY_TRY(dray_config_bind(option_table, OPTION_COUNT, text, &options, error));
  const char *dot = options.custom_id != NULL ? strchr(options.custom_id, '.') : NULL;
  if (options.custom_id != NULL && (dot == NULL || dot == options.custom_id || dot[1] == '\0')) {
    const int32_t rc = dray_fail_field(error, DRAY_E_CONFIG_VALUE, "custom_id",
                                       "custom_id: '%.100s' is not namespace.key", options.custom_id);
    shopify_options_free(&options);
    return rc;
  }
  *out = options;
  return DRAY_OK;
}

void shopify_options_free(struct shopify_options *options) {
  dray_config_release(option_table, OPTION_COUNT, options);
  memset(options, 0, sizeof(*options));
}

// ---- the mapping of a run ----

static ptrdiff_t find_column(const struct ArrowSchema *schema, const char *name) {
  for (int64_t i = 0; i < schema->n_children; i++) {
    if (schema->children[i]->name != NULL && strcmp(schema->children[i]->name, name) == 0) return (ptrdiff_t)i;
  }
  return -1;
}

static int is_field(const struct shopify_mapping *mapping, const char *name, struct dray_nearest *nearest) {
  const struct dray_object_def *def = &shopify_objects[mapping->object].def;
  for (size_t i = 0; i < def->field_count; i++) {
    if (strcmp(def->fields[i].name, name) == 0) return 1;
    dray_nearest_offer(nearest, def->fields[i].name);
  }
  for (size_t i = 0; mapping->definitions != NULL && i < mapping->definitions->count; i++) {
    if (strcmp(mapping->definitions->columns.items[i].name, name) == 0) return 1;
    dray_nearest_offer(nearest, mapping->definitions->columns.items[i].name);
  }
  return 0;
}

static int32_t check_columns(const struct shopify_mapping *mapping, const struct ArrowSchema *schema,
                             struct dray_error *error) {
  for (int64_t i = 0; i < schema->n_children; i++) {
    const char *name = schema->children[i]->name;
    struct dray_nearest nearest;
    if (name == NULL || dray_column_reserved(name)) continue;
    dray_nearest_init(&nearest, dray_str_of(name));
    if (is_field(mapping, name, &nearest)) continue;
    return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, name, "the Shopify object %s has no field '%.100s'%s",
                           shopify_objects[mapping->object].def.name, name, dray_nearest_hint(&nearest));
  }
  return DRAY_OK;
}

static int is_match_key(const struct dray_write_plan *plan, const char *name) {
  for (uint64_t i = 0; i < plan->match_key_count; i++) {
    if (dray_str_is(plan->match_keys[i], name)) return 1;
  }
  return 0;
}

static int32_t find_match(struct shopify_mapping *mapping, const struct dray_write_plan *plan,
                          struct dray_error *error) {
  static const struct {
    const char *name;
    int32_t match;
  } ways[] = {{"id", SHOPIFY_MATCH_ID},
              {"custom_id", SHOPIFY_MATCH_CUSTOM},
              {"email", SHOPIFY_MATCH_EMAIL},
              {"phone", SHOPIFY_MATCH_PHONE}};
  const char *wanted = mapping->options->match_key;
  mapping->match = SHOPIFY_MATCH_ID;
  if (mapping->object != SHOPIFY_OBJECT_CUSTOMERS) return DRAY_OK;
  mapping->match = 0;
  for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]) && mapping->match == 0; i++) {
    const int asked = strcmp(wanted, "auto") == 0 || strcmp(wanted, ways[i].name) == 0;
    if (asked && is_match_key(plan, ways[i].name)) mapping->match = ways[i].match;
  }
  if (mapping->match == 0) {
    return dray_fail_field(error, DRAY_E_SCHEMA_KEY, "match_key",
                           "customers are matched by id, custom_id, email or phone; match_key is %s, and no such field "
                           "is mapped",
                           wanted);
  }
  if (mapping->match == SHOPIFY_MATCH_CUSTOM && mapping->options->custom_id == NULL) {
    return dray_fail_field(error, DRAY_E_CONFIG_MISSING, "custom_id",
                           "custom_id is missing: the metafield of type id by which customers are matched");
  }
  return DRAY_OK;
}

static int32_t find_fields(struct shopify_mapping *mapping, const struct ArrowSchema *schema,
                           struct dray_error *error) {
  const struct dray_object_def *def = &shopify_objects[mapping->object].def;
  for (size_t i = 0; i < def->field_count; i++) {
    mapping->fields[i] = find_column(schema, def->fields[i].name);
    if (mapping->fields[i] < 0 && (def->fields[i].flags & DRAY_FIELD_MATCH_KEY) != 0 &&
        (mapping->object != SHOPIFY_OBJECT_CUSTOMERS || (int32_t)i + 1 == mapping->match)) {
      return dray_fail_field(error, DRAY_E_SCHEMA_KEY, def->fields[i].name, "the field %s of %s is not mapped",
                             def->fields[i].name, def->name);
    }
  }
  for (size_t i = 0; mapping->definitions != NULL && i < mapping->definitions->count; i++) {
    mapping->metafields[i] = find_column(schema, mapping->definitions->columns.items[i].name);
    mapping->metafield_count += mapping->metafields[i] >= 0;
  }
  return DRAY_OK;
}

// What is there or is not, such as a tag, cannot be updated; and what only Shopify makes cannot be created.
static int32_t check_mode(const struct shopify_mapping *mapping, struct dray_error *error) {
  const char *name = shopify_objects[mapping->object].def.name;
  const int makes = mapping->operations == DRAY_OP_INSERT, changes = mapping->operations == DRAY_OP_UPDATE;
  const int removes = strcmp(mapping->options->tag_mode, "remove") == 0;
  const char *why = NULL;
  if (mapping->object == SHOPIFY_OBJECT_CUSTOMER_TAGS && changes) {
    why = "a customer has a tag or has it not, so `mode: update` has nothing to change; use create, upsert, mirror or "
          "remove";
  } else if (mapping->object == SHOPIFY_OBJECT_CUSTOMER_TAGS && makes && removes) {
    why = "`mode: create` adds tags, and `tag_mode: remove` takes them away; use upsert";
  } else if (mapping->object == SHOPIFY_OBJECT_CONSENT && makes) {
    why = "each customer has a state of consent, so `mode: create` has nothing to make; use update or upsert";
  } else if (mapping->object == SHOPIFY_OBJECT_ORDERS && makes) {
    why = "no order is made here, so `mode: create` has nothing to do; use update or upsert";
  }
  return why != NULL ? dray_fail_field(error, DRAY_E_CONFIG_VALUE, "mode", "%s: %s", name, why) : DRAY_OK;
}

int32_t shopify_mapping_make(int32_t object, const struct dray_write_plan *plan, const struct shopify_options *options,
                             const struct shopify_definitions *definitions, struct shopify_mapping *out,
                             struct dray_error *error) {
  struct shopify_mapping mapping = {
      .object = object, .options = options, .definitions = definitions, .operations = plan->operations};
  const size_t more = definitions != NULL ? definitions->count : 0;
  mapping.fields = calloc(shopify_objects[object].def.field_count, sizeof(*mapping.fields));
  mapping.metafields = calloc(more + 1, sizeof(*mapping.metafields));
  int32_t rc = mapping.fields != NULL && mapping.metafields != NULL
                   ? DRAY_OK
                   : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a mapping");
  if (rc == DRAY_OK) rc = check_mode(&mapping, error);
  if (rc == DRAY_OK) rc = find_match(&mapping, plan, error);
  if (rc == DRAY_OK) rc = check_columns(&mapping, plan->schema, error);
  if (rc == DRAY_OK) rc = find_fields(&mapping, plan->schema, error);
  if (rc != DRAY_OK) {
    shopify_mapping_free(&mapping);
    return rc;
  }
  *out = mapping;
  return DRAY_OK;
}

void shopify_mapping_free(struct shopify_mapping *mapping) {
  free(mapping->fields);
  free(mapping->metafields);
  memset(mapping, 0, sizeof(*mapping));
}
