// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "http_scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dray/sdk/error.h"

#define ARGS_MAX 8

static void run_server(const char *name, int stdin_fd, int stdout_fd, const char *const *args) {
  const char *here = __FILE__;
  char script[1024];
  char *argv[ARGS_MAX + 3] = {(char[]){"/usr/bin/python3"}, script};
  snprintf(script, sizeof script, "%.*s/%s", (int)(strrchr(here, '/') - here), here, name);
  for (size_t i = 0; args != NULL && args[i] != NULL && i < ARGS_MAX; i++) argv[i + 2] = strdup(args[i]);
  dup2(stdin_fd, STDIN_FILENO);
  dup2(stdout_fd, STDOUT_FILENO);
  execv(argv[0], argv);
  _exit(127);
}

static void start(struct http_server *server, const char *script, const char *const *args) {
  int to[2], from[2];
  assert_int_equal(pipe2(to, O_CLOEXEC), 0);
  assert_int_equal(pipe2(from, O_CLOEXEC), 0);
  server->pid = fork();
  assert_true(server->pid >= 0);
  if (server->pid == 0) run_server(script, to[0], from[1], args);
  close(to[0]);
  close(from[1]);
  server->stop_fd = to[1];
  FILE *answer = fdopen(from[0], "r");
  char line[32] = "";
  assert_non_null(fgets(line, sizeof line, answer));
  fclose(answer);
  server->port = (int)strtol(line, NULL, 10);
  assert_true(server->port > 0);
}

void http_server_start(struct http_server *server, const char *const *args) {
  start(server, "http_server.py", args);
  server->tls = 0;
}

void http_front_start(struct http_server *front, const struct http_server *behind) {
  char port[16];
  snprintf(port, sizeof port, "%d", behind->port);
  start(front, "../../http2_front.py", (const char *const[]){port, NULL});
  front->tls = 1;
}

void http_server_stop(struct http_server *server) {
  int status = 0;
  close(server->stop_fd);
  assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
  assert_int_equal(status, 0);
}

struct dray_http_request http_request(const struct http_server *server, const char *method, const char *path) {
  static _Thread_local char urls[2][2048];
  static _Thread_local int turn;
  turn = !turn;
  snprintf(urls[turn], sizeof urls[turn], "%s://127.0.0.1:%d%s", server->tls ? "https" : "http", server->port, path);
  return (struct dray_http_request){
      .struct_size = sizeof(struct dray_http_request), .method = dray_str_of(method), .url = dray_str_of(urls[turn])};
}

void http_exchange(struct dr_http *http, const struct dray_http_request *request, struct http_reply *reply) {
  const struct dray_http_service *service = dr_http_service(http);
  struct dray_http_response *response = NULL;
  char piece[16384];
  uint64_t bytes = 1;
  memset(reply, 0, sizeof *reply);
  dray_error_init(&reply->error);
  reply->code = service->open(service->ctx, request, &response, &reply->error);
  if (reply->code != DRAY_OK) {
    assert_null(response);
    return;
  }
  reply->status = service->status(response);
  const struct dray_str type = service->header(response, dray_str_of("content-type"));
  snprintf(reply->content_type, sizeof reply->content_type, "%.*s", DRAY_STR_ARG(type));
  while (bytes > 0) {
    reply->code = service->read(response, piece, sizeof piece, &bytes, &reply->error);
    if (reply->code != DRAY_OK) break;
    for (uint64_t i = 0; i < bytes && reply->body_bytes + i < sizeof reply->body - 1; i++) {
      reply->body[reply->body_bytes + i] = piece[i];
    }
    reply->body_bytes += bytes;
  }
  service->close(response);
}

struct http_reply http_get(struct dr_http *http, const struct http_server *server, const char *path) {
  struct http_reply reply;
  const struct dray_http_request request = http_request(server, "GET", path);
  http_exchange(http, &request, &reply);
  return reply;
}

struct http_reply http_send(struct dr_http *http, const struct http_server *server, const char *method,
                            const char *path, const char *body, uint32_t flags) {
  struct http_reply reply;
  struct dray_http_request request = http_request(server, method, path);
  request.body = dray_str_of(body);
  request.flags = flags;
  http_exchange(http, &request, &reply);
  return reply;
}

struct dr_http *http_client(void) {
  struct dr_http *http = dr_http_new("test:http", NULL);
  assert_non_null(http);
  dr_http_tuning(http)->backoff_base_ms = 20;
  return http;
}

const char *http_seen_text(const struct http_server *server, const char *report, const char *path) {
  static _Thread_local struct http_reply reply;
  char query[512];
  struct dr_http *http = http_client();
  const char *more = strchr(report, '&');
  const int report_len = more != NULL ? (int)(more - report) : (int)strlen(report);
  snprintf(query, sizeof query, "%.*s?path=%s%s", report_len, report, path, more != NULL ? more : "");
  struct dray_http_request request = http_request(server, "GET", query);
  request.rate_key = dray_str_of("reports"); // not held up by what the test does to the host
  http_exchange(http, &request, &reply);
  dr_http_free(http);
  http_assert_code(reply, DRAY_OK, __FILE__, __LINE__);
  return reply.body;
}

long http_seen_number(const struct http_server *server, const char *report, const char *path) {
  return strtol(http_seen_text(server, report, path), NULL, 10);
}

void http_assert_code(struct http_reply reply, int32_t wanted, const char *file, int line) {
  if (reply.code == wanted) return;
  print_error("code %d instead of %d: %s\n", reply.code, wanted, reply.error.text);
  _fail(file, line);
}

void http_assert_has(const char *text, const char *part, int wanted, const char *file, int line) {
  if ((strstr(text, part) != NULL) == wanted) return;
  print_error("\"%s\" %s \"%s\"\n", text, wanted ? "lacks" : "has", part);
  _fail(file, line);
}
