// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Addresses: what may be asked, what counts as the same place, and what people may see of an address. Parsed by
// libcurl, so that what is checked is what is asked.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dray/sdk/error.h"
#include "plugin/http_parts.h"

#define HOST_BYTES_MAX sizeof((struct dr_http_url *)0)->host
#define PORT_BYTES_MAX sizeof((struct dr_http_url *)0)->port

static int is_loopback(const char *host) {
  if (strcmp(host, "localhost") == 0) return 1; // libcurl itself answers it with loopback addresses, without DNS
  struct in_addr four;
  if (inet_pton(AF_INET, host, &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  struct in6_addr six;
  const size_t len = strlen(host);
  char bare[64];
  if (len < 4 || len > sizeof bare || host[0] != '[' || host[len - 1] != ']') return 0;
  memcpy(bare, host + 1, len - 2);
  bare[len - 2] = '\0';
  return inet_pton(AF_INET6, bare, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static size_t put(char *out, size_t at, size_t capacity, const char *text, size_t len) {
  if (at >= capacity - 1) return at;
  if (len > capacity - 1 - at) len = capacity - 1 - at;
  memcpy(out + at, text, len);
  out[at + len] = '\0';
  return at + len;
}

// "a=1&b=2&c" becomes "a=...&b=...&...": a piece without a name may be a token.
static size_t put_query(char *out, size_t at, size_t capacity, const char *query) {
  const char *piece = query;
  for (;;) {
    const size_t len = strcspn(piece, "&");
    const char *equals = memchr(piece, '=', len);
    if (equals != NULL) at = put(out, at, capacity, piece, (size_t)(equals - piece) + 1);
    if (len > 0) at = put(out, at, capacity, "...", 3);
    if (piece[len] == '\0') return at;
    at = put(out, at, capacity, "&", 1);
    piece += len + 1;
  }
}

static void make_safe(struct dr_http_url *url, int default_port, const char *path, const char *query) {
  size_t at = 0;
  const size_t capacity = sizeof url->safe;
  at = put(url->safe, at, capacity, url->https ? "https://" : "http://", url->https ? 8 : 7);
  at = put(url->safe, at, capacity, url->host, strlen(url->host));
  if (!default_port) {
    at = put(url->safe, at, capacity, ":", 1);
    at = put(url->safe, at, capacity, url->port, strlen(url->port));
  }
  at = put(url->safe, at, capacity, path, strlen(path));
  if (query == NULL) return;
  at = put(url->safe, at, capacity, "?", 1);
  put_query(url->safe, at, capacity, query);
}

struct parts {
  char *scheme, *host, *port, *path, *query, *user, *password, *explicit_port;
};

static void free_parts(struct parts *parts) {
  char *const all[] = {parts->scheme, parts->host, parts->port,     parts->path,
                       parts->query,  parts->user, parts->password, parts->explicit_port};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) curl_free(all[i]);
}

// NULL, or what is wrong with the pieces.
static const char *check_parts(const struct parts *parts) {
  if (parts->scheme == NULL || parts->host == NULL || parts->path == NULL) return "it is not a whole URL";
  if (strcmp(parts->scheme, "https") != 0 && strcmp(parts->scheme, "http") != 0) return "only https is spoken";
  if (parts->user != NULL || parts->password != NULL) {
    return "a user name or password does not belong into a URL; send it as a header";
  }
  if (parts->host[0] == '\0' || strlen(parts->host) >= HOST_BYTES_MAX) return "the host name is empty or too long";
  return parts->port == NULL || strlen(parts->port) >= PORT_BYTES_MAX ? "the port is not a port" : NULL;
}

// Takes url->parts apart. Returns NULL, or what is wrong with it.
static const char *inspect(struct dr_http_url *url) {
  struct parts parts = {0};
  CURLU *handle = url->parts;
  curl_url_get(handle, CURLUPART_SCHEME, &parts.scheme, 0);
  curl_url_get(handle, CURLUPART_HOST, &parts.host, 0);
  curl_url_get(handle, CURLUPART_PATH, &parts.path, 0);
  curl_url_get(handle, CURLUPART_USER, &parts.user, 0);
  curl_url_get(handle, CURLUPART_PASSWORD, &parts.password, 0);
  curl_url_get(handle, CURLUPART_QUERY, &parts.query, 0);
  curl_url_get(handle, CURLUPART_PORT, &parts.port, CURLU_DEFAULT_PORT);
  curl_url_get(handle, CURLUPART_PORT, &parts.explicit_port, CURLU_NO_DEFAULT_PORT);
  const char *wrong = check_parts(&parts);
  if (wrong == NULL) {
    url->https = strcmp(parts.scheme, "https") == 0;
    const size_t len = strlen(parts.host);
    for (size_t i = 0; i <= len; i++) {
      const char c = parts.host[i];
      url->host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    memcpy(url->port, parts.port, strlen(parts.port) + 1);
    url->loopback = is_loopback(url->host);
    make_safe(url, parts.explicit_port == NULL, parts.path, parts.query);
    if (!url->https && !url->loopback) wrong = "plain http is allowed to this machine only";
  }
  free_parts(&parts);
  return wrong;
}

int32_t dr_http_url_parse(struct dray_str text, struct dr_http_url *out, struct dray_error *error) {
  if (text.len > DR_HTTP_URL_BYTES_MAX) {
    return dray_fail(error, DRAY_E_LIMIT, "a URL has %llu bytes; the limit is %d", (unsigned long long)text.len,
                     DR_HTTP_URL_BYTES_MAX);
  }
  if (text.len == 0 || memchr(text.data, '\0', text.len) != NULL) {
    return dray_fail(error, DRAY_E_HTTP_HOST, "a request's URL is empty or holds a NUL");
  }
  struct dr_http_url url = {.parts = curl_url()};
  char *copy = dray_str_dup(text);
  int32_t code = DRAY_OK;
  if (url.parts == NULL || copy == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a URL of %llu bytes", (unsigned long long)text.len);
    goto done;
  }
  // The text itself is never shown: whatever does not parse may hold a credential anywhere.
  const CURLUcode rc = curl_url_set(url.parts, CURLUPART_URL, copy, 0);
  if (rc == CURLUE_OUT_OF_MEMORY) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a URL of %llu bytes", (unsigned long long)text.len);
  } else if (rc != CURLUE_OK) {
    code = dray_fail(error, DRAY_E_HTTP_HOST, "a request's URL is not usable: %s", curl_url_strerror(rc));
  } else {
    const char *wrong = inspect(&url);
    if (wrong != NULL) code = dray_fail(error, DRAY_E_HTTP_HOST, "the URL %s is refused: %s", url.safe, wrong);
  }
done:
  free(copy);
  if (code == DRAY_OK) {
    *out = url;
  } else {
    dr_http_url_free(&url);
  }
  return code;
}

int32_t dr_http_url_follow(const struct dr_http_url *from, struct dray_str location, struct dr_http_url *out,
                           struct dray_error *error) {
  if (location.len == 0 || location.len > DR_HTTP_URL_BYTES_MAX) {
    return dray_fail(error, DRAY_E_HTTP_REDIRECT, "%s redirects without saying where", from->safe);
  }
  struct dr_http_url url = {.parts = curl_url_dup(from->parts)};
  char *copy = dray_str_dup(location);
  int32_t code = DRAY_OK;
  if (url.parts == NULL || copy == NULL) {
    code = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory to follow a redirect of %s", from->safe);
    goto done;
  }
  const CURLUcode rc = curl_url_set(url.parts, CURLUPART_URL, copy, CURLU_URLENCODE);
  if (rc != CURLUE_OK) {
    code =
        dray_fail(error, DRAY_E_HTTP_REDIRECT, "%s redirects to what is no URL: %s", from->safe, curl_url_strerror(rc));
    goto done;
  }
  const char *wrong = inspect(&url);
  // Another machine must not make this one talk to itself.
  if (wrong == NULL && url.loopback && !from->loopback) wrong = "it leads from the network to this machine";
  if (wrong != NULL) {
    code = dray_fail(error, DRAY_E_HTTP_REDIRECT, "the redirect of %s to %s is refused: %s", from->safe,
                     url.safe[0] != '\0' ? url.safe : "another scheme", wrong);
  }
done:
  free(copy);
  if (code == DRAY_OK) {
    *out = url;
  } else {
    dr_http_url_free(&url);
  }
  return code;
}

int dr_http_url_same_origin(const struct dr_http_url *a, const struct dr_http_url *b) {
  return a->https == b->https && strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

void dr_http_url_free(struct dr_http_url *url) {
  curl_url_cleanup(url->parts);
  url->parts = NULL;
}
