// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the host offers a plugin: services, each a small vtable found by id. Data in, data out: no
// service ever calls back into the plugin, so that a plugin can one day run in another process.
//
// All services may be used from any thread that the host runs the instance on. Every service that
// can block honours cancellation and then returns DRAY_E_CANCELLED. Pointers to services live as
// long as the instance they were given to.
#ifndef DRAY_HOST_H
#define DRAY_HOST_H

#include "dray/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  DRAY_SERVICE_LOG = 1,
  DRAY_SERVICE_CANCEL = 2,
  DRAY_SERVICE_CLOCK = 3,
  DRAY_SERVICE_HTTP = 4,
  DRAY_SERVICE_SECRETS = 5,
  DRAY_SERVICE_STATE = 6,
  DRAY_SERVICE_METRICS = 7,
  DRAY_SERVICE_RANDOM = 8,
  DRAY_SERVICE_PACE = 9,         // since 1.2
  DRAY_SERVICE_SHARED_STATE = 10 // since 1.2
};

// The host as one plugin instance sees it. Borrowed: valid until the instance is destroyed.
struct dray_host {
  uint32_t struct_size;
  uint32_t abi_minor; // the host's; a plugin may use slots up to this minor
  void *ctx;          // opaque, handed back to `service`

  // Finds a service: a pointer to `struct dray_<service>_service`, or NULL for an id this host does not
  // have. The services listed above are always there with abi_minor >= 0. Never blocks.
  const void *(*service)(void *ctx, uint32_t id);
};

enum { DRAY_LOG_ERROR = 1, DRAY_LOG_WARN = 2, DRAY_LOG_INFO = 3, DRAY_LOG_DEBUG = 4 };

struct dray_log_service {
  uint32_t struct_size;
  uint32_t level; // messages above this level are dropped; do not build them
  void *ctx;
  // Writes one line; `message` is copied, secrets in it are masked, control characters are escaped.
  void (*write)(void *ctx, uint32_t level, struct dray_str message);
};

struct dray_cancel_service {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  // 1 when the run was asked to end: finish or give up within a second, return DRAY_E_CANCELLED. Cheap.
  uint32_t (*cancelled)(void *ctx);
};

struct dray_clock_service {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  int64_t (*now_us)(void *ctx);       // UTC, microseconds since 1970-01-01
  int64_t (*monotonic_ms)(void *ctx); // never goes back
  // Sleeps; `why` is shown as the run's wait reason. Returns early with DRAY_E_CANCELLED.
  DRAY_NODISCARD int32_t (*sleep_ms)(void *ctx, int64_t duration_ms, struct dray_str why, struct dray_error *error);
};

struct dray_http_header {
  struct dray_str name;
  struct dray_str value;
};

enum {
  DRAY_HTTP_IDEMPOTENT = 1u, // the request may be repeated even when its body may have been received
  DRAY_HTTP_GZIP_BODY = 2u,  // compress the request body
  DRAY_HTTP_NO_RETRY = 4u,   // report the first outcome
  DRAY_HTTP_ANY_STATUS = 8u, // hand every status to the plugin instead of turning 4xx and 5xx into errors
  // Since 1.2. Once it may have been received, a cancel does not end the wait for the answer and its body; the time-out
  // does, or 30 s after the cancel. For what spends something that only the answer replaces: a token that is good once.
  DRAY_HTTP_AWAITED = 16u
};

// Describes a request. Everything is borrowed during the call of `open` only.
struct dray_http_request {
  uint32_t struct_size;
  uint32_t flags;         // DRAY_HTTP_*; unknown bits are refused
  struct dray_str method; // GET, HEAD, POST, PUT, PATCH, DELETE
  struct dray_str url;    // https, or http to loopback only
  const struct dray_http_header *headers;
  uint64_t header_count;
  struct dray_str body;     // bytes; len 0 for none
  struct dray_str rate_key; // requests with one key share a token bucket and concurrency, since 1.2 in all processes of
                            // the project (an account's name, say); empty: the host name, in this process
  double rate_per_second;   // token bucket refill; 0: no limit known
  uint32_t rate_burst;      // bucket size; 0: 1
  uint32_t concurrency_max; // requests in flight for rate_key; 0: 4
  int64_t timeout_ms;       // whole request without retries; 0: 60,000
  uint64_t response_bytes_max; // after decompression; 0: 64 MiB; UINT64_MAX: no bound, for streamed downloads
  int32_t attempts_max;        // 0: 5
  uint32_t reserved;
};

