// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The services that an instance is given: limits, masking, and what a plugin gets when something is not there.
#include "plugin/scene.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/board.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/redact.h"
#include "dray/sdk/services.h"
#include "torture.h"

// A store and a vault of one entry each.
struct backing {
  char key[300];
  int shared;
  char value[70000];
  size_t value_len;
  const char *secret;
};

static int32_t secret_of(void *ctx, struct dray_str setting, struct dray_buffer *out, struct dray_error *error) {
  const struct backing *backing = ctx;
  if (!dray_str_is(setting, "auth.token")) {
    return dray_fail(error, DRAY_E_CONFIG_MISSING, "%.*s is not given", DRAY_STR_ARG(setting));
  }
  return dray_buffer_append_str(out, backing->secret, error);
}

static int32_t state_get(void *ctx, int shared, struct dray_str key, struct dray_buffer *out,
                         struct dray_error *error) {
  const struct backing *backing = ctx;
  if (shared != backing->shared || !dray_str_is(key, backing->key)) return DRAY_OK;
  return dray_buffer_append(out, backing->value, backing->value_len, error);
}

static int32_t state_put(void *ctx, int shared, struct dray_str key, struct dray_str value, struct dray_error *error) {
  struct backing *backing = ctx;
  (void)error;
  (void)snprintf(backing->key, sizeof(backing->key), "%.*s", DRAY_STR_ARG(key));
  backing->shared = shared;
  memcpy(backing->value, value.data, value.len);
  backing->value_len = value.len;
  return DRAY_OK;
}

struct scene {
  struct backing backing;
  struct dr_host *host;
  struct dray_services services;
};

static int setup(void **state) {
  struct scene *scene = calloc(1, sizeof(*scene));
  struct dray_error error;
  if (scene == NULL) return -1;
  scene->backing.secret = "canary-5f2b";
  const struct dr_host_options options = {"shop", &scene->backing, secret_of, state_get, state_put, NULL};
  scene_ok(dr_host_new(&options, &scene->host, &error));
  scene_ok(dray_services_init(&scene->services, dr_host_abi(scene->host), &error));
  *state = scene;
  return 0;
}

static int teardown(void **state) {
  struct scene *scene = *state;
  dr_host_free(scene->host);
  free(scene);
  dr_redact_clear();
  return 0;
}

static void test_host_has_every_service_with_its_size(void **state) {
  const struct scene *scene = *state;
  const struct dray_host *host = dr_host_abi(scene->host);
  assert_int_equal(host->struct_size, sizeof(*host));
  assert_int_equal(host->abi_minor, DRAY_ABI_MINOR);
  assert_int_equal(scene->services.log->struct_size, sizeof(*scene->services.log));
  assert_int_equal(scene->services.http->struct_size, sizeof(*scene->services.http));
  assert_int_equal(scene->services.random->struct_size, sizeof(*scene->services.random));
  assert_null(host->service(host->ctx, 0));
  assert_null(host->service(host->ctx, 99));
}

// ---- secrets ----

static void test_secret_is_handed_over_and_masked_from_then_on(void **state) {
  const struct scene *scene = *state;
  const struct dray_secrets_service *secrets = scene->services.secrets;
  struct dray_error error;
  char buffer[64];
  uint64_t len = 0;
  scene_ok(secrets->get(secrets->ctx, dray_str_of("auth.token"), buffer, sizeof(buffer), &len, &error));
  assert_int_equal(len, 11);
  assert_memory_equal(buffer, "canary-5f2b", 11);
  char shown[] = "token canary-5f2b refused";
  shown[dr_redact(shown, strlen(shown))] = '\0';
  assert_null(strstr(shown, "canary"));
}

static void test_token_of_an_answer_is_masked_when_the_plugin_says_so(void **state) {
  const struct scene *scene = *state;
  const struct dray_secrets_service *secrets = scene->services.secrets;
  char shown[] = "access mint-77ab granted";
  secrets->mask(secrets->ctx, dray_str_of("mint-77ab"));
  shown[dr_redact(shown, strlen(shown))] = '\0';
  assert_string_equal(shown, "access *** granted");
}

