// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The merge fields of the audience that is written to: which column is which, and those that have to be made first.
#include <pthread.h>
#include <stdio.h>
#include <strings.h>

#include "writing.h"

#define TAG_BYTES_MAX 10
#define LOCK_KEY "merge_fields"
#define LOCK_WAIT_MS 120000
#define TOLD_BYTES_MAX (1u << 20)
#define TRIES_MAX MC_TRIES_MAX // of making one
#define KNOWN_MS 60000         // a run that reads for longer asks again before it writes

static int32_t merge_kind(struct dray_str type) {
  static const struct {
    const char *type;
    int32_t kind;
  } kinds[] = {{"number", MC_MERGE_NUMBER},
               {"date", MC_MERGE_DATE},
               {"birthday", MC_MERGE_BIRTHDAY},
               {"address", MC_MERGE_ADDRESS}};
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    if (dray_str_is(type, kinds[i].type)) return kinds[i].kind;
  }
  return MC_MERGE_TEXT;
}

static int32_t ask(struct mc_client *client, const char *list_id, struct dray_json **out, struct dray_error *error) {
  char path[200];
  int32_t status = 0;
  (void)snprintf(path, sizeof(path),
                 "/lists/%s/merge-fields?count=1000&fields=merge_fields.tag,merge_fields.name,merge_fields.type",
                 list_id);
  const int32_t rc = mc_get(client, path, out, &status, error);
  if (rc == DRAY_OK || status != 404) return rc;
  return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "list_id", "the account has no audience %s", list_id);
}

// ---- between discover and begin ----

void mc_known_fields_free(struct mc_known_fields *known) {
  dray_json_free(known->root);
  *known = (struct mc_known_fields){.root = NULL};
}

int32_t mc_known_fields_ask(struct mc_client *client, const char *list_id, struct mc_known_fields *out,
                            struct dray_error *error) {
  const struct dray_clock_service *clock = client->services->clock;
  mc_known_fields_free(out);
  DRAY_TRY(ask(client, list_id, &out->root, error));
  out->asked_ms = clock->monotonic_ms(clock->ctx);
  (void)snprintf(out->list_id, sizeof(out->list_id), "%s", list_id);
  return DRAY_OK;
}

// What was asked for a moment ago, once; NULL: nothing.
static struct dray_json *take_known(const struct mc_client *client, const char *list_id,
                                    struct mc_known_fields *known) {
  const struct dray_clock_service *clock = client->services->clock;
  struct dray_json *root = NULL;
  const int good = strcmp(known->list_id, list_id) == 0 && clock->monotonic_ms(clock->ctx) - known->asked_ms < KNOWN_MS;
  if (good) {
    root = known->root;
    known->root = NULL;
  }
  mc_known_fields_free(known);
  return root;
}

// ---- once a run ----

// Several lanes of one run begin after each other: the first asks, the others take what it was told. Never of another
// run, in which fields may be gone.
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
static char told_run[200];
static struct dray_buffer told;

static void name_run(const struct dray_write_plan *plan, const char *list_id, char out[sizeof(told_run)]) {
  (void)snprintf(out, sizeof(told_run), "%.*s %.*s %s", DRAY_STR_ARG(plan->run), DRAY_STR_ARG(plan->sync), list_id);
}

static int32_t remember(const struct dray_write_plan *plan, const char *list_id, const struct dray_json *root,
                        struct dray_error *error) {
  struct dray_json_writer writer;
  if (plan->run.len == 0) return DRAY_OK;
  (void)pthread_mutex_lock(&told_lock);
  dray_buffer_free(&told);
  dray_buffer_init(&told, TOLD_BYTES_MAX);
  dray_json_writer_init(&writer, &told, error);
  dray_json_write_value(&writer, root);
  const int32_t rc = dray_json_writer_finish(&writer);
  told_run[0] = '\0';
  if (rc == DRAY_OK) name_run(plan, list_id, told_run);
  (void)pthread_mutex_unlock(&told_lock);
  return rc;
}

// *out stays NULL when this run has not asked yet.
static int32_t recall(const struct dray_write_plan *plan, const char *list_id, struct dray_json **out,
                      struct dray_error *error) {
  char run[sizeof(told_run)];
  int32_t rc = DRAY_OK;
  name_run(plan, list_id, run);
  (void)pthread_mutex_lock(&told_lock);
  if (strcmp(run, told_run) == 0) rc = dray_json_parse(dray_buffer_view(&told), TOLD_BYTES_MAX, out, error);
  (void)pthread_mutex_unlock(&told_lock);
  return rc;
}

