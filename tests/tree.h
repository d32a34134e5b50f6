/* Folders of small files, in memory and on disk, for tests of what keeps files. All fail the test when they fail. */
#ifndef TN_TREE_H
#define TN_TREE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct tree_file {
    char name[192]; /* below the root; a folder's ends with a slash */
    char *data;
    size_t size;
} tree_file;

typedef struct tree {
    tree_file *files;
    size_t count;
} tree;

static inline void tree_write(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline char *tree_read(const char *path, size_t *out_size) {
    FILE *file = fopen(path, "rb");
    struct stat info;
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    char *data = malloc((size_t)info.st_size + 1);
    assert_non_null(data);
    *out_size = fread(data, 1, (size_t)info.st_size, file);
    assert_int_equal(*out_size, info.st_size);
    fclose(file);
    return data;
}

/* Calls visit(path, is_folder) for what is in a folder, inner things first. */
static inline int tree_walk(const char *path, int (*visit)(const char *path, bool folder, void *context),
                            void *context) {
    DIR *entries = opendir(path);
    int result = entries ? 0 : -1;
    const struct dirent *entry;
    while (entries && result == 0 && (entry = readdir(entries))) {
        char inner[512];
        struct stat info;
        if (strlen(path) + strlen(entry->d_name) + 2 > sizeof inner) return -1;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        strcat(strcat(strcpy(inner, path), "/"), entry->d_name);
        if (lstat(inner, &info) != 0) return -1;
        if (S_ISDIR(info.st_mode)) result = tree_walk(inner, visit, context);
        if (result == 0) result = visit(inner, S_ISDIR(info.st_mode), context);
    }
    if (entries) closedir(entries);
    return result;
}

static inline int tree_remove_one(const char *path, bool folder, void *context) {
    (void)context;
    return folder ? rmdir(path) : unlink(path);
}
static inline int tree_remove(const char *path) {
    return tree_walk(path, tree_remove_one, NULL) == 0 ? rmdir(path) : -1;
}

/* Makes a folder tenon-NAME-XXXXXX; in memory, if there is such a place: what is flushed thousands of times in tests need
 * not reach a disk. */
static inline bool tree_make(char root[64], const char *name) {
    snprintf(root, 64, "%s/tenon-%s-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", name);
    return mkdtemp(root) != NULL;
}
/* The folder root of a test program, and the setup and teardown of its group. */
#define TREE_ROOT(name)                                                                                                \
    static char root[64];                                                                                              \
    static int setup(void **state) {                                                                                   \
        (void)state;                                                                                                   \
        return tree_make(root, name) ? 0 : -1;                                                                         \
    }                                                                                                                  \
    static int teardown(void **state) {                                                                                \
        (void)state;                                                                                                   \
        return tree_remove(root);                                                                                      \
    }
/* The path of a name in it; each stays for 15 more. */
static inline char *tree_at(const char *root, const char *name) {
    static char paths[16][160];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static inline int tree_count_one(const char *path, bool folder, void *context) {
    (void)path, (void)folder;
    ++*(int *)context;
    return 0;
}
static inline int tree_count(const char *path) {
    int count = 0;
    assert_int_equal(tree_walk(path, tree_count_one, &count), 0);
    return count;
}

typedef struct tree_loading {
    tree *t;
    size_t root;
} tree_loading;

static inline int tree_load_one(const char *path, bool folder, void *context) {
    tree_loading *l = context;
    l->t->files = realloc(l->t->files, (l->t->count + 1) * sizeof *l->t->files);
    assert_non_null(l->t->files);
    tree_file *file = &l->t->files[l->t->count++];
    *file = (tree_file){0};
    snprintf(file->name, sizeof file->name, "%s%s", path + l->root + 1, folder ? "/" : "");
    if (!folder) file->data = tree_read(path, &file->size);
    return 0;
}
static inline void tree_load(const char *path, tree *out) {
    *out = (tree){0};
    assert_int_equal(tree_walk(path, tree_load_one, &(tree_loading){out, strlen(path)}), 0);
}

static inline void tree_save(const tree *t, const char *path) {
    char inner[512];
    assert_int_equal(mkdir(path, 0777), 0);
    for (size_t i = t->count; i-- > 0;) { /* folders come after what is in them */
        snprintf(inner, sizeof inner, "%s/%s", path, t->files[i].name);
        if (!t->files[i].data) assert_int_equal(mkdir(inner, 0777), 0);
    }
    for (size_t i = 0; i < t->count; i++) {
        snprintf(inner, sizeof inner, "%s/%s", path, t->files[i].name);
        if (t->files[i].data) tree_write(inner, t->files[i].data, t->files[i].size);
    }
}

static inline void tree_free(tree *t) {
    for (size_t i = 0; i < t->count; i++) free(t->files[i].data);
    free(t->files);
    *t = (tree){0};
}

#endif
