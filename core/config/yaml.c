// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// One YAML file into a tree, on libyaml's events: bounded in bytes, nodes and depth; no anchors, no aliases, no merge
// keys, no second document, no key twice. libyaml finds the structure; what a scalar means is decided in scalar.c,
// what
// a syntax error means in yaml_fault.c.
#include "config/yaml.h"

#include <assert.h>
#include <stdio.h>

struct frame {
  struct dr_node *node;
  struct dr_node **tail;
  int has_key; // in a mapping: the key was read, its value comes next
  int drop;    // the value belongs to a key that stands twice: read it, forget it
  int dropped; // this whole collection is such a value
  struct dray_str key;
  struct dr_mark key_mark;
  uint32_t key_width;
};

struct builder {
  struct dr_project *project;
  uint32_t file;
  struct frame frames[DR_CONFIG_DEPTH_MAX + 1];
  size_t depth; // open collections
  struct dr_node *root;
  int documents;
  int dropped; // the node placed last was forgotten
  int refused; // the tree must not be used
  int stop;    // nothing more can be learned from this file
  struct dray_error *error;
};

static struct dr_mark mark_of(const struct builder *b, yaml_mark_t mark) {
  const struct dr_mark out = {b->file, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
  return out;
}

static uint32_t width_of(yaml_mark_t start, yaml_mark_t end) {
  return end.line == start.line && end.column > start.column ? (uint32_t)(end.column - start.column) : 1;
}

static int32_t limit_problem(struct builder *b, const yaml_event_t *event, const char *what) {
  b->refused = b->stop = 1;
  return dr_project_problem(b->project, mark_of(b, event->start_mark), 1, DRAY_E_CONFIG_LIMIT, NULL,
                            "a config is read whole, so its size is bounded", "%s", what);
}

static int32_t new_node(struct builder *b, const yaml_event_t *event, int kind, struct dr_node **out) {
  if (++b->project->inside->node_count > DR_CONFIG_NODES_MAX) {
    *out = NULL;
    return limit_problem(b, event, "the project's files hold more than 100000 values");
  }
  struct dr_node *node = NULL;
  DRAY_TRY(dr_project_alloc(b->project, sizeof(*node), &node, b->error));
  node->kind = kind;
  node->mark = mark_of(b, event->start_mark);
  node->width = width_of(event->start_mark, event->end_mark);
  node->end_line = (uint32_t)event->end_mark.line + 1;
  node->end_column = (uint32_t)event->end_mark.column + 1;
  *out = node;
  return DRAY_OK;
}

static const struct dr_node *find(const struct dr_node *map, struct dray_str name) {
  for (const struct dr_node *child = map->child; child != NULL; child = child->next) {
    if (dray_str_equal(child->name, name)) return child;
  }
  return NULL;
}

static int32_t take_key(struct builder *b, struct frame *frame, const struct dr_node *key, const yaml_event_t *event) {
  frame->has_key = 1;
  frame->drop = 0;
  frame->key = key->text;
  frame->key_mark = key->mark;
  frame->key_width = key->width;
  if (key->text.len == 0) {
    frame->drop = 1;
    return dr_project_problem(b->project, key->mark, key->width, DRAY_E_CONFIG_SYNTAX, NULL, NULL, "this key is empty");
  }
  if (dray_str_is(key->text, "<<")) {
    frame->drop = 1;
    return dr_project_problem(b->project, key->mark, key->width, DRAY_E_CONFIG_SYNTAX, NULL,
                              "every setting stands where it applies, so that a message can point at it",
                              "merge keys (<<) are not supported");
  }
  const struct dr_node *earlier = find(frame->node, key->text);
  if (earlier != NULL) {
    frame->drop = 1;
    return dr_project_problem(b->project, key->mark, key->width, DRAY_E_CONFIG_DUPLICATE_KEY, NULL, NULL,
                              "the key \"%.*s\" stands twice in this mapping; the first is at line %u",
                              DRAY_STR_ARG(key->text), earlier->name_mark.line);
  }
  if (frame->node->child_count >= DR_CONFIG_KEYS_MAX)
    return limit_problem(b, event, "this mapping has more than 4096 keys");
  return DRAY_OK;
}

// Whether values here may be secrets that no schema will ever tell us about.
static int is_secretive(const struct builder *b) {
  return strncmp(b->project->files[b->file].path, "connections/", 12) == 0 ||
         (b->depth > 0 && dray_str_is(b->frames[0].key, "connections"));
}

// Puts a finished scalar or an opened collection where it belongs.
static int32_t place(struct builder *b, struct dr_node *node, const yaml_event_t *event) {
  b->dropped = 0;
  if (b->depth == 0) {
    b->root = node;
    return DRAY_OK;
  }
  struct frame *frame = &b->frames[b->depth - 1];
  if (frame->node->kind == DR_NODE_MAP && !frame->has_key) {
    if (event->type == YAML_SCALAR_EVENT) return take_key(b, frame, node, event);
    b->refused = b->stop = 1;
    return dr_project_problem(b->project, node->mark, node->width, DRAY_E_CONFIG_SYNTAX, NULL,
                              "keys are plain texts here", "a list or a mapping stands where a key is expected");
  }
  const int drop = b->dropped = frame->drop;
  if (frame->node->kind == DR_NODE_MAP) {
    node->name = frame->key;
    node->name_mark = frame->key_mark;
    node->name_width = frame->key_width;
    frame->has_key = frame->drop = 0;
  }
  if (drop) return is_secretive(b) ? dr_mask(b->project, node, b->error) : DRAY_OK;
  *frame->tail = node;
  frame->tail = &node->next;
  frame->node->child_count++;
  return DRAY_OK;
}

static int32_t refuse_anchor(struct builder *b, const yaml_event_t *event, const yaml_char_t *anchor) {
  if (anchor == NULL) return DRAY_OK;
  b->refused = 1;
  return dr_project_problem(
      b->project, mark_of(b, event->start_mark), (uint32_t)strlen((const char *)anchor) + 1, DRAY_E_CONFIG_SYNTAX, NULL,
      "every setting stands where it applies, so that a message can point at it; a value that begins with "
      "& or * is written in quotes",
      "anchors (&%s) are not supported", (const char *)anchor);
}

static int32_t bad_tag(struct builder *b, const yaml_event_t *event, const char *tag) {
  static const char *const known[] = {"!secret", "!literal", "!!str"};
  static const char prefix[] = "tag:yaml.org,2002:"; // libyaml's spelling of "!!"
  char spelt[64];
  const int standard = strncmp(tag, prefix, sizeof(prefix) - 1) == 0;
  (void)snprintf(spelt, sizeof(spelt), "%s%s", standard ? "!!" : "", standard ? tag + sizeof(prefix) - 1 : tag);
  b->refused = 1;
  for (size_t i = 0; i < 3; i++) {
    if (strcmp(spelt, known[i]) != 0) continue;
    return dr_project_problem(b->project, mark_of(b, event->start_mark), (uint32_t)strlen(spelt), DRAY_E_CONFIG_SYNTAX,
                              NULL, "it goes before the text of one value", "the tag %s cannot stand here", spelt);
  }
  return dr_project_problem(b->project, mark_of(b, event->start_mark), (uint32_t)strlen(spelt), DRAY_E_CONFIG_SYNTAX,
                            dr_nearest(spelt, known, 3), "the tags are !secret, !literal and !!str",
                            "this tag is not known");
}

static int32_t collection_start(struct builder *b, const yaml_event_t *event, int kind, const yaml_char_t *anchor,
                                const yaml_char_t *tag) {
  DRAY_TRY(refuse_anchor(b, event, anchor));
  if (tag != NULL && strcmp((const char *)tag, "!") != 0) DRAY_TRY(bad_tag(b, event, (const char *)tag));
  if (b->depth == DR_CONFIG_DEPTH_MAX)
    return limit_problem(b, event, "lists and mappings are nested more than 32 deep");
  struct dr_node *node = NULL;
  DRAY_TRY(new_node(b, event, kind, &node));
  if (node == NULL) return DRAY_OK;
  if (event->end_mark.line != event->start_mark.line || event->end_mark.column <= event->start_mark.column)
    node->width = 1;
  DRAY_TRY(place(b, node, event));
  if (b->stop) return DRAY_OK;
  struct frame *frame = &b->frames[b->depth++];
  memset(frame, 0, sizeof(*frame));
  frame->node = node;
  frame->tail = &node->child;
  frame->dropped = b->dropped;
  return DRAY_OK;
}

static int32_t collection_end(struct builder *b, const yaml_event_t *event) {
  assert(b->depth > 0);
  const struct frame *frame = &b->frames[--b->depth];
  struct dr_node *node = frame->node;
  node->end_line = (uint32_t)event->end_mark.line + 1;
  node->end_column = (uint32_t)event->end_mark.column + 1;
  return frame->dropped && is_secretive(b) ? dr_mask(b->project, node, b->error) : DRAY_OK;
}

static int is_env_name(struct dray_str name) {
  for (uint64_t i = 0; i < name.len; i++) {
    const char c = name.data[i];
    const int letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    if (!letter && (i == 0 || c < '0' || c > '9')) return 0;
  }
  return name.len > 0;
}

static int is_reference(struct dray_str text) {
  if (text.len <= 4) return 0;
  if (memcmp(text.data, "env:", 4) == 0) return is_env_name(dray_str_make(text.data + 4, text.len - 4));
  return text.len > 5 && (memcmp(text.data, "file:", 5) == 0 || memcmp(text.data, "exec:", 5) == 0);
}

// !secret and !literal. Whatever is not a reference may be the secret itself: it is masked and never repeated.
static int32_t tagged_secret(struct builder *b, struct dr_node *node, int literal) {
  node->kind = DR_NODE_SECRET;
  node->literal = literal;
  if (!literal && is_reference(node->text)) return DRAY_OK;
  node->literal = 1; // what is not a reference must be masked, and nothing may resolve it as one
  DRAY_TRY(dr_mask(b->project, node, b->error));
  if (literal && node->text.len > 0) return DRAY_OK;
  return dr_project_problem(b->project, node->mark, node->width, DRAY_E_CONFIG_VALUE, NULL,
                            "the value is not shown, in case it is the secret itself",
                            literal ? "!literal needs a text"
                                    : "a secret is written `!secret env:NAME`, `!secret file:PATH` or "
                                      "`!secret exec:COMMAND`");
}

static int stands_for_key(const struct builder *b) {
  const struct frame *frame = b->depth > 0 ? &b->frames[b->depth - 1] : NULL;
  return frame != NULL && frame->node->kind == DR_NODE_MAP && !frame->has_key;
}

// What the tag, or the lack of one, makes of a text.
static int32_t give_meaning(struct builder *b, struct dr_node *node, const yaml_event_t *event) {
  const char *tag = (const char *)event->data.scalar.tag;
  if (tag == NULL) {
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) dr_scalar_resolve(node);
    return DRAY_OK;
  }
  if (stands_for_key(b)) return bad_tag(b, event, tag);
  if (strcmp(tag, "!secret") == 0) return tagged_secret(b, node, 0);
  if (strcmp(tag, "!literal") == 0) return tagged_secret(b, node, 1);
  return strcmp(tag, "!") == 0 || strcmp(tag, YAML_STR_TAG) == 0 ? DRAY_OK : bad_tag(b, event, tag);
}

