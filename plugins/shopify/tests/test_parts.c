// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The parts that need no network: names of shops, queries, states, repeats, handles, bodies, outcomes, and the README's
// tables, which are those of the code.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "document.h"
#include "given.h"
#include "job.h"
#include "objects.h"
#include "position.h"
#include "torture.h"

#define BYTES_MAX (1u << 20)
#define SECOND_US INT64_C(1000000)

// ---- settings ----

static void test_every_spelling_of_a_shop_is_one_host(void **state) {
  (void)state;
  static const char *const good[] = {"acme",
                                     "ACME",
                                     "acme.myshopify.com",
                                     "https://acme.myshopify.com",
                                     "https://acme.myshopify.com/",
                                     "https://acme.myshopify.com/admin"};
  static const char *const bad[] = {"",
                                    "-acme",
                                    "acme.example.com",
                                    "acme/evil",
                                    "acme.myshopify.com.evil.com",
                                    "https://evil.com/acme.myshopify.com",
                                    "a b",
                                    "acme@evil"};
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
    char *host = shopify_shop_host(good[i]);
    assert_non_null(host);
    assert_string_equal(host, "acme.myshopify.com");
    free(host);
  }
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) assert_null(shopify_shop_host(bad[i]));
}

static int32_t bind(const char *json, struct shopify_settings *out, struct dray_error *error) {
  dray_error_init(error);
  return shopify_settings_bind(dray_str_of(json), out, error);
}

static void test_credentials_are_of_one_kind(void **state) {
  (void)state;
  struct shopify_settings settings;
  struct dray_error error;
#define SECRET(name) "\"" name "\":{\"$secret\":\"" name "\"}"
  assert_int_equal(bind("{\"shop\":\"acme\"," SECRET("access_token") "}", &settings, &error), DRAY_OK);
  assert_int_equal(settings.grant, DRAY_GRANT_STATIC);
  assert_string_equal(settings.origin, "https://acme.myshopify.com");
  shopify_settings_free(&settings);
  assert_int_equal(bind("{\"shop\":\"acme\",\"client_id\":\"a\"," SECRET("client_secret") "}", &settings, &error),
                   DRAY_OK);
  assert_int_equal(settings.grant, DRAY_GRANT_CLIENT_CREDENTIALS);
  shopify_settings_free(&settings);
  assert_int_equal(bind("{\"shop\":\"acme\"}", &settings, &error), DRAY_E_CONFIG_MISSING);
  assert_string_equal(error.field, "access_token");
  assert_int_equal(bind("{\"shop\":\"acme\",\"client_id\":\"a\"}", &settings, &error), DRAY_E_CONFIG_MISSING);
  assert_string_equal(error.field, "client_secret");
  assert_int_equal(bind("{\"shop\":\"acme\",\"client_id\":\"a\"," SECRET("access_token") "}", &settings, &error),
                   DRAY_E_CONFIG_VALUE);
  assert_int_equal(bind("{\"shop\":\"acme\"," SECRET("access_token") ",\"api_version\":\"latest\"}", &settings, &error),
                   DRAY_E_CONFIG_VALUE);
  assert_string_equal(error.field, "api_version");
}

static void test_a_code_needs_its_app_and_excludes_a_refresh_token(void **state) {
  (void)state;
  static const char app[] = "{\"shop\":\"acme\",\"client_id\":\"a\"," SECRET("client_secret");
  static const struct {
    const char *more, *field;
    int32_t code;
  } cases[] = {
      {",\"redirect_uri\":\"https://me/\"," SECRET("authorization_code") "}", "", DRAY_OK},
      {",\"redirect_uri\":\"https://me/\"}", "", DRAY_OK}, // before access is granted
      {"," SECRET("authorization_code") "}", "redirect_uri", DRAY_E_CONFIG_MISSING},
      {",\"redirect_uri\":\"https://me/\"," SECRET("authorization_code") "," SECRET("refresh_token") "}",
       "authorization_code", DRAY_E_CONFIG_VALUE},
      {",\"redirect_uri\":\"https://me/\"," SECRET("authorization_code") "," SECRET("access_token") "}", "access_token",
       DRAY_E_CONFIG_VALUE},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct shopify_settings settings;
    struct dray_error error;
    char json[512];
    (void)snprintf(json, sizeof(json), "%s%s", app, cases[i].more);
    assert_int_equal(bind(json, &settings, &error), cases[i].code);
    assert_string_equal(error.field, cases[i].field);
    if (cases[i].code != DRAY_OK) continue;
    assert_int_equal(settings.grant, DRAY_GRANT_AUTHORIZATION_CODE);
    shopify_settings_free(&settings);
  }
}

