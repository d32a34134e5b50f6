/* See disk.h. */
#include "unit/unit.h"
#include "tree.h"
#include "disk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>

enum { MOST_FILES = 1024, PATH_BYTES = 192 };
typedef enum event_kind { LINK, REMOVE, FOLDER, WRITE, TRUNCATE, FLUSH_FILE, FLUSH_FOLDER } event_kind;

struct disk_event {
    event_kind kind;
    int node;              /* of a file; nodes keep their numbers through renames */
    int goes_with;         /* REMOVE: the LINK of the same rename, which comes first; -1 */
    char path[PATH_BYTES]; /* below the root */
    size_t offset, size;
    char *data;
};

/* What an open descriptor is: of a file (node >= 0) or a folder. */
typedef struct handle {
    bool used;
    int node;
    char path[PATH_BYTES];
    size_t offset;
    bool append;
} handle;

typedef struct name {
    char path[PATH_BYTES];
    int node;
} name;

static char root[PATH_BYTES];
static bool recording;
static long fail_at = -1, calls;
static int fail_error, fail_for_ever;
static handle handles[MOST_FILES];
static name names[MOST_FILES];
static size_t name_count;
static int node_count;
static disk tape;

/* ---- recording ---- */
static disk_event *add_event(event_kind kind, const char *path, int node) {
    tape.events = realloc(tape.events, (tape.count + 1) * sizeof *tape.events);
    assert_non_null(tape.events);
    disk_event *e = &tape.events[tape.count++];
    *e = (disk_event){.kind = kind, .node = node, .goes_with = -1};
    snprintf(e->path, sizeof e->path, "%s", path);
    return e;
}

static name *find_name(const char *path) {
    for (size_t i = 0; i < name_count; i++)
        if (strcmp(names[i].path, path) == 0) return &names[i];
    return NULL;
}

static void set_name(const char *path, int node) {
    name *n = find_name(path);
    if (!n) {
        assert_true(name_count < MOST_FILES);
        n = &names[name_count++];
        snprintf(n->path, sizeof n->path, "%s", path);
    }
    n->node = node;
}

static void drop_name(const char *path) {
    name *n = find_name(path);
    if (n) *n = names[--name_count];
}

/* The path below the root ("" is the root itself), or false for what lies elsewhere. */
static bool below_root(int folder, const char *path, char out[PATH_BYTES]) {
    size_t length = strlen(root);
    if (!length) return false;
    if (path[0] == '/') {
        if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != 0)) return false;
        snprintf(out, PATH_BYTES, "%s", path[length] ? path + length + 1 : "");
        return true;
    }
    if (folder < 0 || folder >= MOST_FILES || !handles[folder].used) return false;
    const char *parent = handles[folder].path;
    if (strcmp(path, ".") == 0)
        snprintf(out, PATH_BYTES, "%s", parent);
    else
        assert_true(snprintf(out, PATH_BYTES, "%s%s%s", parent, *parent ? "/" : "", path) < PATH_BYTES);
    return true;
}

/* Whether this call, which would change something, is to fail instead. */
static bool refused(void) {
    long number = calls++;
    bool fails = fail_at >= 0 && (number == fail_at || (fail_for_ever && number > fail_at));
    if (fails) errno = fail_error;
    return fails;
}

static int open_any(int folder, const char *path, int flags, mode_t mode) {
    char inside[PATH_BYTES];
    bool watched = below_root(folder, path, inside), there = true;
    if (watched && (flags & O_CREAT)) {
        struct stat info;
        there = fstatat(folder, path, &info, AT_SYMLINK_NOFOLLOW) == 0;
        if (!there && refused()) return -1;
    }
    int file = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (file < 0 || !watched) return file;
    assert_true(file < MOST_FILES);
    handles[file] = (handle){.used = true, .node = -1, .append = flags & O_APPEND};
    snprintf(handles[file].path, PATH_BYTES, "%s", inside);
    if (!there) {
        set_name(inside, node_count);
        if (recording) add_event(LINK, inside, node_count);
        node_count++;
    }
    if (!(flags & O_DIRECTORY)) {
        const name *n = find_name(inside);
        handles[file].node = n ? n->node : -1;
    }
    return file;
}

static handle *handle_of(int file) {
    return file >= 0 && file < MOST_FILES && handles[file].used ? &handles[file] : NULL;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_any(folder, path, flags, mode);
}

int close(int file) {
    if (handle_of(file)) handles[file].used = false;
    return (int)syscall(SYS_close, file);
}

static void record_write(int node, size_t offset, const void *data, size_t size) {
    if (!recording) return;
    disk_event *e = add_event(WRITE, "", node);
    e->offset = offset;
    e->size = size;
    e->data = malloc(size + 1);
    assert_non_null(e->data);
    memcpy(e->data, data, size);
}

/* Large writes come in two, as they may on any disk. */
ssize_t write(int file, const void *data, size_t size) {
    handle *h = handle_of(file);
    if (!h) return syscall(SYS_write, file, data, size);
    if (refused()) return -1;
    if (size > 600) size -= size / 3;
    if (h->append) {
        struct stat info;
        assert_int_equal(fstat(file, &info), 0);
        h->offset = (size_t)info.st_size;
    }
    ssize_t n = syscall(SYS_write, file, data, size);
    if (n > 0) record_write(h->node, h->offset, data, (size_t)n);
    if (n > 0) h->offset += (size_t)n;
    return n;
}

