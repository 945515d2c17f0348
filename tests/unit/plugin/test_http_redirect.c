// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where requests end up: redirects and what goes along with them, and whose certificates are believed.
#include "http_scene.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dray/sdk/error.h"

static struct http_server server, other;
static struct dr_http *http;

static int setup(void **state) {
  (void)state;
  http = http_client();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  dr_http_free(http);
  return 0;
}

static long count(const char *path) {
  return http_seen_number(&server, "/_count", path);
}

static const struct dray_http_header credentials[] = {
    {{"Authorization", 13}, {"Bearer abc", 10}}, {{"Cookie", 6}, {"session=abc", 11}}, {{"X-Api-Key", 9}, {"abc", 3}},
    {{"X-Unsuspicious", 14}, {"abc", 3}},        {{"Accept", 6}, {"text/csv", 8}},
};

static struct http_reply get_with_credentials(const char *path) {
  struct http_reply reply;
  struct dray_http_request request = http_request(&server, "GET", path);
  request.headers = credentials;
  request.header_count = sizeof credentials / sizeof credentials[0];
  http_exchange(http, &request, &reply);
  return reply;
}

// ---- redirects ----

static void test_five_redirects_are_followed_and_no_more(void **state) {
  (void)state;
  struct http_reply reply = http_get(http, &server, "/count-down?n=5");
  assert_code(reply, DRAY_OK);
  assert_string_equal(reply.body, "arrived");
  reply = http_get(http, &server, "/count-down?n=6");
  assert_code(reply, DRAY_E_HTTP_REDIRECT);
  assert_int_equal(count("/count-down"), 6 + 6);
}

static void test_loop_ends(void **state) {
  (void)state;
  const struct http_reply reply = http_get(http, &server, "/loop");
  assert_code(reply, DRAY_E_HTTP_REDIRECT);
  assert_has(reply.error.text, "/loop");
  assert_int_equal(count("/loop"), 6);
}

static void test_every_redirect_status_is_followed_for_get_and_head(void **state) {
  (void)state;
  static const int statuses[] = {301, 302, 303, 307, 308};
  for (size_t i = 0; i < 5; i++) {
    char path[128];
    snprintf(path, sizeof path, "/redirect/status?to=/echo/status-%d&status=%d", statuses[i], statuses[i]);
    assert_code(http_get(http, &server, path), DRAY_OK);
    assert_code(http_send(http, &server, "HEAD", path, NULL, 0), DRAY_OK);
    snprintf(path, sizeof path, "/echo/status-%d", statuses[i]);
    assert_int_equal(count(path), 2);
  }
}

static void test_credentials_stay_with_their_host(void **state) {
  (void)state;
  char path[256];
  struct http_reply reply = get_with_credentials("/redirect?to=/echo/same");
  assert_code(reply, DRAY_OK);
  assert_has(reply.body, "Authorization: Bearer abc\n");
  assert_has(reply.body, "X-Api-Key: abc\n");
  for (int i = 0; i < 2; i++) { // another name; another port
    if (i == 0) snprintf(path, sizeof path, "/redirect?to=http://localhost:%d/echo/name", server.port);
    if (i == 1) snprintf(path, sizeof path, "/redirect?to=http://127.0.0.1:%d/echo/port", other.port);
    reply = get_with_credentials(path);
    assert_code(reply, DRAY_OK);
    assert_has(reply.body, "Accept: text/csv\n");
    assert_has(reply.body, "Accept-Encoding: gzip\n");
    assert_has_not(reply.body, "abc");
  }
}

static void test_credentials_do_not_come_back_by_a_detour(void **state) {
  (void)state;
  char path[512];
  snprintf(path, sizeof path, "/redirect?to=http://localhost:%d/redirect%%3Fto=http://127.0.0.1:%d/echo/detour",
           server.port, server.port);
  const struct http_reply reply = get_with_credentials(path);
  assert_code(reply, DRAY_OK);
  assert_has_not(reply.body, "abc");
  assert_string_equal(http_seen_text(&server, "/_header&name=authorization", "/echo/detour"), "-");
}