// What an authorisation asks for lets every stream be read.
static void test_the_scope_is_that_of_all_streams(void **state) {
  (void)state;
  struct shopify_settings settings;
  struct dray_error error;
  assert_int_equal(bind("{\"shop\":\"acme\"," SECRET("access_token") "}", &settings, &error), DRAY_OK);
  struct dray_buffer scopes;
  dray_buffer_init(&scopes, SHOPIFY_SCOPES_BYTES_MAX);
  for (const char *at = settings.scope; *at != '\0'; at += strspn(at, ", ")) {
    const size_t len = strcspn(at, ", ");
    assert_int_equal(dray_buffer_printf(&scopes, NULL, " %.*s ", (int)len, at), DRAY_OK);
    at += len;
  }
  for (size_t i = 0; i < shopify_stream_count; i++) {
    for (const char *at = shopify_streams[i].scopes; *at != '\0'; at += strspn(at, " ")) {
      const size_t len = strcspn(at, " ");
      if (!shopify_scopes_have(&scopes, dray_str_make(at, len)))
        fail_msg("%s needs %s", shopify_streams[i].def.name, at);
      at += len;
    }
    for (const struct shopify_also *also = shopify_streams[i].also; also->scopes != NULL; also++) {
      assert_true(shopify_scopes_have(&scopes, dray_str_of(also->scopes)));
    }
  }
  dray_buffer_free(&scopes);
  shopify_settings_free(&settings);
}

// ---- queries ----

static const struct shopify_stream *stream_of(const char *name) {
  const struct shopify_stream *stream = NULL;
  assert_int_equal(shopify_stream_find(dray_str_of(name), &stream, NULL), DRAY_OK);
  return stream;
}

static size_t place_of(const struct shopify_stream *stream, const char *column) {
  size_t i = 0;
  while (strcmp(stream->def.fields[i].name, column) != 0) i++;
  return i;
}

static void test_columns_become_a_query(void **state) {
  (void)state;
  const struct shopify_stream *orders = stream_of("orders");
  const size_t columns[] = {place_of(orders, "total_price"), place_of(orders, "custom_attributes"),
                            place_of(orders, "customer_id")};
  struct shopify_selection selection;
  struct dray_buffer document, filter;
  dray_buffer_init(&document, BYTES_MAX);
  dray_buffer_init(&filter, BYTES_MAX);
  assert_int_equal(shopify_selection_make(orders, NULL, columns, 3, &selection, NULL), DRAY_OK);
  assert_string_equal(selection.text.data,
                      "id updatedAt totalPriceSet{shopMoney{amount}} customAttributes{key value} customer{id}");
  assert_int_equal(selection.objects, 5);
  assert_int_equal(shopify_document_page(orders, &selection, 1, &document, NULL), DRAY_OK);
  assert_non_null(strstr(document.data, "orders(first:$first,after:$after,query:$query,sortKey:UPDATED_AT){nodes{id "));
  dray_buffer_clear(&document);
  assert_int_equal(shopify_filter(orders, INT64_C(1767225600) * SECOND_US, &filter, NULL), DRAY_OK);
  assert_string_equal(filter.data, "updated_at:>='2026-01-01T00:00:00Z'");
  assert_int_equal(shopify_document_bulk(orders, &selection, dray_buffer_view(&filter), &document, NULL), DRAY_OK);
  assert_memory_equal(document.data, "{orders(query:\"updated_at:>='2026-01-01T00:00:00Z'\"){edges{node{id ", 65);
  assert_int_equal(shopify_page_size(orders, &selection, 250), 180);
  dray_buffer_free(&selection.text);
  dray_buffer_free(&document);
  dray_buffer_free(&filter);
}

