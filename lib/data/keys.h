/* Reading maps of YAML by tables: a row a key. What is not in the table is refused with its line. */
#ifndef TN_DATA_KEYS_H
#define TN_DATA_KEYS_H

#include "model/manifest.h"

typedef enum tn_key_kind {
    TN_KEY_TEXT,   /* const char * */
    TN_KEY_NUMBER, /* double, from low to high */
    TN_KEY_WHOLE,  /* int64_t, from low to high */
    TN_KEY_SWITCH, /* bool */
    TN_KEY_WORD,   /* int: its place among the words */
    TN_KEY_NODE    /* const tn_manifest_node *: whatever it is */
} tn_key_kind;

typedef struct tn_key {
    const char *name; /* NULL ends a table */
    tn_key_kind kind;
    size_t offset; /* of the field that it fills; what has no key stays as it is */
    double low, high;
    const char *const *words; /* end with NULL; an empty one is not for YAML */
} tn_key;

/* "line 3, column 5: what". */
tn_status tn_key_fail(const tn_manifest_node *at, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
tn_status tn_keys_read(const tn_manifest_node *map, const tn_key *keys, void *out);
/* One value by a row. */
tn_status tn_key_read(const tn_manifest_node *node, const tn_key *key, void *out);
/* A whole number for all, or a list of up to `most` of them; the number of those given. */
tn_status tn_key_sizes(const tn_manifest_node *node, const char *name, double low, double high, int most, int64_t *out,
                       int *out_count);

/* Plans, studies, ensembles: texts of YAML of at most so many bytes. */
#define TN_KEYS_BYTES (1 << 20)
/* A text of such; `what` is for the sentence: "a plan". */
tn_status tn_keys_parse(tn_string text, const char *what, tn_region *region, tn_manifest_node **out_root);
/* A file's text, and the folder that it is in; NULL: where the process is. */
tn_status tn_keys_load(const char *path, tn_region *region, tn_string *out_text, const char **out_folder);
/* A path in such a text (NULL: none) becomes what it stands for: beside the folder, if it is not absolute. */
tn_status tn_keys_place(const char **path, const char *folder, tn_region *region);

#endif
