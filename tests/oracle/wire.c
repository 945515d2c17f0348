// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void wire_free(struct wire *wire) {
  if (wire->fd >= 0) (void)close(wire->fd);
  free(wire->in);
  free(wire->out);
  memset(wire, 0, sizeof *wire);
  wire->fd = -1;
}

void wire_begin(struct wire *wire) {
  wire->out_bytes = 0;
}

void wire_put(struct wire *wire, const void *bytes, size_t count) {
  if (wire->out_bytes + count > wire->out_capacity) {
    wire->out_capacity = (wire->out_bytes + count) * 2;
    wire->out = realloc(wire->out, wire->out_capacity);
    if (wire->out == NULL) abort();
  }
  if (count > 0) memcpy(wire->out + wire->out_bytes, bytes, count);
  wire->out_bytes += count;
}

void wire_put_u64(struct wire *wire, uint64_t value) {
  wire_put(wire, &value, sizeof value);
}

void wire_put_text(struct wire *wire, const char *text) {
  const uint64_t bytes = text != NULL ? strlen(text) + 1 : 0;
  wire_put_u64(wire, bytes);
  wire_put(wire, text, (size_t)bytes);
}

static int send_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    const ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return 0;
    bytes += sent;
    count -= (size_t)sent;
  }
  return 1;
}

static int receive_all(int fd, char *bytes, size_t count) {
  while (count > 0) {
    const ssize_t got = recv(fd, bytes, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    bytes += got;
    count -= (size_t)got;
  }
  return 1;
}

int wire_send(struct wire *wire, uint32_t kind, uint64_t a, uint64_t b) {
  struct message message = {.kind = kind, .a = a, .b = b, .bytes = wire->out_bytes};
  return send_all(wire->fd, (const char *)&message, sizeof message) && send_all(wire->fd, wire->out, wire->out_bytes);
}

int wire_receive(struct wire *wire, struct message *out) {
  if (!receive_all(wire->fd, (char *)out, sizeof *out)) return 0;
  if (out->bytes > wire->in_capacity) {
    free(wire->in);
    wire->in_capacity = (size_t)out->bytes * 2;
    wire->in = malloc(wire->in_capacity);
    if (wire->in == NULL) abort();
  }
  out->body = wire->in;
  return receive_all(wire->fd, wire->in, (size_t)out->bytes);
}

uint64_t wire_get_u64(const struct message *message, size_t *at) {
  uint64_t value;
  if (*at + sizeof value > message->bytes) abort();
  memcpy(&value, message->body + *at, sizeof value);
  *at += sizeof value;
  return value;
}

const char *wire_get_text(const struct message *message, size_t *at) {
  const uint64_t bytes = wire_get_u64(message, at);
  if (*at + bytes > message->bytes) abort();
  const char *text = message->body + *at;
  *at += (size_t)bytes;
  return bytes > 0 ? text : NULL;
}