static void test_lines_below_a_list_are_asked_for_by_their_parent(void **state) {
  (void)state;
  const struct shopify_stream *lines = stream_of("order_refund_line_items");
  const size_t columns[] = {place_of(lines, "refund_id"), place_of(lines, "quantity")};
  struct shopify_selection selection;
  struct dray_buffer document;
  dray_buffer_init(&document, BYTES_MAX);
  assert_int_equal(lines->bulk, 0); // a bulk operation takes no connection in a list
  assert_int_equal(shopify_selection_make(lines, NULL, columns, 2, &selection, NULL), DRAY_OK);
  assert_int_equal(shopify_document_page(lines, &selection, 1, &document, NULL), DRAY_OK);
  assert_non_null(strstr(document.data, "{nodes{id updatedAt refunds{id refundLineItems(first:10){nodes{id quantity} "
                                        "pageInfo{hasNextPage endCursor}}}} pageInfo{"));
  dray_buffer_clear(&document);
  assert_int_equal(shopify_document_below(lines, &selection, &document, NULL), DRAY_OK);
  assert_non_null(strstr(document.data, "node(id:$id){... on Refund{refundLineItems(first:$first,after:$after){"));
  dray_buffer_free(&selection.text);
  dray_buffer_free(&document);
}

static void test_types_of_metafields(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int32_t type;
    int json;
  } cases[] = {{"number_integer", DRAY_TYPE_INT64, 0},
               {"boolean", DRAY_TYPE_BOOL, 0},
               {"money", DRAY_TYPE_JSON, 1},
               {"list.number_integer", DRAY_TYPE_JSON, 1},
               {"product_reference", DRAY_TYPE_STRING, 0},
               {"date_time", DRAY_TYPE_TIMESTAMP, 0},
               {"never_heard_of", DRAY_TYPE_STRING, 0}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    int json = -1;
    assert_int_equal(shopify_metafield_type(dray_str_of(cases[i].name), &json).id, cases[i].type);
    assert_int_equal(json, cases[i].json);
  }
}

// ---- states ----

static int32_t read_position(const char *text, int64_t start_us, struct shopify_position *out) {
  return shopify_position_read(dray_str_of(text), "orders", start_us, 3600 * SECOND_US, out, NULL);
}

static void test_a_state_goes_on_where_it_was(void **state) {
  (void)state;
  struct shopify_position position, again;
  struct dray_buffer text;
  dray_buffer_init(&text, BYTES_MAX);
  assert_int_equal(read_position("", SHOPIFY_TIME_NONE, &position), DRAY_OK);
  assert_true(position.open && position.from_us == SHOPIFY_TIME_NONE);
  shopify_position_note(&position, 5000 * SECOND_US, 0);
  shopify_position_note(&position, 9000 * SECOND_US, 0);
  shopify_position_note(&position, 7000 * SECOND_US, 1);
  (void)snprintf(position.after, sizeof(position.after), "cursor");
  (void)snprintf(position.bulk_id, sizeof(position.bulk_id), "gid://shopify/BulkOperation/1");
  position.bulk_bytes = 12345;
  assert_int_equal(shopify_position_write(&position, "orders", &text, NULL), DRAY_OK);
  assert_int_equal(read_position(text.data, SHOPIFY_TIME_NONE, &again), DRAY_OK);
  assert_string_equal(again.after, "cursor");
  assert_int_equal(again.bulk_bytes, 12345);
  // The record that was left holds the next read back: nothing is skipped.
  shopify_position_end(&again);
  dray_buffer_clear(&text);
  assert_int_equal(shopify_position_write(&again, "orders", &text, NULL), DRAY_OK);
  assert_string_equal(text.data, "{\"v\":1,\"stream\":\"orders\",\"seen\":\"1970-01-01T01:56:40Z\"}");
  assert_int_equal(read_position(text.data, SHOPIFY_TIME_NONE, &position), DRAY_OK);
  assert_int_equal(position.from_us, (7000 - 3600) * SECOND_US);
  assert_int_equal(read_position(text.data, 6500 * SECOND_US, &position), DRAY_OK);
  assert_int_equal(position.from_us, 6500 * SECOND_US);
  dray_buffer_free(&text);
}

