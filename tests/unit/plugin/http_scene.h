// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the HTTP tests share: the server of http_server.py as a process, requests to it, and what it says that it
// received.
#ifndef DRAY_TEST_HTTP_SCENE_H
#define DRAY_TEST_HTTP_SCENE_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <sys/types.h>

#include "plugin/http.h"
#include "plugin/http_parts.h"

struct http_server {
  pid_t pid;
  int stop_fd; // closing it ends the server
  int port;
  int tls;
};
// `args` are the server's own, NULL-terminated; NULL: none.
void http_server_start(struct http_server *server, const char *const *args);
// HTTP/2 over TLS before that server (tests/http2_front.py).
void http_front_start(struct http_server *front, const struct http_server *behind);
void http_server_stop(struct http_server *server); // fails the test when clients have broken rules of HTTP/2

// The answer of one exchange, all of it.
struct http_reply {
  int32_t code; // of open or, after that, of a read
  int32_t status;
  struct dray_error error;
  char content_type[64];
  char body[4096]; // the start of it, with a NUL
  uint64_t body_bytes;
};
// A request to http(s)://127.0.0.1:PORT followed by `path`; the URL lives until the call after next.
struct dray_http_request http_request(const struct http_server *server, const char *method, const char *path);
void http_exchange(struct dr_http *http, const struct dray_http_request *request, struct http_reply *reply);
struct http_reply http_get(struct dr_http *http, const struct http_server *server, const char *path);
struct http_reply http_send(struct dr_http *http, const struct http_server *server, const char *method,
                            const char *path, const char *body, uint32_t flags);
// A client with waits short enough for tests.
struct dr_http *http_client(void);

// Asks the server for a number or text about `path` (no query): "/_count", "/_most", "/_header&name=x" ...
long http_seen_number(const struct http_server *server, const char *report, const char *path);
const char *http_seen_text(const struct http_server *server, const char *report, const char *path);

#define assert_code(reply, wanted) http_assert_code((reply), (wanted), __FILE__, __LINE__)
void http_assert_code(struct http_reply reply, int32_t wanted, const char *file, int line);
#define assert_has(text, part) http_assert_has((text), (part), 1, __FILE__, __LINE__)
#define assert_has_not(text, part) http_assert_has((text), (part), 0, __FILE__, __LINE__)
void http_assert_has(const char *text, const char *part, int wanted, const char *file, int line);

#endif // DRAY_TEST_HTTP_SCENE_H
