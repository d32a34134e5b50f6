/* The calls that a program makes, on their way to the system: recorded, or made to fail. See disk.h. */
#include "unit/unit.h"
#include "tree.h"
#include "disk_event.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>

/* What an open descriptor is: of a file (node >= 0) or a folder. */
typedef struct handle {
    bool used;
    int node;
    char path[PATH_BYTES];
    size_t offset;
    bool append;
} handle;

static char root[PATH_BYTES];
static bool recording;
static long fail_at = -1, calls;
static int fail_error, fail_for_ever;
static handle handles[MOST_FILES];
static disk_names names;
static int node_count;
static disk tape;

static disk_event *add_event(event_kind kind, const char *path, int node) {
    tape.events = realloc(tape.events, (tape.count + 1) * sizeof *tape.events);
    assert_non_null(tape.events);
    disk_event *e = &tape.events[tape.count++];
    *e = (disk_event){.kind = kind, .node = node, .goes_with = -1};
    snprintf(e->path, sizeof e->path, "%s", path);
    return e;
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
        disk_names_set(&names, inside, node_count);
        if (recording) add_event(LINK, inside, node_count);
        node_count++;
    }
    if (!(flags & O_DIRECTORY)) {
        const disk_name *n = disk_names_find(&names, inside);
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
    int node = disk_names_find(&names, source)->node;
    disk_names_drop(&names, source);
    disk_names_set(&names, target, node);
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
        disk_names_drop(&names, inside);
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
    names.count = 0;
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
        disk_names_set(&names, file, node_count);
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