static void test_a_state_of_something_else_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"{}",
                                    "{\"v\":2,\"stream\":\"orders\"}",
                                    "{\"v\":1,\"stream\":\"products\"}",
                                    "[",
                                    "null",
                                    "{\"v\":1,\"stream\":\"orders\",\"seen\":\"yesterday\"}",
                                    "{\"v\":1,\"stream\":\"orders\",\"bulk\":{\"bytes\":-1}}"};
  struct shopify_position position;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    assert_int_equal(read_position(bad[i], SHOPIFY_TIME_NONE, &position), DRAY_E_STATE_CHECKPOINT);
  }
}

static void test_a_record_that_comes_again_is_known(void **state) {
  (void)state;
  struct shopify_given given = {0};
  char id[64];
  int seen = 0;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 5000; i++) {
      const int len = snprintf(id, sizeof(id), "gid://shopify/Order/%d", i);
      assert_int_equal(shopify_given_look(&given, dray_str_make(id, (uint64_t)len), i, &seen, NULL), DRAY_OK);
      assert_int_equal(seen, round == 0 ? SHOPIFY_GIVEN_NEW : SHOPIFY_GIVEN_SAME);
    }
  }
  assert_int_equal(shopify_given_look(&given, dray_str_of("gid://shopify/Order/7"), 8, &seen, NULL), DRAY_OK);
  assert_int_equal(seen, SHOPIFY_GIVEN_OTHER);
  shopify_given_free(&given);
}

// ---- jobs ----

static int32_t make_handle(struct shopify_lines *lines, struct dray_buffer *out, int *fits) {
  static const int64_t rows[] = {100, 101, 102, 7, 9, 10};
  for (size_t i = 0; i < 6; i++) DRAY_TRY(shopify_lines_add(lines, rows[i], NULL));
  return shopify_handle_write("gid://shopify/BulkOperation/1", SHOPIFY_CUSTOMER_SET, lines, out, fits, NULL);
}

static void test_a_handle_tells_the_row_of_each_line(void **state) {
  (void)state;
  static const int64_t rows[] = {100, 101, 102, 7, 9, 10};
  struct shopify_lines lines = {0}, read = {0};
  struct dray_buffer handle;
  char id[SHOPIFY_BULK_ID_BYTES];
  int32_t operation = 0;
  int fits = 0;
  dray_buffer_init(&handle, BYTES_MAX);
  assert_int_equal(make_handle(&lines, &handle, &fits), DRAY_OK);
  assert_string_equal(handle.data, "{\"v\":1,\"id\":\"gid://shopify/BulkOperation/1\",\"op\":\"customerSet\",\"rows\":"
                                   "\"100-102,7,9-10\"}");
  assert_true(fits);
  assert_int_equal(shopify_handle_read(dray_buffer_view(&handle), id, &operation, &read, NULL), DRAY_OK);
  assert_string_equal(id, "gid://shopify/BulkOperation/1");
  assert_int_equal(operation, SHOPIFY_CUSTOMER_SET);
  for (uint64_t i = 0; i < 6; i++) assert_int_equal(shopify_lines_row(&read, i), rows[i]);
  assert_int_equal(shopify_lines_row(&read, 6), INT64_MIN);
  shopify_lines_free(&read);
  static const char *const bad[] = {"", "{}", "{\"v\":1,\"id\":\"x\",\"op\":\"nothing\",\"rows\":\"1\"}",
                                    "{\"v\":1,\"id\":\"x\",\"op\":\"tagsAdd\",\"rows\":\"5-2\"}",
                                    "{\"v\":1,\"id\":\"x\",\"op\":\"tagsAdd\",\"rows\":\"0-99999999999\"}"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    assert_int_equal(shopify_handle_read(dray_str_of(bad[i]), id, &operation, &read, NULL), DRAY_E_PLUGIN_CONTRACT);
  }
  // Rows that are too scattered do not fit into a handle.
  for (int64_t i = 0; i < 3000; i += 2) assert_int_equal(shopify_lines_add(&lines, i, NULL), DRAY_OK);
  dray_buffer_clear(&handle);
  assert_int_equal(shopify_handle_write(id, SHOPIFY_TAGS_ADD, &lines, &handle, &fits, NULL), DRAY_OK);
  assert_false(fits);
  shopify_lines_free(&lines);
  dray_buffer_free(&handle);
}