static int32_t scalar(struct builder *b, const yaml_event_t *event) {
  const struct dray_str text = dray_str_make((const char *)event->data.scalar.value, event->data.scalar.length);
  DRAY_TRY(refuse_anchor(b, event, event->data.scalar.anchor));
  struct dr_node *node = NULL;
  DRAY_TRY(new_node(b, event, DR_NODE_STRING, &node));
  if (node == NULL) return DRAY_OK;
  DRAY_TRY(dr_project_text(b->project, text, &node->text.data, b->error));
  node->text.len = text.len;
  if (memchr(node->text.data, '\0', (size_t)text.len) != NULL) {
    DRAY_TRY(dr_project_problem(b->project, node->mark, node->width, DRAY_E_CONFIG_SYNTAX, NULL, NULL,
                                "this text holds a NUL character"));
    b->refused = 1;
  }
  DRAY_TRY(give_meaning(b, node, event));
  return place(b, node, event);
}

static int32_t handle(struct builder *b, const yaml_event_t *event) {
  switch (event->type) {
  case YAML_DOCUMENT_START_EVENT:
    if (++b->documents == 1) return DRAY_OK;
    b->refused = b->stop = 1;
    return dr_project_problem(b->project, mark_of(b, event->start_mark), 3, DRAY_E_CONFIG_SYNTAX, NULL,
                              "one file holds one document", "a second document begins here");
  case YAML_ALIAS_EVENT:
    b->refused = 1;
    DRAY_TRY(dr_project_problem(
        b->project, mark_of(b, event->start_mark), width_of(event->start_mark, event->end_mark), DRAY_E_CONFIG_SYNTAX,
        NULL,
        "every setting stands where it applies, so that a message can point at it; a value that begins with "
        "& or * is written in quotes",
        "aliases (*%s) are not supported", (const char *)event->data.alias.anchor));
    if (b->depth > 0) b->frames[b->depth - 1].has_key = !b->frames[b->depth - 1].has_key;
    return DRAY_OK;
  case YAML_SCALAR_EVENT:
    return scalar(b, event);
  case YAML_SEQUENCE_START_EVENT:
    return collection_start(b, event, DR_NODE_LIST, event->data.sequence_start.anchor, event->data.sequence_start.tag);
  case YAML_MAPPING_START_EVENT:
    return collection_start(b, event, DR_NODE_MAP, event->data.mapping_start.anchor, event->data.mapping_start.tag);
  case YAML_SEQUENCE_END_EVENT:
  case YAML_MAPPING_END_EVENT:
    return collection_end(b, event);
  default:
    return DRAY_OK; // stream start and end, document end
  }
}

