/* Files written whole or not at all: see output.h. Calls write(2) and its kin directly, where tests make them fail. */
#include "base/output.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (64u << 10)

static void fail(tn_output *o, const char *what) {
    if (o->status == TN_OK) o->status = tn_fail(TN_E_IO, "cannot %s '%s': %s", what, o->path, strerror(errno));
}

static void close_all(tn_output *o) {
    if (o->file >= 0) close(o->file);
    if (o->file >= 0 && o->temporary && !o->stays) unlink(o->temporary);
    size_t length = o->path ? strlen(o->path) : 0;
    tn_free(NULL, o->buffer, BUFFER_BYTES);
    tn_free(NULL, o->temporary, length + 32);
    tn_free(NULL, o->path, length + 1);
    *o = (tn_output){.file = -1, .status = o->status};
}

/* The mode of what is there, or of any new file; fails if what is there is no file that may be replaced. */
static tn_status mode_of(const char *path, mode_t *mode) {
    struct stat info;
    *mode = 0666;
    if (stat(path, &info) != 0) return TN_OK;
    if (!S_ISREG(info.st_mode)) return tn_fail(TN_E_IO, "cannot write '%s': it is there and no regular file", path);
    *mode = info.st_mode & 0777;
    return TN_OK;
}

/* Everything but the file. */
static tn_status begin(tn_output *o, const char *path, mode_t *mode) {
    size_t length = strlen(path);
    *o = (tn_output){.file = -1};
    TN_TRY(mode_of(path, mode));
    o->path = tn_alloc(NULL, length + 1);
    o->temporary = o->path ? tn_alloc(NULL, length + 32) : NULL;
    o->buffer = o->temporary ? tn_alloc(NULL, BUFFER_BYTES) : NULL;
    if (o->path) memcpy(o->path, path, length + 1);
    if (!o->buffer) o->status = TN_E_MEMORY;
    return TN_OK;
}

tn_status tn_output_open(tn_output *o, const char *path) {
    static atomic_uint number;
    mode_t mode;
    TN_TRY(begin(o, path, &mode));
    for (int tries = 0; o->status == TN_OK && o->file < 0; tries++) {
        snprintf(o->temporary, strlen(path) + 32, "%s.%ld-%u.tmp", path, (long)getpid(), atomic_fetch_add(&number, 1));
        o->file = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (o->file < 0 && (errno != EEXIST || tries == 100)) fail(o, "write");
    }
    if (o->status != TN_OK) close_all(o);
    return o->status;
}

/* Whether the name is FILE.PID-NUMBER.tmp, and nobody has that number. */
static bool is_left(const char *name, const char *file) {
    const size_t length = strlen(file);
    long process;
    unsigned number;
    int end = 0;
    if (strncmp(name, file, length) != 0 || sscanf(name + length, ".%9ld-%9u.tmp%n", &process, &number, &end) != 2)
        return false;
    return end && !name[length + (size_t)end] && process > 0 && kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

void tn_output_sweep(const char *path) {
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    char folder[4096];
    if (snprintf(folder, sizeof folder, "%.*s", slash ? (int)(file - path) : 1, slash ? path : ".") >=
        (int)sizeof folder)
        return;
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    while (entries && (entry = readdir(entries)))
        if (is_left(entry->d_name, file)) unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries) closedir(entries);
}

/* Opened, ours alone, and still under its name. */
static void open_part(tn_output *o, mode_t mode) {
    struct stat opened, named;
    o->file = open(o->temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
    if (o->file < 0 || fstat(o->file, &opened) != 0)
        fail(o, "write");
    else if (!S_ISREG(opened.st_mode))
        o->status = tn_fail(TN_E_IO, "cannot write '%s': it is no regular file", o->temporary);
    else if (flock(o->file, LOCK_EX | LOCK_NB) != 0 || stat(o->temporary, &named) != 0 ||
             named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
        o->status = tn_fail(TN_E_STATE, "another process writes '%s'", o->temporary);
}

tn_status tn_output_resume(tn_output *o, const char *path) {
    mode_t mode;
    TN_TRY(begin(o, path, &mode));
    o->stays = true;
    if (o->status == TN_OK) {
        snprintf(o->temporary, strlen(path) + 32, "%s.part", path);
        open_part(o, mode);
    }
    if (o->status != TN_OK) close_all(o);
    return o->status;
}

void tn_output_keep(tn_output *o, uint64_t size) {
    if (o->status != TN_OK) return;
    if (ftruncate(o->file, (off_t)size) != 0 || lseek(o->file, (off_t)size, SEEK_SET) < 0) fail(o, "write");
    o->position = size;
    o->used = 0;
}

static void write_all(tn_output *o, const uint8_t *data, size_t size) {
    while (size && o->status == TN_OK) {
        ssize_t n = write(o->file, data, TN_MIN(size, (size_t)1 << 30));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (n == 0) errno = ENOSPC;
            fail(o, "write");
            return;
        }
        data += n;
        size -= (size_t)n;
    }
}

static void flush(tn_output *o) {
    write_all(o, o->buffer, o->used);
    o->used = 0;
}

void tn_output_write(tn_output *o, const void *data, size_t size) {
    if (o->status != TN_OK || !size) return;
    o->position += size;
    if (size >= BUFFER_BYTES - o->used) flush(o);
    if (size >= BUFFER_BYTES) {
        write_all(o, data, size);
    } else {
        memcpy(o->buffer + o->used, data, size);
        o->used += size;
    }
}

void tn_output_align(tn_output *o, size_t alignment) {
    static const uint8_t zeros[64];
    for (size_t rest = (alignment - o->position % alignment) % alignment, n; rest && o->status == TN_OK; rest -= n) {
        n = TN_MIN(rest, sizeof zeros);
        tn_output_write(o, zeros, n);
    }
}

void tn_output_patch(tn_output *o, uint64_t offset, const void *data, size_t size) {
    if (o->status != TN_OK) return;
    flush(o);
    ssize_t n = o->status == TN_OK ? pwrite(o->file, data, size, (off_t)offset) : 0;
    if (o->status == TN_OK && (n < 0 || (size_t)n != size)) {
        if (n >= 0) errno = ENOSPC;
        fail(o, "write");
    }
}

tn_status tn_output_flush_folder(const char *path) {
    size_t length = strlen(path);
    char *own = tn_alloc(NULL, length + 1), *slash = own ? strrchr(memcpy(own, path, length + 1), '/') : NULL;
    if (!own) return TN_E_MEMORY;
    if (slash) slash[slash == own] = 0;
    int folder = open(slash ? own : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tn_free(NULL, own, length + 1);
    /* Some file systems cannot do it (EINVAL); there is no more to be had from them. */
    bool good = folder >= 0 && (fsync(folder) == 0 || errno == EINVAL || errno == EROFS);
    tn_status status = good ? TN_OK : tn_fail(TN_E_IO, "cannot flush the folder of '%s': %s", path, strerror(errno));
    if (folder >= 0) close(folder);
    return status;
}

tn_status tn_output_commit(tn_output *o) {
    if (o->status == TN_OK) flush(o);
    if (o->status == TN_OK && fsync(o->file) != 0) fail(o, "flush");
    if (o->status == TN_OK && rename(o->temporary, o->path) != 0) fail(o, "write");
    if (o->status == TN_OK) {
        close(o->file);
        o->file = -1;
        o->status = tn_output_flush_folder(o->path);
    }
    close_all(o);
    return o->status;
}

void tn_output_abort(tn_output *o) {
    close_all(o);
}