// The field that a column is called after, by its tag in any case.
static const struct dray_json *find(const struct dray_json *root, const char *tag) {
  const struct dray_json *fields = dray_json_get(root, "merge_fields");
  for (const struct dray_json *one = fields != NULL ? fields->child : NULL; one != NULL; one = one->next) {
    if (strcasecmp(dray_json_string(dray_json_get(one, "tag"), "").data, tag) == 0) return one;
  }
  return NULL;
}

static void take(struct mc_column *column, const struct dray_json *field) {
  const struct dray_str tag = dray_json_string(dray_json_get(field, "tag"), "");
  (void)snprintf(column->name, sizeof(column->name), "%.*s", (int)tag.len, tag.data);
  column->merge = merge_kind(dray_json_string(dray_json_get(field, "type"), ""));
}

static int32_t fail_unknown(const struct dray_json *root, const struct mc_column *column, struct dray_error *error) {
  const struct dray_json *fields = dray_json_get(root, "merge_fields");
  char name[80];
  struct dray_nearest nearest;
  dray_nearest_init(&nearest, dray_str_of(column->name));
  for (const struct dray_json *one = fields != NULL ? fields->child : NULL; one != NULL; one = one->next) {
    dray_nearest_offer(&nearest, dray_json_string(dray_json_get(one, "tag"), "").data);
  }
  (void)snprintf(name, sizeof(name), "merge_%s", column->name);
  return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, name,
                         "the audience has no merge field %s%s; create_merge_fields: true makes it", column->name,
                         dray_nearest_hint(&nearest));
}

static const char *type_for(const struct ArrowSchema *column) {
  struct dray_type type = {.id = DRAY_TYPE_STRING};
  if (dray_schema_type(column, &type, NULL) != DRAY_OK) return "text";
  switch (type.id) {
  case DRAY_TYPE_INT64:
  case DRAY_TYPE_FLOAT64:
  case DRAY_TYPE_DECIMAL:
    return "number";
  case DRAY_TYPE_DATE:
  case DRAY_TYPE_TIMESTAMP:
    return "date";
  case DRAY_TYPE_JSON:
    return "address";
  default:
    return "text";
  }
}

static int32_t write_field(const char *tag, const char *type, struct dray_buffer *body, struct dray_error *error) {
  struct dray_json_writer writer;
  dray_json_writer_init(&writer, body, error);
  dray_json_begin_object(&writer);
  dray_json_key(&writer, "tag");
  dray_json_write_text(&writer, tag);
  dray_json_key(&writer, "name");
  dray_json_write_text(&writer, tag);
  dray_json_key(&writer, "type");
  dray_json_write_text(&writer, type);
  dray_json_end_object(&writer);
  return dray_json_writer_finish(&writer);
}

// Whether the field is there by now: made by a call whose answer was lost, or by somebody else. *out = 0: it is not.
static int32_t find_made(struct mc_client *client, const char *list_id, struct mc_column *column, int *out,
                         struct dray_error *error) {
  struct dray_json *root = NULL;
  DRAY_TRY(ask(client, list_id, &root, error));
  const struct dray_json *field = find(root, column->name);
  *out = field != NULL;
  if (field != NULL) take(column, field);
  dray_json_free(root);
  return DRAY_OK;
}

static int32_t post_field(struct mc_client *client, const char *list_id, struct dray_str body, int *out_passes,
                          struct dray_error *error) {
  struct dray_api_answer answer = {.status = 0};
  char path[100];
  (void)snprintf(path, sizeof(path), "/lists/%s/merge-fields", list_id);
  const struct dray_api_request request = {
      .flags = DRAY_HTTP_NO_RETRY, .method = "POST", .path = dray_str_of(path), .body = body};
  int32_t rc = dray_api_call(&client->api, &request, &answer, error);
  if (rc == DRAY_OK && answer.status >= 400) rc = mc_fail(&answer, "making a merge field", error);
  *out_passes = rc != DRAY_OK && rc != DRAY_E_CANCELLED &&
                (mc_is_throttled(&answer) || answer.status >= 500 || (error != NULL && dray_api_in_doubt(error)));
  if (rc != DRAY_OK && error != NULL) error->vendor_code[0] = '\0'; // no row is in doubt
  dray_api_answer_free(&answer);
  return rc;
}