static int32_t parse(struct builder *b, struct dray_str text) {
  yaml_parser_t parser;
  if (!yaml_parser_initialize(&parser))
    return dray_fail(b->error, DRAY_E_OUT_OF_MEMORY, "no memory to read a config file");
  yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, (size_t)text.len);
  int32_t rc = DRAY_OK;
  int done = 0;
  while (rc == DRAY_OK && !b->stop && !done) {
    yaml_event_t event;
    if (!yaml_parser_parse(&parser, &event)) {
      b->refused = b->stop = 1;
      rc = dr_yaml_fault(b->project, b->file, text, &parser, b->error);
      break;
    }
    done = event.type == YAML_STREAM_END_EVENT;
    rc = handle(b, &event);
    yaml_event_delete(&event);
  }
  yaml_parser_delete(&parser);
  return rc;
}

int32_t dr_yaml_read(struct dr_project *project, uint32_t file, struct dray_str text, struct dr_node **out,
                     struct dray_error *error) {
  struct builder builder = {.project = project, .file = file, .error = error};
  int readable = 0;
  DRAY_TRY(dr_yaml_check_bytes(project, file, text, &readable));
  if (readable) DRAY_TRY(parse(&builder, text));
  if (!readable || builder.refused) {
    project->inside->broken[file] = 1;
    if (strncmp(project->files[file].path, "syncs/", 6) != 0) project->inside->incomplete = 1;
  }
  *out = !readable || builder.refused ? NULL : builder.root;
  return DRAY_OK;
}