static void test_other_methods_are_not_redirected(void **state) {
  (void)state;
  struct http_reply reply = http_send(http, &server, "POST", "/redirect/post?to=/echo/posted", "x", 0);
  assert_code(reply, DRAY_E_HTTP_REDIRECT);
  assert_int_equal(reply.error.http_status, 302);
  assert_string_equal(reply.error.vendor_code, "");
  reply = http_send(http, &server, "POST", "/redirect/post?to=/echo/posted&status=303", "x", 0);
  assert_code(reply, DRAY_E_HTTP_REDIRECT);
  assert_string_equal(reply.error.vendor_code, "in_doubt"); // 303 says that it was done
  reply = http_send(http, &server, "POST", "/redirect/post?to=/echo/posted", "x", DRAY_HTTP_ANY_STATUS);
  assert_code(reply, DRAY_OK);
  assert_int_equal(reply.status, 302);
  assert_int_equal(count("/echo/posted"), 0);
}

static void test_redirects_out_of_bounds_are_refused(void **state) {
  (void)state;
  static const char *const paths[] = {"/redirect/bad?to=http://example.com/", "/redirect/bad?to=ftp://127.0.0.1/",
                                      "/redirect/bad", "/redirect/bad?to=http://u:p@127.0.0.1/"};
  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
    const struct http_reply reply = http_get(http, &server, paths[i]);
    assert_code(reply, DRAY_E_HTTP_REDIRECT);
    assert_int_equal(reply.error.http_status, 302);
  }
}

// ---- certificates ----

struct tls_scene {
  char folder[64];
  char certificate[96], key[96];
  char address[INET_ADDRSTRLEN]; // of this machine, not loopback; empty: it has none
};

static void find_address(char out[INET_ADDRSTRLEN]) {
  struct ifaddrs *all = NULL;
  out[0] = '\0';
  assert_int_equal(getifaddrs(&all), 0);
  for (struct ifaddrs *one = all; one != NULL && out[0] == '\0'; one = one->ifa_next) {
    if (one->ifa_addr == NULL || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_LOOPBACK) != 0) continue;
    struct sockaddr_in four;
    memcpy(&four, one->ifa_addr, sizeof four);
    inet_ntop(AF_INET, &four.sin_addr, out, INET_ADDRSTRLEN);
  }
  freeifaddrs(all);
}