static int32_t torture_handle(void *ctx) {
  struct shopify_lines lines = {0}, read = {0};
  struct dray_buffer handle;
  char id[SHOPIFY_BULK_ID_BYTES];
  int32_t operation = 0;
  int fits = 0;
  (void)ctx;
  dray_buffer_init(&handle, BYTES_MAX);
  int32_t rc = make_handle(&lines, &handle, &fits);
  if (rc == DRAY_OK) rc = shopify_handle_read(dray_buffer_view(&handle), id, &operation, &read, NULL);
  shopify_lines_free(&lines);
  shopify_lines_free(&read);
  dray_buffer_free(&handle);
  return rc;
}

static int32_t torture_query(void *ctx) {
  const struct shopify_stream *stream = ctx;
  size_t columns[64];
  struct shopify_selection selection = {0};
  struct dray_buffer document;
  for (size_t i = 0; i < stream->def.field_count; i++) columns[i] = i;
  dray_buffer_init(&document, BYTES_MAX);
  int32_t rc = shopify_selection_make(stream, NULL, columns, stream->def.field_count, &selection, NULL);
  if (rc == DRAY_OK) rc = shopify_document_page(stream, &selection, 1, &document, NULL);
  dray_buffer_free(&selection.text);
  dray_buffer_free(&document);
  return rc;
}

static void test_without_memory_nothing_is_left(void **state) {
  (void)state;
  assert_true(torture_every(torture_handle, NULL) > 3);
  for (size_t i = 0; i < shopify_stream_count; i++) {
    struct shopify_stream copy = shopify_streams[i];
    assert_true(torture_every(torture_query, &copy) > 1);
  }
}

// ---- mutations and outcomes ----

static void test_tasks_become_one_document(void **state) {
  (void)state;
  static const char values[] = "{\"id\":\"gid://shopify/Customer/1\"}\"gid://shopify/Customer/2\"[\"a\"]";
  struct shopify_task tasks[2] = {{.operation = SHOPIFY_CUSTOMER_DELETE, .offset = {0}, .len = {33}},
                                  {.operation = SHOPIFY_TAGS_ADD, .offset = {33, 59}, .len = {26, 5}}};
  struct shopify_task *group[2] = {&tasks[0], &tasks[1]};
  struct dray_buffer body;
  struct dray_json *root = NULL;
  dray_buffer_init(&body, BYTES_MAX);
  assert_int_equal(shopify_write_aliased(group, 2, values, &body, NULL), DRAY_OK);
  assert_int_equal(dray_json_parse(dray_buffer_view(&body), BYTES_MAX, &root, NULL), DRAY_OK);
  assert_string_equal(
      dray_json_get(root, "query")->text.data,
      "mutation($input0:CustomerDeleteInput!,$id1:ID!,$tags1:[String!]!){r0:customerDelete(input:$input0)"
      "{deletedCustomerId userErrors{field message}} r1:tagsAdd(id:$id1,tags:$tags1){node{id} "
      "userErrors{field message}}}");
  assert_string_equal(dray_json_path(root, "variables.input0.id")->text.data, "gid://shopify/Customer/1");
  assert_string_equal(dray_json_path(root, "variables.tags1[0]")->text.data, "a");
  dray_json_free(root);
  dray_buffer_clear(&body);
  assert_int_equal(shopify_write_bulk_line(&tasks[1], values, &body, NULL), DRAY_OK);
  assert_string_equal(body.data, "{\"id\":\"gid://shopify/Customer/2\",\"tags\":[\"a\"]}\n");
  dray_buffer_free(&body);
}

