/* Manifests inside the library: a tree of maps, lists and scalars, and the rows that say what may be in it. */
#ifndef TN_MANIFEST_H
#define TN_MANIFEST_H

#include <tenon/manifest.h>
#include "base/base.h"

#ifndef TN_WITH_YAML
#define TN_WITH_YAML 0
#endif

#define TN_MANIFEST_DEPTH 16
#define TN_MANIFEST_NODES 65536
#define TN_MANIFEST_TEXT_BYTES (64u << 10)

typedef struct tn_manifest_node {
    tn_manifest_kind kind;
    const char *key;  /* in a map */
    const char *text; /* of a scalar: no zero byte in it */
    bool quoted;      /* in the YAML: never a number */
    int line, column; /* from 1 on; 0: not read from a file */
    int count;
    struct tn_manifest_node *first, *last, *next;
} tn_manifest_node;

struct tn_manifest {
    tn_region *region;
    tn_manifest_node *root;
    const char *canonical;
};

/* Building trees. NULL on failure. */
tn_manifest_node *tn_manifest_new(tn_region *region, tn_manifest_kind kind, const char *text);
void tn_manifest_append(tn_manifest_node *parent, const char *key, tn_manifest_node *child);
tn_manifest_node *tn_manifest_child(const tn_manifest_node *map, const char *key); /* NULL if there is none */
/* Of a map: a text under a key, in the place of what is there; and no such key any more. */
tn_status tn_manifest_set_text(tn_region *region, tn_manifest_node *map, const char *key, const char *text);
void tn_manifest_drop(tn_manifest_node *map, const char *key);
tn_manifest_node *tn_manifest_find(const tn_manifest_node *root, const char *path);

/* Likewise, where many nodes are added: the first failure stays, and what follows does nothing and gives NULL. */
typedef struct tn_manifest_writer {
    tn_region *region;
    bool failed;
} tn_manifest_writer;
tn_manifest_node *tn_manifest_add(tn_manifest_writer *writer, tn_manifest_node *parent, const char *key,
                                  tn_manifest_kind kind, const char *text);
void tn_manifest_add_number(tn_manifest_writer *writer, tn_manifest_node *parent, const char *key, double x);

/* YAML to a tree; nothing but the YAML is checked. */
tn_status tn_manifest_read_yaml(tn_string text, tn_region *region, tn_manifest_node **out);
/* Checks a tree, makes its scalars canonical, and orders its keys. lenient: unknown keys are kept. */
tn_status tn_manifest_check(tn_manifest_node *root, tn_region *region, bool lenient);
/* Likewise a gate: tenon/gate.h. */
tn_status tn_manifest_check_gate(tn_manifest_node *root, tn_region *region);
/* The canonical text, zero-terminated. */
tn_status tn_manifest_print(const tn_manifest_node *root, tn_region *region, tn_string *out);

#endif