// What passes (too many at once, 5xx, a lost answer) is waited for, and then the vendor is asked first: a field that is
// there cannot be made again.
static int32_t make_field(struct mc_client *client, const char *list_id, struct mc_column *column, const char *tag,
                          const char *type, struct dray_error *error) {
  struct dray_buffer body;
  int made = 0;
  dray_buffer_init(&body, 1000);
  int32_t rc = write_field(tag, type, &body, error);
  for (int32_t tried = 0; rc == DRAY_OK && !made; tried++) {
    struct dray_error why;
    int passes = 0;
    dray_error_init(&why);
    rc = post_field(client, list_id, dray_buffer_view(&body), &passes, &why);
    if (rc == DRAY_OK) {
      (void)snprintf(column->name, sizeof(column->name), "%s", tag);
      column->merge = merge_kind(dray_str_of(type));
      dray_log_printf(client->services, DRAY_LOG_INFO, "made the merge field %s (%s)", tag, type);
      break;
    }
    if (!passes || tried + 1 >= TRIES_MAX) {
      if (error != NULL) *error = why;
      break;
    }
    rc = mc_wait_to_retry(client, tried, error);
    if (rc == DRAY_OK) rc = find_made(client, list_id, column, &made, error);
  }
  dray_buffer_free(&body);
  return rc;
}

static int32_t make(struct mc_client *client, const char *list_id, struct mc_column *column,
                    const struct ArrowSchema *schema, struct dray_error *error) {
  char tag[TAG_BYTES_MAX + 1];
  const size_t len = strlen(column->name);
  if (len == 0 || len > TAG_BYTES_MAX || strspn(column->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len) {
    return dray_fail_field(error, DRAY_E_SCHEMA_FIELD, schema->name,
                           "a merge field is called merge_ and its tag in small letters, 1 to %d of a-z, 0-9 and _: "
                           "merge_%s cannot be made",
                           TAG_BYTES_MAX, column->name);
  }
  for (size_t i = 0; i <= len; i++) {
    tag[i] = (char)(column->name[i] >= 'a' && column->name[i] <= 'z' ? column->name[i] - 32 : column->name[i]);
  }
  return make_field(client, list_id, column, tag, type_for(schema), error);
}

// One pass over the columns. *out_missing = whether one was not there.
static int32_t resolve(struct mc_client *client, const struct mc_options *options, const struct dray_write_plan *plan,
                       struct mc_known_fields *known, struct mc_column *columns, int may_make, int *out_missing,
                       struct dray_error *error) {
  const size_t column_count = (size_t)plan->schema->n_children;
  struct dray_json *root = NULL;
  *out_missing = 0;
  if (!may_make) DRAY_TRY(recall(plan, options->list_id, &root, error));
  int32_t rc = DRAY_OK;
  if (root == NULL) {
    if (!may_make) root = take_known(client, options->list_id, known);
    if (root == NULL) DRAY_TRY(ask(client, options->list_id, &root, error));
    rc = remember(plan, options->list_id, root, error);
  }
  for (size_t i = 0; rc == DRAY_OK && i < column_count; i++) {
    if (columns[i].kind != MC_COLUMN_MERGE) continue;
    const struct dray_json *field = find(root, columns[i].name);
    if (field != NULL) {
      take(&columns[i], field);
    } else if (may_make) {
      rc = make(client, options->list_id, &columns[i], plan->schema->children[i], error);
    } else if (options->create_merge_fields) {
      *out_missing = 1;
    } else {
      rc = fail_unknown(root, &columns[i], error);
    }
  }
  dray_json_free(root);
  return rc;
}

int32_t mc_merge_columns_resolve(struct mc_client *client, const struct mc_options *options,
                                 const struct dray_write_plan *plan, struct mc_known_fields *known,
                                 struct mc_column *columns, struct dray_error *error) {
  const struct dray_state_service *state = client->services->state;
  const struct dray_str key = dray_str_of(LOCK_KEY);
  int missing = 0;
  DRAY_TRY(resolve(client, options, plan, known, columns, 0, &missing, error));
  if (!missing) return DRAY_OK;
  // Several lanes begin at once: one makes the fields, the others find them.
  DRAY_TRY(state->lock(state->ctx, key, LOCK_WAIT_MS, error));
  const int32_t rc = resolve(client, options, plan, known, columns, 1, &missing, error);
  state->unlock(state->ctx, key);
  return rc;
}