struct dray_http_response; // opaque: one answer, its headers here, its body still to be pulled
struct dray_http_pending;  // opaque, since 1.2: one request under way

// The host's HTTP client: pooled connections, HTTP/2, gzip, proxies from the environment, TLS always
// verified except to loopback. Before an answer reaches the plugin the host has already repeated what
// may be repeated: connection errors before the body was sent, requests that the other side says it has not begun
// (HTTP/2: GOAWAY, REFUSED_STREAM), 429 and 503 with Retry-After (seconds or date), other 5xx and 408 for idempotent
// requests, with jittered exponential backoff. GET, HEAD, PUT and DELETE are idempotent by RFC 9110 §9.2.2; other
// methods when flagged. Redirects are followed for GET and HEAD only, to https only, without Authorization, Cookie or
// any header marked secret when the host changes.
struct dray_http_service {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;

  // Sends the request and waits for the answer's status and headers.
  // @owner  *out belongs to the caller, who must `close` it.
  // @errors NET_*, HTTP_*, THROTTLED, AUTH_REJECTED (401), AUTH_FORBIDDEN (403), CANCELLED, LIMIT. When the request
  // may have been
  //         received although no answer came, the code is NET_CLOSED or NET_TIMEOUT and vendor_code is "in_doubt".
  // @thread blocks up to timeout_ms times attempts, plus the waits; cancellable.
  DRAY_NODISCARD int32_t (*open)(void *ctx, const struct dray_http_request *request, struct dray_http_response **out,
                                 struct dray_error *error);

  // The status code. Never blocks.
  int32_t (*status)(const struct dray_http_response *response);

  // The value of the first header of that name (case-insensitive), valid until `close`; len 0 if absent.
  struct dray_str (*header)(const struct dray_http_response *response, struct dray_str name);

  // Pulls at most `capacity` bytes of the decompressed body; *out_bytes = 0 means its end.
  // @errors NET_CLOSED when the body is shorter than announced, NET_TIMEOUT, LIMIT past response_bytes_max, CANCELLED.
  DRAY_NODISCARD int32_t (*read)(struct dray_http_response *response, void *buffer, uint64_t capacity,
                                 uint64_t *out_bytes, struct dray_error *error);

  // Frees the answer; the connection is kept when the body was read to its end. NULL is allowed.
  void (*close)(struct dray_http_response *response);

  // Since 1.2. Begins a request and returns at once, so that one instance can have several under way: the request is
  // copied and sent when its rate key has room, at the latest by `finish`. Answers move on while the instance is in any
  // call of this service. @owner *out is ended by `finish` or `drop`. @errors CONFIG_*, HTTP_HOST, LIMIT,
  // OUT_OF_MEMORY.
  DRAY_NODISCARD int32_t (*start)(void *ctx, const struct dray_http_request *request, struct dray_http_pending **out,
                                  struct dray_error *error);
  // Waits for the answer as `open` does, repeats included, and frees `pending`, also when it fails.
  DRAY_NODISCARD int32_t (*finish)(struct dray_http_pending *pending, struct dray_http_response **out,
                                   struct dray_error *error);
  // Gives the request up; whether it arrived is not known. NULL is allowed.
  void (*drop)(struct dray_http_pending *pending);
};