static void test_secret_errors(void **state) {
  const struct scene *scene = *state;
  const struct dray_secrets_service *secrets = scene->services.secrets;
  struct dray_error error;
  char buffer[4] = "abc";
  uint64_t len = 77;
  scene_failed(secrets->get(secrets->ctx, dray_str_of("password"), buffer, sizeof(buffer), &len, &error), &error,
               DRAY_E_CONFIG_MISSING, "password", NULL);
  scene_failed(secrets->get(secrets->ctx, dray_str_of("auth.token"), buffer, sizeof(buffer), &len, &error), &error,
               DRAY_E_LIMIT, "auth.token", "11 bytes", "room for 4", NULL);
  assert_null(strstr(error.text, "canary"));
  assert_string_equal(buffer, "abc"); // nothing half written
  assert_int_equal(len, 77);

  struct dr_host *bare = NULL;
  struct dray_services services;
  const struct dr_host_options nothing = {.connection = "bare"};
  scene_ok(dr_host_new(&nothing, &bare, &error));
  scene_ok(dray_services_init(&services, dr_host_abi(bare), &error));
  scene_failed(services.secrets->get(services.secrets->ctx, dray_str_of("x"), buffer, sizeof(buffer), &len, &error),
               &error, DRAY_E_CONFIG_MISSING, "connection bare has no secret x", NULL);
  dr_host_free(bare);
}

// ---- state ----

static int32_t put(const struct scene *scene, struct dray_str key, struct dray_str value, struct dray_error *error) {
  return scene->services.state->put(scene->services.state->ctx, key, value, error);
}

static int32_t get(const struct scene *scene, struct dray_str key, char *buffer, uint64_t capacity, uint64_t *len,
                   struct dray_error *error) {
  return scene->services.state->get(scene->services.state->ctx, key, buffer, capacity, len, error);
}

static void test_state_comes_back_as_it_was_put(void **state) {
  const struct scene *scene = *state;
  struct dray_error error;
  static char largest[DRAY_STATE_VALUE_BYTES_MAX + 1];
  static char read[DRAY_STATE_VALUE_BYTES_MAX];
  uint64_t len = 1;
  memset(largest, 'v', sizeof(largest));
  scene_ok(get(scene, dray_str_of("cursor"), read, sizeof(read), &len, &error));
  assert_int_equal(len, 0);
  scene_ok(put(scene, dray_str_of("cursor"), dray_str_make(largest, DRAY_STATE_VALUE_BYTES_MAX), &error));
  scene_ok(get(scene, dray_str_of("cursor"), read, sizeof(read), &len, &error));
  assert_int_equal(len, DRAY_STATE_VALUE_BYTES_MAX);
  assert_memory_equal(read, largest, len);
  scene_failed(get(scene, dray_str_of("cursor"), read, 10, &len, &error), &error, DRAY_E_LIMIT, "room for 10", NULL);
  scene_failed(put(scene, dray_str_of("cursor"), dray_str_make(largest, sizeof(largest)), &error), &error, DRAY_E_LIMIT,
               "65537 bytes", "65536", NULL);
}

static void test_state_keys_have_limits(void **state) {
  const struct scene *scene = *state;
  struct dray_error error;
  char key[DRAY_STATE_KEY_BYTES_MAX + 1];
  memset(key, 'k', sizeof(key));
  scene_ok(put(scene, dray_str_make(key, sizeof(key) - 1), dray_str_of("x"), &error));
  scene_failed(put(scene, dray_str_make(key, sizeof(key)), dray_str_of("x"), &error), &error, DRAY_E_LIMIT, "257",
               NULL);
  scene_failed(put(scene, dray_str_of(""), dray_str_of("x"), &error), &error, DRAY_E_LIMIT, "0 bytes", NULL);
  scene_failed(put(scene, dray_str_of("a\xff"), dray_str_of("x"), &error), &error, DRAY_E_LIMIT, "UTF-8", NULL);
  scene_failed(put(scene, dray_str_make("a\0b", 3), dray_str_of("x"), &error), &error, DRAY_E_LIMIT, "UTF-8", NULL);
}

static void test_state_without_a_store_is_never_lost_unsaid(void **state) {
  (void)state;
  struct dr_host *bare = NULL;
  struct dray_services services;
  struct dray_error error;
  char buffer[8];
  uint64_t len = 5;
  const struct dr_host_options nothing = {.connection = "bare"};
  scene_ok(dr_host_new(&nothing, &bare, &error));
  scene_ok(dray_services_init(&services, dr_host_abi(bare), &error));
  scene_ok(services.state->get(services.state->ctx, dray_str_of("k"), buffer, sizeof(buffer), &len, &error));
  assert_int_equal(len, 0);
  scene_failed(services.state->put(services.state->ctx, dray_str_of("k"), dray_str_of("v"), &error), &error,
               DRAY_E_LIMIT, "no store", NULL);
  dr_host_free(bare);
}

