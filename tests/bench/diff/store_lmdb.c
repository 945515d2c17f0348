// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The same work on a general key-value store: LMDB as a mirror of key -> hash, one get a row, one put per changed row,
// one transaction made durable at its end. Deletes are found as cheaply as can be: a bitmap of the ids that came, and
// a walk of the store.
//
//   bench_lmdb fill|update FOLDER WORDS int|hash
//
// WORDS: a file of bench_generate words. int: the id is the key (MDB_INTEGERKEY); hash: 16 bytes of hash are, as a
// store of rows with any key must have them.
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#define BATCH_ROWS 8192u

static struct {
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi dbi;
  int hashed;
  uint8_t *seen; // bit by id
  uint64_t seen_max;
  unsigned long long rows, inserts, updates, deletes;
} store;

static void must(int code) {
  if (code == 0) return;
  (void)fprintf(stderr, "lmdb: %s\n", mdb_strerror(code));
  exit(1);
}

static double seconds(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void mark(uint64_t id) {
  if (id >= store.seen_max) {
    const uint64_t wanted = id * 2 + (1u << 20);
    store.seen = realloc(store.seen, wanted / 8 + 1);
    if (store.seen == NULL) must(MDB_MAP_FULL);
    memset(store.seen + store.seen_max / 8, 0, (wanted - store.seen_max) / 8 + 1);
    store.seen_max = wanted / 8 * 8;
  }
  store.seen[id >> 3] |= (uint8_t)(1u << (id & 7));
}

// The value under a hashed key holds the id beside the hash: the walk for deletes needs it.
static void take(uint64_t id, uint64_t hash) {
  XXH128_hash_t hashed = {0};
  uint64_t value[2] = {hash, id}, integer = id;
  MDB_val key = {sizeof integer, &integer}, data = {sizeof value[0], value}, held;
  if (store.hashed) {
    hashed = XXH3_128bits(&id, sizeof id);
    key = (MDB_val){sizeof hashed, &hashed};
    data.mv_size = sizeof value;
  }
  mark(id);
  store.rows++;
  const int code = mdb_get(store.txn, store.dbi, &key, &held);
  if (code == 0 && memcmp(held.mv_data, &hash, sizeof hash) == 0) return;
  if (code == MDB_NOTFOUND)
    store.inserts++;
  else
    store.updates++;
  must(mdb_put(store.txn, store.dbi, &key, &data, 0));
}

static void read_rows(const char *path) {
  static uint64_t words[2 * BATCH_ROWS];
  FILE *file = fopen(path, "rb");
  if (file == NULL) must(2);
  (void)setvbuf(file, NULL, _IONBF, 0);
  for (size_t rows; (rows = fread(words, 16, BATCH_ROWS, file)) > 0;)
    for (size_t i = 0; i < rows; i++) take(words[i], words[rows + i]);
  (void)fclose(file);
}

static void remove_unseen(void) {
  MDB_cursor *cursor;
  MDB_val key, data;
  must(mdb_cursor_open(store.txn, store.dbi, &cursor));
  for (int code = mdb_cursor_get(cursor, &key, &data, MDB_FIRST); code != MDB_NOTFOUND;
       code = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) {
    must(code);
    uint64_t id;
    if (store.hashed)
      memcpy(&id, (const char *)data.mv_data + 8, sizeof id);
    else
      memcpy(&id, key.mv_data, sizeof id);
    if (id < store.seen_max && (store.seen[id >> 3] >> (id & 7) & 1)) continue;
    must(mdb_cursor_del(cursor, 0));
    store.deletes++;
  }
  mdb_cursor_close(cursor);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  const double begin = seconds();
  store.hashed = strcmp(argv[4], "hash") == 0;
  must(mdb_env_create(&store.env));
  must(mdb_env_set_mapsize(store.env, (size_t)64 << 30));
  must(mdb_env_open(store.env, argv[2], 0, 0600));
  must(mdb_txn_begin(store.env, NULL, 0, &store.txn));
  must(mdb_dbi_open(store.txn, NULL, store.hashed ? 0 : MDB_INTEGERKEY, &store.dbi));
  read_rows(argv[3]);
  if (strcmp(argv[1], "update") == 0) remove_unseen();
  MDB_stat stat;
  must(mdb_stat(store.txn, store.dbi, &stat));
  must(mdb_txn_commit(store.txn));
  MDB_envinfo info;
  must(mdb_env_info(store.env, &info));
  (void)printf("{\"rows\": %llu, \"inserts\": %llu, \"updates\": %llu, \"deletes\": %llu, \"entries\": %zu, "
               "\"bytes\": %zu, \"total_s\": %.6f}\n",
               store.rows, store.inserts, store.updates, store.deletes, stat.ms_entries,
               (info.me_last_pgno + 1) * stat.ms_psize, seconds() - begin);
  mdb_env_close(store.env);
  free(store.seen);
  return 0;
}