static void expect_outcome(int32_t operation, const char *payload, const char *errors, int32_t status,
                           const char *text) {
  struct shopify_task task = {.operation = operation};
  struct dray_buffer texts;
  struct dray_json *payload_root = NULL, *errors_root = NULL;
  dray_buffer_init(&texts, BYTES_MAX);
  assert_int_equal(dray_json_parse(dray_str_of(payload), BYTES_MAX, &payload_root, NULL), DRAY_OK);
  if (errors != NULL) assert_int_equal(dray_json_parse(dray_str_of(errors), BYTES_MAX, &errors_root, NULL), DRAY_OK);
  assert_int_equal(shopify_judge(&task, payload_root, errors_root, "r0", &texts, NULL), DRAY_OK);
  assert_int_equal(task.status, status);
  assert_int_equal(task.text_len, strlen(text));
  if (task.text_len > 0) assert_memory_equal(texts.data + task.text, text, task.text_len);
  dray_json_free(payload_root);
  dray_json_free(errors_root);
  dray_buffer_free(&texts);
}

static void test_outcomes_are_in_the_vendors_words(void **state) {
  (void)state;
  expect_outcome(SHOPIFY_CUSTOMER_SET, "{\"customer\":{\"id\":\"gid://shopify/Customer/1\"},\"userErrors\":[]}", NULL,
                 DRAY_RECEIPT_APPLIED, "");
  expect_outcome(SHOPIFY_CUSTOMER_SET,
                 "{\"customer\":null,\"userErrors\":[{\"field\":[\"input\",\"email\"],\"message\":\"Email is invalid\","
                 "\"code\":\"INVALID\"},{\"field\":null,\"message\":\"No\"}]}",
                 NULL, DRAY_RECEIPT_REJECTED, "input.email: Email is invalid (INVALID); No");
  expect_outcome(
      SHOPIFY_CUSTOMER_DELETE,
      "{\"deletedCustomerId\":null,\"userErrors\":[{\"field\":[\"id\"],\"message\":\"Customer can't be found, it "
      "does not exist\"}]}",
      NULL, DRAY_RECEIPT_UNCHANGED, "");
  expect_outcome(SHOPIFY_TAGS_ADD, "null",
                 "[{\"message\":\"invalid id\",\"path\":[\"r0\"],\"extensions\":{\"code\":\"RESOURCE_NOT_FOUND\"}}]",
                 DRAY_RECEIPT_REJECTED, "invalid id");
  expect_outcome(SHOPIFY_TAGS_ADD, "null", NULL, DRAY_RECEIPT_UNKNOWN, "no outcome was given");
  expect_outcome(SHOPIFY_TAGS_ADD, "null",
                 "[{\"message\":\"oops\",\"path\":[\"r0\"],\"extensions\":{\"code\":\"INTERNAL_SERVER_ERROR\"}}]",
                 DRAY_RECEIPT_UNKNOWN, "oops");
  // Not the row's fault, whatever else stands in the answer.
  expect_outcome(SHOPIFY_TAGS_ADD, "null",
                 "[{\"message\":\"no\",\"path\":[\"r1\"]},{\"message\":\"Throttled\",\"path\":[\"r0\"],"
                 "\"extensions\":{\"code\":\"THROTTLED\"}}]",
                 DRAY_RECEIPT_RETRY, "Throttled");
}

// ---- scopes ----

