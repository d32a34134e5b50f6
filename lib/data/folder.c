/* A folder as a table: each folder in it is a class, the files in that its samples. Files that stand beside the folders have
 * no class: what a trained model is asked about. Rows are in the order of the names' bytes. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "data/table.h"

enum { MOST_PATH = 4096 };

typedef struct sample {
    const char *file, *class; /* class NULL: none */
} sample;

typedef struct listing {
    tn_region *region;
    const char *folder;
    sample *samples;
    size_t count, room;
} listing;

bool tn_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static tn_status add(listing *l, const char *class, const char *name) {
    if (l->count == l->room) {
        size_t room = 2 * l->room + 256;
        sample *grown = tn_region_array(l->region, room, sizeof *grown);
        if (!grown) return TN_E_MEMORY;
        if (l->count) memcpy(grown, l->samples, l->count * sizeof *grown);
        l->samples = grown;
        l->room = room;
    }
    const char *file = class ? tn_region_printf(l->region, "%s/%s", class, name) : tn_region_strdup(l->region, name);
    l->samples[l->count++] = (sample){file, class};
    return file ? TN_OK : TN_E_MEMORY;
}

/* What begins with a point is hidden, and left out. */
static tn_status walk(listing *l, const char *class) {
    char path[2 * MOST_PATH];
    snprintf(path, sizeof path, "%s%s%s", l->folder, class ? "/" : "", class ? class : "");
    DIR *dir = opendir(path);
    if (!dir) return tn_fail(TN_E_IO, "%s: %s", path, strerror(errno));
    tn_status status = TN_OK;
    size_t end = strlen(path);
    for (const struct dirent *e; status == TN_OK && (e = readdir(dir));) {
        struct stat info;
        if (e->d_name[0] == '.') continue;
        snprintf(path + end, sizeof path - end, "/%s", e->d_name);
        if (stat(path, &info) != 0) {
            status = tn_fail(TN_E_IO, "%s: %s", path, strerror(errno));
        } else if (S_ISREG(info.st_mode)) {
            status = add(l, class, e->d_name);
        } else if (S_ISDIR(info.st_mode) && class) {
            status = tn_fail(TN_E_FORMAT, "%s is a folder inside the folder of a class; files were expected", path);
        } else if (S_ISDIR(info.st_mode)) {
            const char *own = tn_region_strdup(l->region, e->d_name);
            status = own ? walk(l, own) : TN_E_MEMORY;
        }
    }
    closedir(dir);
    return status;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(((const sample *)a)->file, ((const sample *)b)->file);
}

static tn_status fill(const listing *l, tn_table *t) {
    TN_TRY(tn_table_column(t, 0, "file", TN_COLUMN_TEXT));
    TN_TRY(tn_table_column(t, 1, "class", TN_COLUMN_TEXT));
    TN_TRY(tn_table_set_folder(t, l->folder, strlen(l->folder)));
    for (size_t i = 0; i < l->count; i++) {
        const sample *s = &l->samples[i];
        TN_TRY(tn_table_put_text(t, 0, (int64_t)i, tn_string_of(s->file)));
        TN_TRY(tn_table_put_text(t, 1, (int64_t)i, s->class ? tn_string_of(s->class) : (tn_string){NULL, 0}));
    }
    return TN_OK;
}

tn_status tn_table_of_folder(const char *path, const tn_allocator *allocator, tn_table **out_table) {
    tn_table *t = NULL;
    *out_table = NULL;
    if (strlen(path) >= MOST_PATH) return tn_fail(TN_E_LIMIT, "a path of %zu characters", strlen(path));
    listing l = {.region = tn_region_create(NULL), .folder = path};
    tn_status status = l.region ? walk(&l, NULL) : TN_E_MEMORY;
    if (status == TN_OK && !l.count) status = tn_fail(TN_E_INVALID, "%s has no files", path);
    if (status == TN_OK) {
        qsort(l.samples, l.count, sizeof *l.samples, by_bytes);
        status = tn_table_create((int64_t)l.count, 2, allocator, &t);
    }
    if (status == TN_OK) status = fill(&l, t);
    tn_region_destroy(l.region);
    if (status == TN_OK)
        *out_table = t;
    else
        tn_table_destroy(t);
    return status;
}