static void run_quietly(char *const *argv) {
  int status = 0;
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(126);
    execvp(argv[0], argv);
    _exit(127);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

// A certificate that only its maker believes, for `names` ("IP:10.0.0.1").
static void make_certificate(struct tls_scene *scene, const char *names) {
  char alternative[128];
  snprintf(scene->folder, sizeof scene->folder, "/tmp/dray-tls-XXXXXX");
  assert_non_null(mkdtemp(scene->folder));
  snprintf(scene->certificate, sizeof scene->certificate, "%s/cert.pem", scene->folder);
  snprintf(scene->key, sizeof scene->key, "%s/key.pem", scene->folder);
  snprintf(alternative, sizeof alternative, "subjectAltName=%s", names);
  char *argv[] = {(char[]){"openssl"},
                  (char[]){"req"},
                  (char[]){"-x509"},
                  (char[]){"-newkey"},
                  (char[]){"ec"},
                  (char[]){"-pkeyopt"},
                  (char[]){"ec_paramgen_curve:P-256"},
                  (char[]){"-nodes"},
                  (char[]){"-days"},
                  (char[]){"2"},
                  (char[]){"-subj"},
                  (char[]){"/CN=test"},
                  (char[]){"-addext"},
                  alternative,
                  (char[]){"-keyout"},
                  scene->key,
                  (char[]){"-out"},
                  scene->certificate,
                  NULL};
  run_quietly(argv);
}

static void remove_certificate(struct tls_scene *scene) {
  unlink(scene->certificate);
  unlink(scene->key);
  rmdir(scene->folder);
}

static struct http_reply get_url(const char *scheme, const char *host, int port) {
  char url[128];
  struct http_reply reply;
  struct dr_http *fresh = http_client(); // no kept connection, no session
  snprintf(url, sizeof url, "%s://%s:%d/echo/tls", scheme, host, port);
  const struct dray_http_request request = {
      .struct_size = sizeof request, .method = dray_str_of("GET"), .url = dray_str_of(url)};
  http_exchange(fresh, &request, &reply);
  dr_http_free(fresh);
  return reply;
}

static void test_own_certificate_is_believed_on_loopback_only(void **state) {
  (void)state;
  struct tls_scene scene;
  struct http_server tls;
  find_address(scene.address);
  char names[64];
  snprintf(names, sizeof names, "IP:%s", scene.address[0] != '\0' ? scene.address : "10.0.0.1");
  make_certificate(&scene, names);
  const char *const args[] = {"--bind", "0.0.0.0", "--tls", scene.certificate, scene.key, NULL};
  http_server_start(&tls, args);
  assert_code(get_url("https", "127.0.0.1", tls.port), DRAY_OK);
  assert_code(get_url("https", "localhost", tls.port), DRAY_OK);
  if (scene.address[0] == '\0') {
    print_message("skipped: this machine has no address but loopback\n");
  } else {
    struct http_reply reply = get_url("https", scene.address, tls.port);
    assert_code(reply, DRAY_E_NET_TLS);
    assert_has(reply.error.text, scene.address);
    assert_code(get_url("http", scene.address, tls.port), DRAY_E_HTTP_HOST); // and never without TLS
    static const char *const variables[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE"};
    for (size_t i = 0; i < 2; i++) {
      setenv(variables[i], scene.certificate, 1);
      assert_code(get_url("https", scene.address, tls.port), DRAY_OK);
      setenv(variables[i], "/nonexistent/ca.pem", 1);
      assert_code(get_url("https", scene.address, tls.port), DRAY_E_NET_TLS);
      unsetenv(variables[i]);
    }
  }
  http_server_stop(&tls);
  remove_certificate(&scene);
}

static void test_trusted_certificate_of_another_name_is_refused(void **state) {
  (void)state;
  struct tls_scene scene;
  struct http_server tls;
  find_address(scene.address);
  if (scene.address[0] == '\0') {
    print_message("skipped: this machine has no address but loopback\n");
    return;
  }
  make_certificate(&scene, "DNS:api.example.com");
  const char *const args[] = {"--bind", "0.0.0.0", "--tls", scene.certificate, scene.key, NULL};
  http_server_start(&tls, args);
  setenv("SSL_CERT_FILE", scene.certificate, 1);
  const struct http_reply reply = get_url("https", scene.address, tls.port);
  assert_code(reply, DRAY_E_NET_TLS);
  assert_has(reply.error.text, "subject name"); // the name is what is wrong, not the issuer
  unsetenv("SSL_CERT_FILE");
  http_server_stop(&tls);
  remove_certificate(&scene);
}

static void test_proxy_of_the_environment_is_not_shown_what_is_for_this_machine(void **state) {
  (void)state;
  char proxy[64];
  snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", other.port);
  setenv("http_proxy", proxy, 1);
  setenv("all_proxy", proxy, 1);
  const struct http_reply reply = http_get(http, &server, "/echo/direct");
  unsetenv("http_proxy");
  unsetenv("all_proxy");
  assert_code(reply, DRAY_OK);
  assert_int_equal(count("/echo/direct"), 1);
}

static int group_setup(void **state) {
  (void)state;
  static const char *const variables[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"};
  for (size_t i = 0; i < 3; i++) unsetenv(variables[i]); // what the machine trusts besides is not the matter
  http_server_start(&server, NULL);
  http_server_start(&other, NULL);
  return 0;
}

static int group_teardown(void **state) {
  (void)state;
  http_server_stop(&server);
  http_server_stop(&other);
  return 0;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_five_redirects_are_followed_and_no_more),
      TEST(test_loop_ends),
      TEST(test_every_redirect_status_is_followed_for_get_and_head),
      TEST(test_credentials_stay_with_their_host),
      TEST(test_credentials_do_not_come_back_by_a_detour),
      TEST(test_other_methods_are_not_redirected),
      TEST(test_redirects_out_of_bounds_are_refused),
      TEST(test_own_certificate_is_believed_on_loopback_only),
      TEST(test_trusted_certificate_of_another_name_is_refused),
      TEST(test_proxy_of_the_environment_is_not_shown_what_is_for_this_machine),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
