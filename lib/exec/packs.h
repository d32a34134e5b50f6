/* Inside packed weights: the list of them (packs.c), and the files that processes share (pack_share.c). */
#ifndef TN_PACKS_H
#define TN_PACKS_H

#include <pthread.h>
#include <sys/stat.h>
#include "exec/host.h"
#include "exec/pack_file.h"

typedef struct tn_pack {
    struct tn_pack *next;
    const void *data; /* of the constant */
    const char *layout;
    void *packed;
    size_t bytes, allocated;
    enum { TN_PACK_ALLOCATED, TN_PACK_PAGES, TN_PACK_IN_FILE } memory;
    bool fresh;  /* in no file */
    bool mapped; /* its pages are a file's */
    tn_pack_row name;
} tn_pack;

typedef struct tn_mapped_packs {
    struct tn_mapped_packs *next; /* older */
    tn_pack_file file;
    void *address;
    size_t bytes;
    dev_t device;
    ino_t number;
} tn_mapped_packs;

typedef struct tn_pack_share {
    const tn_graph *graph;
    const char *folder, *path;
    uint8_t key[TN_SHA256_BYTES];
    tn_mapped_packs *files; /* the newest first */
    bool verified;          /* the model's weights are what its digest says */
    bool looked;            /* whether there is a file */
    bool given_up;          /* nothing can be written */
    int written;            /* files */
} tn_pack_share;

struct tn_packs {
    const tn_allocator *allocator;
    pthread_mutex_t lock;
    tn_region *region; /* of the list; the packed weights are allocated apart */
    tn_pack *first;
    size_t bytes;
    tn_weights_place weights; /* whether they are packed */
    tn_string file;           /* all weights of a model file */
    tn_pack_share *share;     /* NULL: with nobody */
};

/* All with the lock held.
 * `memory`: the pack's, of the allocator's `allocated` bytes or of a file (0); NULL: it gets its own. NULL on failure. */
tn_pack *tn_packs_add(tn_packs *packs, const void *data, const char *layout, size_t bytes, void *memory,
                      size_t allocated);
/* What stands in files for the packed weights of `value`, which lies at `origin` in the model. */
tn_pack_row tn_packs_name(const tn_packs *packs, const void *origin, const tn_tensor *value, const char *layout);
/* From a file, or NULL. */
tn_pack *tn_packs_take(tn_packs *packs, const void *origin, const char *layout, size_t bytes, const tn_pack_row *name);

#endif