// ---- metrics ----

static void count(const struct scene *scene, const char *name, int64_t add) {
  scene->services.metrics->count(scene->services.metrics->ctx, dray_str_of(name), add);
}

static char *metrics_json(const struct scene *scene) {
  static char text[16384];
  struct dray_buffer out;
  struct dray_error error;
  dray_buffer_init(&out, sizeof(text) - 1);
  scene_ok(dr_host_metrics_json(scene->host, &out, &error));
  (void)snprintf(text, sizeof(text), "%s", out.data);
  dray_buffer_free(&out);
  return text;
}

static void test_metrics_add_up(void **state) {
  const struct scene *scene = *state;
  assert_string_equal(metrics_json(scene), "{}");
  count(scene, "pages", 2);
  count(scene, "api_calls", 1);
  count(scene, "pages", 3);
  count(scene, "debt", -4);
  assert_string_equal(metrics_json(scene), "{\"pages\":5,\"api_calls\":1,\"debt\":-4}");
}

static void test_metrics_leave_out_what_does_not_fit(void **state) {
  const struct scene *scene = *state;
  count(scene, "Pages", 1);
  count(scene, "", 1);
  count(scene, "a b", 1);
  count(scene, "a\"b", 1);
  assert_string_equal(metrics_json(scene), "{}");
  count(scene, "big", INT64_MAX);
  count(scene, "big", 1);
  count(scene, "small", INT64_MIN);
  count(scene, "small", -1);
  assert_string_equal(metrics_json(scene), "{\"big\":9223372036854775807,\"small\":-9223372036854775808}");
  for (int i = 0; i < 100; i++) {
    char name[16];
    (void)snprintf(name, sizeof(name), "n%d", i);
    count(scene, name, 1);
  }
  count(scene, "n0", 1); // those that are there still count
  const char *json = metrics_json(scene);
  assert_non_null(strstr(json, "\"n0\":2"));
  assert_non_null(strstr(json, "\"n61\":1")); // 2 + 62 = 64
  assert_null(strstr(json, "\"n62\""));
}

// ---- clock, cancel, random ----

static _Atomic int has_looked;

static void *look_at_the_board(void *ctx) {
  struct dr_board_view *view = ctx;
  for (int i = 0; i < 60000 && view->wait[0] == '\0'; i++) {
    dr_board_read(dr_board(), view);
    (void)usleep(1000);
  }
  has_looked = 1;
  return NULL;
}

static void test_sleep_shows_its_reason_while_it_lasts(void **state) {
  const struct scene *scene = *state;
  const struct dray_clock_service *clock = scene->services.clock;
  struct dray_error error;
  struct dr_board_view view;
  memset(&view, 0, sizeof(view));
  pthread_t watcher;
  assert_int_equal(pthread_create(&watcher, NULL, look_at_the_board, &view), 0);
  do {
    const int64_t before = clock->monotonic_ms(clock->ctx);
    scene_ok(clock->sleep_ms(clock->ctx, 120, dray_str_of("429 from api.example.com"), &error));
    assert_true(clock->monotonic_ms(clock->ctx) - before >= 120);
  } while (!has_looked); // the other thread may get its turn late
  assert_int_equal(pthread_join(watcher, NULL), 0);
  assert_string_equal(view.wait, "429 from api.example.com");
  assert_true(view.wait_until_ms > 0);
  dr_board_read(dr_board(), &view);
  assert_string_equal(view.wait, "");
  assert_int_equal(view.wait_until_ms, 0);
  scene_ok(clock->sleep_ms(clock->ctx, 0, dray_str_of(""), &error));
  scene_failed(clock->sleep_ms(clock->ctx, INT64_C(86400001), dray_str_of("x"), &error), &error, DRAY_E_LIMIT, "a day",
               NULL);
  assert_true(clock->now_us(clock->ctx) > INT64_C(1700000000000000));
}