int ftruncate(int file, off_t size) {
    handle *h = handle_of(file);
    if (h && refused()) return -1;
    int result = (int)syscall(SYS_ftruncate, file, size);
    if (h && recording && result == 0) add_event(TRUNCATE, "", h->node)->size = (size_t)size;
    return result;
}

int fsync(int file) {
    handle *h = handle_of(file);
    if (h && refused()) return -1;
    if (h && recording) add_event(h->node < 0 ? FLUSH_FOLDER : FLUSH_FILE, h->path, h->node);
    return h ? 0 : (int)syscall(SYS_fsync, file);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    char source[PATH_BYTES], target[PATH_BYTES];
    bool watched = below_root(from_folder, from, source) && below_root(to_folder, to, target);
    if (watched && refused()) return -1;
    int result = (int)syscall(SYS_renameat, from_folder, from, to_folder, to);
    if (!watched || result != 0) return result;
    int node = find_name(source)->node;
    drop_name(source);
    set_name(target, node);
    if (recording) {
        add_event(LINK, target, node);
        add_event(REMOVE, source, node)->goes_with = (int)tape.count - 2;
    }
    return result;
}

int rename(const char *from, const char *to) {
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int folder, const char *path, int flags) {
    char inside[PATH_BYTES];
    bool watched = below_root(folder, path, inside);
    if (watched && refused()) return -1;
    int result = (int)syscall(SYS_unlinkat, folder, path, flags);
    if (watched && result == 0) {
        drop_name(inside);
        if (recording) add_event(REMOVE, inside, -1);
    }
    return result;
}

int mkdirat(int folder, const char *path, mode_t mode) {
    char inside[PATH_BYTES];
    bool watched = below_root(folder, path, inside);
    if (watched && refused()) return -1;
    int result = (int)syscall(SYS_mkdirat, folder, path, mode);
    if (watched && recording && result == 0) add_event(FOLDER, inside, -1);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}

static void watch(const char *path) {
    name_count = 0;
    node_count = 0;
    calls = 0;
    snprintf(root, sizeof root, "%s", path);
}

/* What is there already is on the disk: it is made by events that were all flushed. */
void disk_record(const char *path) {
    tree t = {0};
    tape = (disk){0};
    watch("");
    if (access(path, F_OK) == 0) tree_load(path, &t);
    watch(path);
    recording = true;
    for (size_t i = t.count; i-- > 0;) {
        char *file = t.files[i].name, *end = file + strlen(file) - 1;
        if (*end == '/') {
            *end = 0;
            add_event(FOLDER, file, -1);
            add_event(FLUSH_FOLDER, "", -1);
            add_event(FLUSH_FOLDER, file, -1);
            continue;
        }
        set_name(file, node_count);
        add_event(LINK, file, node_count);
        record_write(node_count, 0, t.files[i].data, t.files[i].size);
        add_event(FLUSH_FILE, file, node_count++);
    }
    for (size_t i = 0; i < t.count; i++)
        if (!t.files[i].data) add_event(FLUSH_FOLDER, t.files[i].name, -1);
    add_event(FLUSH_FOLDER, "", -1);
    tree_free(&t);
    tape.first = tape.count;
}

void disk_stop(disk *out) {
    recording = false;
    root[0] = 0;
    *out = tape;
    tape = (disk){0};
}

void disk_free(disk *d) {
    for (size_t i = 0; i < d->count; i++) free(d->events[i].data);
    free(d->events);
    *d = (disk){0};
}

void disk_fail(const char *path, long at, int error, int for_ever) {
    watch(path);
    fail_at = at;
    fail_error = error;
    fail_for_ever = for_ever;
}

long disk_calls(void) {
    return calls;
}

/* ---- replaying ---- */
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

void disk_replay(const disk *d, size_t count, unsigned choice, const char *path) {
    tree_file *nodes = calloc(MOST_FILES, sizeof *nodes);
    bool *there = calloc(d->count + 1, sizeof *there);
    unsigned random = choice * 2654435761u + (unsigned)count;
    char inner[512];
    assert_true(nodes && there);
    name_count = 0;
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
        case LINK: set_name(e->path, e->node); break;
        case REMOVE: drop_name(e->path); break;
        case FOLDER: mkdir(inner, 0777); break; /* not there if its parent is not */
        case WRITE:
        case TRUNCATE: apply_bytes(&nodes[e->node], e, size); break;
        default: break;
        }
    }
    for (size_t i = 0; i < name_count; i++) {
        const tree_file *node = &nodes[names[i].node];
        snprintf(inner, sizeof inner, "%s/%.*s", path, PATH_BYTES, names[i].path);
        char *slash = strrchr(inner, '/');
        *slash = 0;
        bool parent = access(inner, F_OK) == 0;
        *slash = '/';
        if (parent) tree_write(inner, node->data ? node->data : "", node->size);
    }
    for (int i = 0; i < MOST_FILES; i++) free(nodes[i].data);
    free(nodes);
    free(there);
}