static void test_a_scope_to_write_is_one_to_read(void **state) {
  (void)state;
  struct dray_buffer scopes;
  struct dray_json *list = NULL;
  dray_buffer_init(&scopes, SHOPIFY_SCOPES_BYTES_MAX);
  assert_int_equal(shopify_scopes_have(&scopes, dray_str_of("read_orders")), 0);
  const struct dray_str text = dray_str_of("[{\"handle\":\"write_products\"},{\"handle\":\"read_orders\"}]");
  assert_int_equal(dray_json_parse(text, BYTES_MAX, &list, NULL), DRAY_OK);
  assert_int_equal(shopify_scopes_take(list, &scopes, NULL), DRAY_OK);
  dray_json_free(list);
  static const char *const held[] = {"read_products", "write_products", "read_orders", "read_inventory|read_products",
                                     "read_orders|x"};
  static const char *const lacking[] = {"",       "write_orders", "read_order",
                                        "orders", "read_",        "read_inventory|read_locations"};
  for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
    assert_true(shopify_scopes_have(&scopes, dray_str_of(held[i])));
  }
  for (size_t i = 0; i < sizeof(lacking) / sizeof(lacking[0]); i++) {
    assert_false(shopify_scopes_have(&scopes, dray_str_of(lacking[i])));
  }
  dray_buffer_free(&scopes);
  assert_string_equal(shopify_scope_of_owner(dray_str_of("gid://shopify/ProductVariant/7")), "write_products");
  assert_null(shopify_scope_of_owner(dray_str_of("gid://shopify/Shop/7")));
  assert_null(shopify_scope_of_owner(dray_str_of("Customer/7")));
}

// ---- the README ----

static void expect_in_readme(const struct dray_buffer *table) {
  static char readme[BYTES_MAX];
  FILE *file = fopen(SHOPIFY_README, "r");
  assert_non_null(file);
  const size_t len = fread(readme, 1, sizeof(readme) - 1, file);
  readme[len] = '\0';
  assert_int_equal(fclose(file), 0);
  if (strstr(readme, table->data) == NULL)
    print_error("%s does not hold this table:\n%s\n", SHOPIFY_README, table->data);
  assert_non_null(strstr(readme, table->data));
}

static void test_the_readme_holds_the_tables(void **state) {
  (void)state;
  struct dray_stream_def streams[64];
  struct dray_object_def objects[SHOPIFY_OBJECT_COUNT];
  struct dray_buffer table;
  dray_buffer_init(&table, BYTES_MAX);
  for (size_t i = 0; i < shopify_stream_count; i++) streams[i] = shopify_streams[i].def;
  for (size_t i = 0; i < SHOPIFY_OBJECT_COUNT; i++) objects[i] = shopify_objects[i].def;
  assert_int_equal(dray_stream_defs_markdown(streams, shopify_stream_count, &table, NULL), DRAY_OK);
  expect_in_readme(&table);
  dray_buffer_clear(&table);
  assert_int_equal(dray_object_defs_markdown(objects, SHOPIFY_OBJECT_COUNT, &table, NULL), DRAY_OK);
  expect_in_readme(&table);
  dray_buffer_free(&table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_spelling_of_a_shop_is_one_host),
      cmocka_unit_test(test_credentials_are_of_one_kind),
      cmocka_unit_test(test_a_code_needs_its_app_and_excludes_a_refresh_token),
      cmocka_unit_test(test_the_scope_is_that_of_all_streams),
      cmocka_unit_test(test_columns_become_a_query),
      cmocka_unit_test(test_lines_below_a_list_are_asked_for_by_their_parent),
      cmocka_unit_test(test_types_of_metafields),
      cmocka_unit_test(test_a_state_goes_on_where_it_was),
      cmocka_unit_test(test_a_state_of_something_else_is_refused),
      cmocka_unit_test(test_a_record_that_comes_again_is_known),
      cmocka_unit_test(test_a_handle_tells_the_row_of_each_line),
      cmocka_unit_test(test_without_memory_nothing_is_left),
      cmocka_unit_test(test_tasks_become_one_document),
      cmocka_unit_test(test_outcomes_are_in_the_vendors_words),
      cmocka_unit_test(test_a_scope_to_write_is_one_to_read),
      cmocka_unit_test(test_the_readme_holds_the_tables),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
