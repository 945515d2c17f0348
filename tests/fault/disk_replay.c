// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The replayer: walks a log up to the cut, keeps for each file and folder what is durable and what has happened since,
// and chooses for the rest. disk.h says what may be chosen.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

struct image {
  uint8_t *data; // zeros behind `len`, up to the capacity
  uint64_t len, capacity;
};

struct name {
  char text[64];
  int file;
};

struct node {
  struct image durable; // a file
  struct name *names;   // a folder: what is durable
  size_t name_count;
  const struct disk_op **ops; // since the last sync
  size_t op_count, doomed;    // doomed: so many of the first were part of a sync that failed
};

struct replay {
  const struct disk_log *log;
  enum disk_model model;
  uint64_t seed, drawn;
  struct node *nodes;
};

uint64_t disk_mix(uint64_t a, uint64_t b) {
  uint64_t value = (a + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ (b + 1) * UINT64_C(0xD6E8FEB86659FD93);
  value = (value ^ (value >> 32)) * UINT64_C(0xBF58476D1CE4E5B9);
  value = (value ^ (value >> 29)) * UINT64_C(0x94D049BB133111EB);
  return value ^ (value >> 31);
}

static uint64_t draw(struct replay *replay, uint64_t below) {
  return disk_mix(replay->seed, replay->drawn++) % below;
}

static void give_up(const char *what, const char *path) {
  (void)fprintf(stderr, "cannot rebuild a folder: %s (%s): %s\n", what, path, strerror(errno));
  abort();
}

// ---- the bytes of a file ----

static void image_grow(struct image *image, uint64_t len) {
  if (len <= image->capacity) return;
  const uint64_t capacity = len + len / 2 + DISK_SECTOR;
  image->data = realloc(image->data, (size_t)capacity);
  if (image->data == NULL) give_up("no memory", "image");
  memset(image->data + image->capacity, 0, (size_t)(capacity - image->capacity));
  image->capacity = capacity;
}

static void image_apply(struct image *image, const struct disk_op *op) {
  if (op->kind == DISK_WRITE) {
    image_grow(image, op->offset + op->len);
    memcpy(image->data + op->offset, op->data, (size_t)op->len);
    if (op->offset + op->len > image->len) image->len = op->offset + op->len;
    return;
  }
  image_grow(image, op->len);
  if (op->len < image->len) memset(image->data + op->len, 0, (size_t)(image->len - op->len));
  image->len = op->len;
}

static struct image image_copy(const struct image *from) {
  struct image copy = {0};
  image_grow(&copy, from->len + 1);
  if (from->len > 0) memcpy(copy.data, from->data, (size_t)from->len);
  copy.len = from->len;
  return copy;
}

// How the sectors of one file fared; which of their versions each kept.
enum fate { FATE_OLD, FATE_NEW, FATE_PREFIX, FATE_SCATTERED, FATE_HOLES, FATE_SPLIT, FATE_SPLIT_BACK, FATE_COUNT };

struct choice {
  enum fate fate;
  uint64_t prefix, other; // versions
  uint64_t border;        // FATE_SPLIT: the sector where the one ends and the other begins
  uint64_t salt;
};

static uint64_t version_of(const struct choice *choice, uint64_t sector, uint64_t versions) {
  const uint64_t chance = disk_mix(choice->salt, sector);
  switch (choice->fate) {
  case FATE_OLD:
    return 0;
  case FATE_NEW:
    return versions;
  case FATE_PREFIX:
    return choice->prefix;
  case FATE_SCATTERED:
  case FATE_HOLES:
    return chance % (versions + 1);
  case FATE_SPLIT:
    return sector < choice->border ? choice->prefix : choice->other;
  default:
    return sector < choice->border ? choice->other : choice->prefix;
  }
}

static int is_hole(const struct choice *choice, uint64_t sector, const struct image *durable) {
  return choice->fate == FATE_HOLES && sector * DISK_SECTOR >= durable->len &&
         disk_mix(choice->salt + 1, sector) % 3 == 0;
}

// Where the sectors that differ lie: a border elsewhere divides nothing.
static uint64_t choose_border(struct replay *replay, const struct node *node) {
  const struct disk_op *op = node->ops[draw(replay, node->op_count)];
  if (op->kind != DISK_WRITE || op->len == 0) return op->len / DISK_SECTOR;
  return (op->offset + draw(replay, op->len)) / DISK_SECTOR + draw(replay, 2);
}

// The size a file is left with: any it had since, or between two of those.
static uint64_t choose_size(struct replay *replay, const struct choice *choice, const uint64_t *sizes,
                            uint64_t versions) {
  if (choice->fate == FATE_OLD) return sizes[0];
  if (choice->fate == FATE_NEW) return sizes[versions];
  if (draw(replay, 2) == 0) return sizes[versions];
  const uint64_t one = sizes[draw(replay, versions + 1)], other = sizes[draw(replay, versions + 1)];
  if (draw(replay, 2) == 0) return one;
  return one < other ? one + draw(replay, other - one) : other + draw(replay, one - other + 1);
}

// Copies each sector from the history as far as it has come: version `version` is `now`.
static void take_sectors(const struct choice *choice, const struct image *now, uint64_t version, uint64_t versions,
                         const struct image *durable, struct image *out) {
  for (uint64_t at = 0; at < out->len; at += DISK_SECTOR) {
    const uint64_t sector = at / DISK_SECTOR;
    if (version_of(choice, sector, versions) != version) continue;
    uint64_t len = out->len - at < DISK_SECTOR ? out->len - at : DISK_SECTOR;
    memset(out->data + at, 0, (size_t)len);
    if (is_hole(choice, sector, durable) || at >= now->capacity) continue;
    if (len > now->capacity - at) len = now->capacity - at;
    memcpy(out->data + at, now->data + at, (size_t)len);
  }
}

static struct image history(const struct choice *choice, const struct node *node, uint64_t size) {
  struct image out = {0}, now = image_copy(&node->durable);
  image_grow(&out, size + 1);
  out.len = size;
  for (size_t version = 0;; version++) {
    take_sectors(choice, &now, version, node->op_count, &node->durable, &out);
    if (version == node->op_count) break;
    image_apply(&now, node->ops[version]);
  }
  free(now.data);
  return out;
}

static uint64_t *sizes_of(const struct node *node) {
  uint64_t *sizes = calloc(node->op_count + 1, sizeof *sizes);
  if (sizes == NULL) give_up("no memory", "sizes");
  sizes[0] = node->durable.len;
  for (size_t i = 0; i < node->op_count; i++) {
    const struct disk_op *op = node->ops[i];
    const uint64_t end = op->offset + op->len;
    sizes[i + 1] = op->kind == DISK_SIZE ? op->len : end > sizes[i] ? end : sizes[i];
  }
  return sizes;
}

// What is left of a file when nothing more is synced.
static struct image left_of(struct replay *replay, const struct node *node) {
  if (node->op_count == 0) return image_copy(&node->durable);
  uint64_t *sizes = sizes_of(node);
  struct choice choice = {.fate = replay->model == DISK_EVERYTHING ? FATE_NEW : (enum fate)draw(replay, FATE_COUNT)};
  choice.prefix = draw(replay, node->op_count + 1);
  choice.other = draw(replay, 2) == 0 ? node->op_count : draw(replay, node->op_count + 1);
  choice.border = choose_border(replay, node);
  choice.salt = disk_mix(replay->seed, replay->drawn++);
  const uint64_t size = choose_size(replay, &choice, sizes, node->op_count);
  const struct image out = history(&choice, node, size);
  free(sizes);
  return out;
}

// A sync that returned 0: everything is durable, but what an earlier one failed to write may be lost all the same.
static void sync_file(struct replay *replay, struct node *node) {
  struct image out = image_copy(&node->durable);
  if (node->doomed > 0 && replay->model != DISK_EVERYTHING) {
    const struct choice choice = {.fate = FATE_SCATTERED, .salt = disk_mix(replay->seed, replay->drawn++)};
    struct node first = *node;
    first.op_count = node->doomed;
    uint64_t *sizes = sizes_of(&first);
    free(out.data);
    out = history(&choice, &first, sizes[node->doomed]);
    free(sizes);
    for (size_t i = node->doomed; i < node->op_count; i++) image_apply(&out, node->ops[i]);
  } else {
    for (size_t i = 0; i < node->op_count; i++) image_apply(&out, node->ops[i]);
  }
  free(node->durable.data);
  node->durable = out;
  node->op_count = node->doomed = 0;
}

// ---- the names of a folder ----

static void set_name(struct node *node, const char *text, int file) {
  size_t i = 0;
  while (i < node->name_count && strcmp(node->names[i].text, text) != 0) i++;
  if (i == node->name_count) {
    node->names = realloc(node->names, (node->name_count + 1) * sizeof *node->names);
    if (node->names == NULL) give_up("no memory", text);
    (void)snprintf(node->names[i].text, sizeof node->names[i].text, "%s", text);
    node->name_count++;
  }
  node->names[i].file = file;
}

// Only if it still means this file: of a subset the removal may belong to an older one of the name.
static void clear_name(struct node *node, const char *text, int file) {
  for (size_t i = 0; i < node->name_count; i++) {
    if (strcmp(node->names[i].text, text) != 0 || node->names[i].file != file) continue;
    node->names[i] = node->names[--node->name_count];
    return;
  }
}

static void apply_name(struct node *node, const struct disk_op *op) {
  if (op->kind == DISK_NAME) {
    set_name(node, op->name, op->file);
  } else if (op->kind == DISK_UNNAME) {
    clear_name(node, op->name, op->file);
  } else {
    clear_name(node, op->name, op->file);
    set_name(node, op->new_name, op->file);
  }
}

static void sync_folder(struct node *node) {
  for (size_t i = 0; i < node->op_count; i++) apply_name(node, node->ops[i]);
  node->op_count = 0;
}

static void leave_folder(struct replay *replay, struct node *node) {
  const uint64_t prefix = draw(replay, node->op_count + 1);
  for (size_t i = 0; i < node->op_count; i++) {
    const int happens = replay->model == DISK_EVERYTHING || (replay->model == DISK_PREFIX && i < prefix) ||
                        (replay->model == DISK_SUBSET && draw(replay, 2) == 0);
    if (happens) apply_name(node, node->ops[i]);
  }
}

// ---- the walk ----

static void remember(struct node *node, const struct disk_op *op) {
  if ((node->op_count & (node->op_count + 1)) == 0 || node->ops == NULL) {
    node->ops = realloc(node->ops, (node->op_count * 2 + 2) * sizeof *node->ops);
    if (node->ops == NULL) give_up("no memory", "ops");
  }
  node->ops[node->op_count++] = op;
}

static void walk(struct replay *replay, size_t position) {
  const struct disk_log *log = replay->log;
  for (size_t i = 0; i < position; i++) {
    const struct disk_op *op = &log->ops[i];
    const int folder = log->files[op->file].is_folder;
    switch (op->kind) {
    case DISK_NAME:
    case DISK_UNNAME:
    case DISK_RENAME:
      remember(&replay->nodes[op->folder], op);
      break;
    case DISK_WRITE:
    case DISK_SIZE:
      remember(&replay->nodes[op->file], op);
      break;
    case DISK_SYNC:
      if (folder) {
        sync_folder(&replay->nodes[op->file]);
      } else {
        sync_file(replay, &replay->nodes[op->file]);
      }
      break;
    case DISK_SYNC_FAILED:
      replay->nodes[op->file].doomed = replay->nodes[op->file].op_count;
      break;
    }
  }
}

static void build(struct replay *replay, int file, const char *path) {
  struct node *node = &replay->nodes[file];
  if (!replay->log->files[file].is_folder) {
    const struct image image = left_of(replay, node);
    FILE *to = fopen(path, "w");
    if (to == NULL || fwrite(image.data, 1, (size_t)image.len, to) != image.len || fclose(to) != 0) {
      give_up("write", path);
    }
    free(image.data);
    return;
  }
  if (mkdir(path, 0700) != 0) give_up("mkdir", path);
  leave_folder(replay, node);
  for (size_t i = 0; i < node->name_count; i++) {
    char child[PATH_MAX];
    (void)snprintf(child, sizeof child, "%s/%s", path, node->names[i].text);
    build(replay, node->names[i].file, child);
  }
}

void disk_rebuild(const struct disk_log *log, size_t position, enum disk_model model, uint64_t seed,
                  const char *target) {
  struct replay replay = {.log = log, .model = model, .seed = seed};
  replay.nodes = calloc(log->file_count, sizeof *replay.nodes);
  if (replay.nodes == NULL) give_up("no memory", target);
  for (size_t i = 0; i < log->found; i++) {
    const struct disk_start *file = &log->files[i];
    if (file->parent >= 0) set_name(&replay.nodes[file->parent], file->name, (int)i);
    if (!file->is_folder) {
      const struct image whole = {file->data, file->len, file->len};
      replay.nodes[i].durable = image_copy(&whole);
    }
  }
  walk(&replay, position);
  build(&replay, 0, target);
  for (size_t i = 0; i < log->file_count; i++) {
    free(replay.nodes[i].durable.data);
    free(replay.nodes[i].names);
    free(replay.nodes[i].ops);
  }
  free(replay.nodes);
}

// ---- folders ----

static int same_file(const char *a, const char *b, uint64_t len) {
  FILE *one = fopen(a, "r"), *other = fopen(b, "r");
  int same = one != NULL && other != NULL;
  for (uint64_t i = 0; same && i < len; i++) same = getc(one) == getc(other);
  if (one != NULL) (void)fclose(one);
  if (other != NULL) (void)fclose(other);
  return same;
}

// Whether everything in `a` is in `b`.
static int within(const char *a, const char *b) {
  DIR *folder = opendir(a);
  int same = folder != NULL;
  for (struct dirent *entry = same ? readdir(folder) : NULL; same && entry != NULL; entry = readdir(folder)) {
    char one[PATH_MAX], other[PATH_MAX];
    struct stat first, second;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    (void)snprintf(one, sizeof one, "%s/%s", a, entry->d_name);
    (void)snprintf(other, sizeof other, "%s/%s", b, entry->d_name);
    same = stat(one, &first) == 0 && stat(other, &second) == 0 && S_ISDIR(first.st_mode) == S_ISDIR(second.st_mode);
    if (!same) break;
    same = S_ISDIR(first.st_mode) ? within(one, other)
                                  : first.st_size == second.st_size && same_file(one, other, (uint64_t)first.st_size);
  }
  if (folder != NULL) (void)closedir(folder);
  return same;
}

int disk_same(const char *a, const char *b) {
  return within(a, b) && within(b, a);
}

void disk_remove(const char *folder) {
  DIR *open = opendir(folder);
  for (struct dirent *entry = open != NULL ? readdir(open) : NULL; entry != NULL; entry = readdir(open)) {
    char path[PATH_MAX];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (unlink(path) != 0) disk_remove(path);
  }
  if (open != NULL) (void)closedir(open);
  (void)rmdir(folder);
}