// The flag cannot be taken back, so another process sets it.
static void test_cancel_is_seen_and_ends_a_sleep(void **state) {
  const struct scene *scene = *state;
  assert_int_equal(scene->services.cancel->cancelled(scene->services.cancel->ctx), 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    struct dray_error error;
    dr_cancel_request();
    const int seen = dray_cancelled(&scene->services) == 1;
    const int64_t before = scene->services.clock->monotonic_ms(scene->services.clock->ctx);
    const int32_t rc = scene->services.clock->sleep_ms(scene->services.clock->ctx, 600000, dray_str_of("x"), &error);
    const int64_t took = scene->services.clock->monotonic_ms(scene->services.clock->ctx) - before;
    _exit(seen && rc == DRAY_E_CANCELLED && took < 60000 ? 0 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_random_fills_every_byte(void **state) {
  const struct scene *scene = *state;
  const struct dray_random_service *random = scene->services.random;
  uint8_t seen[1000] = {0};
  uint8_t bytes[1000];
  for (int round = 0; round < 8; round++) {
    random->fill(random->ctx, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) seen[i] |= bytes[i];
  }
  for (size_t i = 0; i < sizeof(seen); i++) assert_int_not_equal(seen[i], 0); // else: 1 in 10^16
  random->fill(random->ctx, NULL, 0);
}

// ---- log ----

static void test_log_names_the_connection_and_masks(void **state) {
  const struct scene *scene = *state;
  struct dray_error error;
  char *secret = NULL;
  scene_ok(dray_secret_get(&scene->services, "auth.token", &secret, &error));
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const int kept = dup(STDERR_FILENO);
  assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
  dray_log_printf(&scene->services, DRAY_LOG_WARN, "sent %s\x1b[2J", secret);
  scene->services.log->write(scene->services.log->ctx, 0, dray_str_of("level nought"));
  dray_log_printf(&scene->services, DRAY_LOG_DEBUG, "not at this level");
  assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
  (void)close(kept);
  (void)close(ends[1]);
  char text[1024] = "";
  const ssize_t n = read(ends[0], text, sizeof(text) - 1);
  assert_true(n > 0);
  (void)close(ends[0]);
  dray_secret_free(secret);
  assert_non_null(strstr(text, "warn: [shop] sent ***"));
  assert_null(strstr(text, "canary"));
  assert_null(strchr(text, '\x1b'));
  assert_non_null(strstr(text, "error: [shop] level nought"));
  assert_null(strstr(text, "not at this level"));
}

// ---- failing allocations ----

static int32_t make_once(void *ctx) {
  const struct dr_host_options options = {.connection = "x", .ctx = ctx, .secret = secret_of, .state_get = state_get};
  struct dr_host *host = NULL;
  struct dray_error error;
  int32_t rc = dr_host_new(&options, &host, &error);
  if (rc == DRAY_OK) {
    struct dray_services services;
    char buffer[64];
    uint64_t len = 0;
    rc = dray_services_init(&services, dr_host_abi(host), &error);
    if (rc == DRAY_OK) {
      rc =
          services.secrets->get(services.secrets->ctx, dray_str_of("auth.token"), buffer, sizeof(buffer), &len, &error);
    }
    dr_host_free(host);
  }
  assert_true(rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY);
  return rc;
}

static void test_host_survives_failing_allocations(void **state) {
  struct scene *scene = *state;
  // A secret that cannot be remembered for masking for want of memory is let through by dr_redact_add: one known gap,
  // closed here by having it remembered before.
  dr_redact_add(dray_str_of(scene->backing.secret));
  for (uint64_t n = 1; n < 40; n++) {
    torture_arm(n);
    const int32_t rc = make_once(&scene->backing);
    torture_arm(0);
    assert_true(rc == DRAY_OK || rc == DRAY_E_OUT_OF_MEMORY);
  }
}

// ---- locks, and budgets ----

struct pair {
  char folder[32];
  struct dr_host *hosts[2];
  struct dray_services services[2];
};

static int pair_of(const char *const connections[2], void **state) {
  struct pair *pair = calloc(1, sizeof(*pair));
  struct dray_error error;
  if (pair == NULL) return -1;
  (void)snprintf(pair->folder, sizeof(pair->folder), "/tmp/dray-host-XXXXXX");
  if (mkdtemp(pair->folder) == NULL) return -1;
  for (int i = 0; i < 2; i++) {
    const struct dr_host_options options = {.connection = connections[i], .shared_folder = pair->folder};
    scene_ok(dr_host_new(&options, &pair->hosts[i], &error));
    scene_ok(dray_services_init(&pair->services[i], dr_host_abi(pair->hosts[i]), &error));
  }
  *state = pair;
  return 0;
}

static int pair_setup(void **state) {
  return pair_of((const char *const[]){"shop", "shop"}, state);
}

static int two_setup(void **state) {
  return pair_of((const char *const[]){"shop", "mail"}, state);
}

static int pair_teardown(void **state) {
  struct pair *pair = *state;
  for (int i = 0; i < 2; i++) dr_host_free(pair->hosts[i]);
  DIR *folder = opendir(pair->folder);
  for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
    (void)unlinkat(dirfd(folder), entry->d_name, 0);
  }
  closedir(folder);
  const int rc = rmdir(pair->folder);
  free(pair);
  return rc;
}

static int32_t lock(const struct pair *pair, int side, const char *key) {
  struct dray_error error;
  dray_error_init(&error);
  const struct dray_state_service *service = pair->services[side].state;
  return service->lock(service->ctx, dray_str_of(key), 30, &error);
}

static void unlock(const struct pair *pair, int side, const char *key) {
  const struct dray_state_service *service = pair->services[side].state;
  service->unlock(service->ctx, dray_str_of(key));
}

static void test_state_lock_has_one_holder(void **state) {
  const struct pair *pair = *state;
  assert_int_equal(lock(pair, 0, "oauth"), DRAY_OK);
  assert_int_equal(lock(pair, 1, "oauth"), DRAY_E_BUSY);
  assert_int_equal(lock(pair, 1, "another"), DRAY_OK);
  unlock(pair, 1, "oauth"); // not its own: nothing happens
  assert_int_equal(lock(pair, 1, "oauth"), DRAY_E_BUSY);
  unlock(pair, 0, "oauth");
  assert_int_equal(lock(pair, 1, "oauth"), DRAY_OK);
  assert_int_equal(lock(pair, 1, "oauth"), DRAY_E_PLUGIN_CONTRACT); // not recursive
  const struct dray_state_service *service = pair->services[0].state;
  assert_int_equal(service->lock(service->ctx, dray_str_of("third"), INT64_MAX, NULL), DRAY_OK);
}

static void test_shared_state_lock_has_one_holder_of_all_connections(void **state) {
  const struct pair *pair = *state;
  const struct dray_state_service *first = pair->services[0].shared_state, *second = pair->services[1].shared_state;
  const struct dray_str key = dray_str_of("oauth");
  assert_int_equal(first->lock(first->ctx, key, 30, NULL), DRAY_OK);
  assert_int_equal(second->lock(second->ctx, key, 30, NULL), DRAY_E_BUSY);
  assert_int_equal(lock(pair, 0, "oauth"), DRAY_OK); // the connection's own is another one
  assert_int_equal(lock(pair, 1, "oauth"), DRAY_OK);
  unlock(pair, 0, "oauth");
  assert_int_equal(second->lock(second->ctx, key, 30, NULL), DRAY_E_BUSY);
  first->unlock(first->ctx, key);
  assert_int_equal(second->lock(second->ctx, key, 30, NULL), DRAY_OK);
}

static void test_shared_state_is_not_the_connections_own(void **state) {
  const struct scene *scene = *state;
  const struct dray_state_service *own = scene->services.state, *shared = scene->services.shared_state;
  const struct dray_str key = dray_str_of("k");
  char buffer[10];
  uint64_t bytes = 0;
  struct dray_error error;
  scene_ok(shared->put(shared->ctx, key, dray_str_of("x"), &error));
  scene_ok(own->get(own->ctx, key, buffer, sizeof(buffer), &bytes, &error));
  assert_int_equal(bytes, 0);
  scene_ok(shared->get(shared->ctx, key, buffer, sizeof(buffer), &bytes, &error));
  assert_int_equal(bytes, 1);
}

static void test_state_lock_ends_with_its_instance(void **state) {
  struct pair *pair = *state;
  assert_int_equal(lock(pair, 0, "oauth"), DRAY_OK);
  dr_host_free(pair->hosts[0]);
  pair->hosts[0] = NULL;
  assert_int_equal(lock(pair, 1, "oauth"), DRAY_OK);
}

static void test_state_lock_needs_a_place_to_meet(void **state) {
  const struct scene *scene = *state;
  const struct dray_state_service *service = scene->services.state;
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(service->lock(service->ctx, dray_str_of("oauth"), 0, &error), DRAY_E_LIMIT);
  assert_non_null(strstr(error.text, "there is no store"));
}

static void test_budget_is_one_for_all_instances(void **state) {
  const struct pair *pair = *state;
  const struct dray_pace_service *first = pair->services[0].pace, *second = pair->services[1].pace;
  const struct dray_pace_terms terms = {sizeof(terms), 0, dray_str_of("shopify:acme"), 100, 1000};
  struct dray_error error;
  dray_error_init(&error);
  const int64_t begun = dr_monotonic_ms();
  scene_ok(first->take(first->ctx, &terms, 100, &error));
  scene_ok(second->take(second->ctx, &terms, 100, &error)); // waits for 100 points at 1,000 a second
  assert_true(dr_monotonic_ms() - begun >= 100);
  scene_ok(first->hold(first->ctx, terms.key, 150, &error));
  const int64_t held = dr_monotonic_ms();
  scene_ok(second->take(second->ctx, &terms, 0, &error));
  assert_true(dr_monotonic_ms() - held >= 149);
}

static void test_budget_that_cannot_be_is_refused(void **state) {
  const struct pair *pair = *state;
  const struct dray_pace_service *pace = pair->services[0].pace;
  struct dray_pace_terms terms = {sizeof(terms), 0, dray_str_of("x"), 100, 0};
  struct dray_error error;
  dray_error_init(&error);
  assert_int_equal(pace->take(pace->ctx, &terms, 1, &error), DRAY_E_PLUGIN_CONTRACT);
  terms.per_second = 1;
  assert_int_equal(pace->take(pace->ctx, &terms, -1, &error), DRAY_E_PLUGIN_CONTRACT);
  terms.key.len = 0;
  assert_int_equal(pace->tell(pace->ctx, &terms, 1, 0, &error), DRAY_E_PLUGIN_CONTRACT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_state_lock_has_one_holder, pair_setup, pair_teardown),
      cmocka_unit_test_setup_teardown(test_shared_state_lock_has_one_holder_of_all_connections, two_setup,
                                      pair_teardown),
      cmocka_unit_test_setup_teardown(test_shared_state_is_not_the_connections_own, setup, teardown),
      cmocka_unit_test_setup_teardown(test_state_lock_ends_with_its_instance, pair_setup, pair_teardown),
      cmocka_unit_test_setup_teardown(test_state_lock_needs_a_place_to_meet, setup, teardown),
      cmocka_unit_test_setup_teardown(test_budget_is_one_for_all_instances, pair_setup, pair_teardown),
      cmocka_unit_test_setup_teardown(test_budget_that_cannot_be_is_refused, pair_setup, pair_teardown),
      cmocka_unit_test_setup_teardown(test_host_has_every_service_with_its_size, setup, teardown),
      cmocka_unit_test_setup_teardown(test_secret_is_handed_over_and_masked_from_then_on, setup, teardown),
      cmocka_unit_test_setup_teardown(test_token_of_an_answer_is_masked_when_the_plugin_says_so, setup, teardown),
      cmocka_unit_test_setup_teardown(test_secret_errors, setup, teardown),
      cmocka_unit_test_setup_teardown(test_state_comes_back_as_it_was_put, setup, teardown),
      cmocka_unit_test_setup_teardown(test_state_keys_have_limits, setup, teardown),
      cmocka_unit_test(test_state_without_a_store_is_never_lost_unsaid),
      cmocka_unit_test_setup_teardown(test_metrics_add_up, setup, teardown),
      cmocka_unit_test_setup_teardown(test_metrics_leave_out_what_does_not_fit, setup, teardown),
      cmocka_unit_test_setup_teardown(test_sleep_shows_its_reason_while_it_lasts, setup, teardown),
      cmocka_unit_test_setup_teardown(test_cancel_is_seen_and_ends_a_sleep, setup, teardown),
      cmocka_unit_test_setup_teardown(test_random_fills_every_byte, setup, teardown),
      cmocka_unit_test_setup_teardown(test_log_names_the_connection_and_masks, setup, teardown),
      cmocka_unit_test_setup_teardown(test_host_survives_failing_allocations, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
