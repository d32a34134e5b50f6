/* What may be there after a cut: see disk.h. */
#include "unit/unit.h"
#include "tree.h"
#include "disk_event.h"
#include "base/checksum.h"

disk_name *disk_names_find(disk_names *names, const char *path) {
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->all[i].path, path) == 0) return &names->all[i];
    return NULL;
}

void disk_names_set(disk_names *names, const char *path, int node) {
    disk_name *n = disk_names_find(names, path);
    if (!n) {
        assert_true(names->count < MOST_FILES);
        n = &names->all[names->count++];
        snprintf(n->path, sizeof n->path, "%s", path);
    }
    n->node = node;
}

void disk_names_drop(disk_names *names, const char *path) {
    disk_name *n = disk_names_find(names, path);
    if (n) *n = names->all[--names->count];
}

static unsigned next_random(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static bool same_folder(const char *path, const char *folder) {
    size_t length = strlen(folder);
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) == length && strncmp(path, folder, length) == 0 : length == 0;
}

/* Whether a flush among the calls up to `count` makes call i certain. */
static bool is_certain(const disk *d, size_t i, size_t count) {
    const disk_event *e = &d->events[i];
    bool bytes = e->kind == WRITE || e->kind == TRUNCATE;
    for (size_t j = i + 1; j < count; j++) {
        const disk_event *f = &d->events[j];
        if (bytes ? f->kind == FLUSH_FILE && f->node == e->node
                  : f->kind == FLUSH_FOLDER && same_folder(e->path, f->path))
            return true;
    }
    return false;
}

static void apply_bytes(tree_file *file, const disk_event *e, size_t size) {
    size_t end = e->kind == TRUNCATE ? e->size : e->offset + size;
    if (end > file->size || e->kind == TRUNCATE) {
        file->data = realloc(file->data, end + 1);
        assert_non_null(file->data);
        if (end > file->size) memset(file->data + file->size, 0, end - file->size);
        file->size = end;
    }
    if (e->kind == WRITE && size) memcpy(file->data + e->offset, e->data, size);
}

static disk_names names;
static tree_file nodes[MOST_FILES]; /* what each holds, without a name */

/* Of a name and what is there; sums of them tell trees apart, in whatever order they are made. */
static uint64_t mark_of(const char *name, const void *data, size_t size) {
    const uint64_t marks[] = {tn_checksum(name, strlen(name)), tn_checksum(data, size)};
    return tn_checksum(marks, sizeof marks);
}

uint64_t disk_replay(const disk *d, size_t count, unsigned choice, const char *path) {
    uint64_t marks = 0;
    bool *there = calloc(d->count + 1, sizeof *there);
    unsigned random = choice * 2654435761u + (unsigned)count;
    char inner[512];
    assert_non_null(there);
    names.count = 0;
    mkdir(path, 0777);
    for (size_t i = 0; i < count; i++) {
        const disk_event *e = &d->events[i];
        bool bytes = e->kind == WRITE || e->kind == TRUNCATE, certain = is_certain(d, i, count), chosen = certain;
        if (!certain && choice != DISK_NONE)
            chosen = choice == DISK_ALL || (choice == DISK_NAMES && !bytes) || (choice == DISK_BYTES && bytes) ||
                     (choice >= DISK_RANDOM && next_random(&random) % 2);
        /* A file loses its old name only once it has the new one. */
        if (e->kind == REMOVE && e->goes_with >= 0 && !there[e->goes_with]) chosen = false;
        there[i] = chosen;
        if (!chosen) continue;
        size_t size = e->size;
        if (bytes && !certain && choice >= DISK_RANDOM && next_random(&random) % 3 == 0)
            size = next_random(&random) % (size + 1);
        snprintf(inner, sizeof inner, "%s/%s", path, e->path);
        switch (e->kind) {
        case LINK: disk_names_set(&names, e->path, e->node); break;
        case REMOVE: disk_names_drop(&names, e->path); break;
        case FOLDER: /* not there if its parent is not */
            if (mkdir(inner, 0777) == 0) marks += mark_of(e->path, "/", 1);
            break;
        case WRITE:
        case TRUNCATE: apply_bytes(&nodes[e->node], e, size); break;
        default: break;
        }
    }
    for (size_t i = 0; i < names.count; i++) {
        const tree_file *node = &nodes[names.all[i].node];
        snprintf(inner, sizeof inner, "%s/%.*s", path, PATH_BYTES, names.all[i].path);
        char *slash = strrchr(inner, '/');
        *slash = 0;
        bool parent = access(inner, F_OK) == 0;
        *slash = '/';
        if (!parent) continue;
        tree_write(inner, node->data ? node->data : "", node->size);
        marks += mark_of(names.all[i].path, node->data ? node->data : "", node->size);
    }
    for (int i = 0; i < MOST_FILES; i++) {
        free(nodes[i].data);
        nodes[i] = (tree_file){0};
    }
    free(there);
    return marks;
}