struct dray_secrets_service {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  // Copies the secret behind a setting into the caller's buffer. `setting` is the setting's path in the
  // config, e.g. "api_key" or "auth.client_secret". *out_bytes is the secret's length (no NUL is added).
  // Settings marked secret reach the plugin's JSON only as {"$secret": "<path>"}.
  // @errors CONFIG_MISSING when the setting is not given, CONFIG_SECRET_MISSING, LIMIT when capacity is too small.
  DRAY_NODISCARD int32_t (*get)(void *ctx, struct dray_str setting, char *buffer, uint64_t capacity,
                                uint64_t *out_bytes, struct dray_error *error);
  // Since 1.2. A secret that did not come from a setting, but from the other side: a token. From now on it is masked in
  // all that leaves the process as text. Copied. Less than four bytes: nothing happens. Never blocks.
  void (*mask)(void *ctx, struct dray_str secret);
};

#define DRAY_STATE_KEY_BYTES_MAX 256
#define DRAY_STATE_VALUE_BYTES_MAX 65536

// Small, durable, private to one connection. Not for checkpoints: those are the stream's `state`. The service
// SHARED_STATE is of this struct too, and its keys and locks are those of all connections of the project: for what
// belongs to an account at the other side, under keys that nobody else makes by chance.
struct dray_state_service {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  // Copies the value; *out_bytes = 0 and DRAY_OK when the key is not there. @errors LIMIT, IO.
  DRAY_NODISCARD int32_t (*get)(void *ctx, struct dray_str key, char *buffer, uint64_t capacity, uint64_t *out_bytes,
                                struct dray_error *error);
  // Durable when it returns. A value of len 0 removes the key. @errors LIMIT, IO, DISK_FULL.
  DRAY_NODISCARD int32_t (*put)(void *ctx, struct dray_str key, struct dray_str value, struct dray_error *error);
  // Since 1.2. One holder at a time among all instances and processes that share the keys; not recursive. What the
  // holder puts is seen by the next. Ends with `unlock`, with the instance, or with the process. timeout_ms: how long
  // to wait, a day at most. @errors BUSY after that long, CANCELLED, LIMIT, IO.
  DRAY_NODISCARD int32_t (*lock)(void *ctx, struct dray_str key, int64_t timeout_ms, struct dray_error *error);
  void (*unlock)(void *ctx, struct dray_str key); // nothing happens when it is not held
};

struct dray_metrics_service {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  // Adds to a counter of the run, shown by `dray status --json`. Names: [a-z0-9_], at most 64 per run.
  void (*count)(void *ctx, struct dray_str name, int64_t add);
};

#define DRAY_PACE_KEY_BYTES_MAX 256

// Since 1.2. A budget that the other side keeps for an account, in points of its own: so many at most, so many more
// each second. All instances and processes of the project that name one key share one budget; a new one is full.
struct dray_pace_terms {
  uint32_t struct_size;
  uint32_t reserved;
  struct dray_str key; // 1 to DRAY_PACE_KEY_BYTES_MAX bytes: "shopify:acme.myshopify.com"
  double capacity;     // > 0
  double per_second;   // > 0
};
struct dray_pace_service {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  // Takes `amount` (more than the capacity counts as the capacity), waiting until it is there, first come, first
  // served. @errors CANCELLED, LIMIT, IO, PLUGIN_CONTRACT. @thread blocks.
  DRAY_NODISCARD int32_t (*take)(void *ctx, const struct dray_pace_terms *terms, double amount,
                                 struct dray_error *error);
  // What an answer of the other side says is left for everybody. `settled`: what was taken for the requests that this
  // answer and others before it are about, so that what is still under way can be told from what is spent. What nobody
  // settles is forgotten within two minutes. @errors as take.
  DRAY_NODISCARD int32_t (*tell)(void *ctx, const struct dray_pace_terms *terms, double available, double settled,
                                 struct dray_error *error);
  // Nobody takes anything of the key for that long (a day at most): the other side asked for it. @errors as take.
  DRAY_NODISCARD int32_t (*hold)(void *ctx, struct dray_str key, int64_t duration_ms, struct dray_error *error);
};

struct dray_random_service {
  uint32_t struct_size;
  uint32_t reserved;
  void *ctx;
  // Fills the buffer from the system's cryptographic source.
  void (*fill)(void *ctx, void *buffer, uint64_t buffer_bytes);
};

#ifdef __cplusplus
}
#endif

#endif // DRAY_HOST_H
