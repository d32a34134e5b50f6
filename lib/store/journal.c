/* Files on their way into the store. A staged file is whole and on the disk before it gets a name that means anything. */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The cleaner takes an unlocked file for one whose writer is gone. Between creating and locking it may be right. */
static bool still_there(int file) {
    struct stat info;
    return fstat(file, &info) == 0 && info.st_nlink > 0;
}

static tn_status open_staged(const tn_store *s, tn_staged *out) {
    static atomic_uint number;
    *out = (tn_staged){.file = -1};
    for (int tries = 0; tries < 100; tries++) {
        snprintf(out->name, sizeof out->name, "journal/%ld-%u.new", (long)getpid(), atomic_fetch_add(&number, 1));
        out->file = openat(s->folder, out->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (out->file < 0 && errno == EEXIST) continue;
        if (out->file >= 0 && flock(out->file, LOCK_SH) == 0 && still_there(out->file)) return TN_OK;
        if (out->file < 0) break;
        close(out->file);
        out->file = -1;
    }
    tn_status status = tn_store_io_error(s, "create", out->name);
    out->name[0] = 0;
    return status;
}

tn_status tn_stage_begin(const tn_store *s, tn_staged *out) {
    TN_TRY(open_staged(s, out));
    tn_status status = tn_digester_create(&out->digester);
    if (status != TN_OK) tn_staged_drop(s, out);
    return status;
}

tn_status tn_stage_add(const tn_store *s, tn_staged *staged, const void *data, size_t size) {
    const char *at = data;
    tn_digester_add(staged->digester, data, size);
    staged->size += size;
    while (size) {
        ssize_t n = write(staged->file, at, TN_MIN(size, (size_t)1 << 30));
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) return tn_store_io_error(s, "write", staged->name);
        at += n;
        size -= (size_t)n;
    }
    return TN_OK;
}

tn_status tn_stage_end(const tn_store *s, tn_staged *staged, tn_status status) {
    tn_digester_end(staged->digester, staged->digest);
    staged->digester = NULL;
    if (status == TN_OK && fsync(staged->file) != 0) status = tn_store_io_error(s, "flush", staged->name);
    if (status != TN_OK) tn_staged_drop(s, staged);
    return status;
}

/* ---- blobs that come in pieces: journal/HEX.part, held by one process at a time ---- */

/* What was opened may have become a blob since, under its other name: that is never to be written to. */
static bool is_named(const tn_store *s, const tn_staged *staged) {
    struct stat open_file, named;
    return fstat(staged->file, &open_file) == 0 && fstatat(s->folder, staged->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino && S_ISREG(named.st_mode);
}

/* *out_file of -1: another process is at it. */
static tn_status open_part(const tn_store *s, const char *digest, tn_staged *out) {
    *out = (tn_staged){.file = -1};
    snprintf(out->name, sizeof out->name, "journal/%.32s.part", digest + 7);
    for (int tries = 0; tries < 100; tries++) {
        out->file = openat(s->folder, out->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (out->file < 0) return tn_store_io_error(s, "open", out->name);
        bool held = flock(out->file, LOCK_EX | LOCK_NB) == 0;
        if (held && is_named(s, out)) return TN_OK;
        close(out->file);
        out->file = -1;
        if (!held) return TN_OK;
    }
    return TN_OK;
}

/* Bytes that are there go into the digest. */
static tn_status read_part(const tn_store *s, tn_staged *out) {
    char *piece = tn_alloc(NULL, TN_STORE_PIECE);
    tn_status status = piece ? TN_OK : TN_E_MEMORY;
    while (status == TN_OK) {
        ssize_t n = pread(out->file, piece, TN_STORE_PIECE, (off_t)out->size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = tn_store_io_error(s, "read", out->name);
        if (n <= 0) break;
        tn_digester_add(out->digester, piece, (size_t)n);
        out->size += (uint64_t)n;
    }
    if (piece) tn_free(NULL, piece, TN_STORE_PIECE);
    if (status == TN_OK && lseek(out->file, (off_t)out->size, SEEK_SET) < 0)
        status = tn_store_io_error(s, "read", out->name);
    return status;
}

tn_status tn_stage_resume(const tn_store *s, const char *digest, tn_staged *out) {
    TN_TRY(open_part(s, digest, out));
    if (out->file < 0) return tn_stage_begin(s, out);
    tn_status status = tn_digester_create(&out->digester);
    if (status == TN_OK) status = read_part(s, out);
    if (status != TN_OK) tn_staged_keep(s, out);
    return status;
}

tn_status tn_stage_restart(const tn_store *s, tn_staged *staged) {
    tn_digester *fresh;
    char ignored[TN_STORE_DIGEST];
    TN_TRY(tn_digester_create(&fresh));
    if (staged->digester) tn_digester_end(staged->digester, ignored);
    staged->digester = fresh;
    staged->size = 0;
    if (ftruncate(staged->file, 0) == 0 && lseek(staged->file, 0, SEEK_SET) == 0) return TN_OK;
    return tn_store_io_error(s, "empty", staged->name);
}

tn_status tn_stage_blob(const tn_store *s, const char *digest, uint64_t size, tn_staged *staged, tn_stage_fill *fill,
                        void *context, const char *from, uint64_t *resumed) {
    for (bool anew = false;; anew = true) {
        TN_TRY(tn_stage_resume(s, digest, staged));
        if (anew || staged->size > size) TN_TRY(tn_stage_restart(s, staged));
        uint64_t had = staged->size;
        TN_TRY(fill(context));
        TN_TRY(tn_stage_end(s, staged, TN_OK));
        if (strcmp(staged->digest, digest) == 0) {
            *resumed += had;
            return TN_OK;
        }
        char found[TN_STORE_DIGEST];
        memcpy(found, staged->digest, sizeof found);
        tn_staged_drop(s, staged);
        if (!had) return tn_fail(TN_E_FORMAT, "%s gives wrong bytes of %s: their digest is %s", from, digest, found);
    }
}

void tn_staged_keep(const tn_store *s, tn_staged *staged) {
    char ignored[TN_STORE_DIGEST];
    size_t length = strlen(staged->name);
    if (staged->digester) tn_digester_end(staged->digester, ignored);
    if (length > 5 && strcmp(staged->name + length - 5, ".part") == 0) staged->name[0] = 0;
    tn_staged_drop(s, staged);
}

tn_status tn_stage_bytes(const tn_store *s, const void *data, size_t size, tn_staged *out) {
    TN_TRY(tn_stage_begin(s, out));
    return tn_stage_end(s, out, tn_stage_add(s, out, data, size));
}

tn_status tn_stage_file(const tn_store *s, int file, const char *what, tn_staged *out) {
    TN_TRY(tn_stage_begin(s, out));
    char *piece = tn_alloc(NULL, TN_STORE_PIECE);
    tn_status status = piece ? TN_OK : TN_E_MEMORY;
    for (uint64_t at = 0; status == TN_OK;) {
        ssize_t n = pread(file, piece, TN_STORE_PIECE, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = tn_fail(TN_E_IO, "cannot read '%s': %s", what, strerror(errno));
        if (n <= 0) break;
        status = tn_stage_add(s, out, piece, (size_t)n);
        at += (uint64_t)n;
    }
    if (piece) tn_free(NULL, piece, TN_STORE_PIECE);
    return tn_stage_end(s, out, status);
}

tn_status tn_staged_place(const tn_store *s, tn_staged *staged) {
    char name[96];
    int there;
    uint64_t size;
    tn_blob_name(staged->digest, name);
    if (tn_blob_open(s, staged->digest, &there, &size) == TN_OK) {
        bool sound = size == staged->size && tn_blob_check(s, staged->digest, there) == TN_OK;
        close(there);
        if (sound) {
            tn_staged_drop(s, staged);
            return TN_OK;
        }
    }
    if (renameat(s->folder, staged->name, s->folder, name) != 0) return tn_store_io_error(s, "write", name);
    staged->name[0] = 0;
    tn_staged_drop(s, staged);
    return TN_OK;
}

tn_status tn_staged_replace(const tn_store *s, tn_staged *staged, const char *name) {
    if (renameat(s->folder, staged->name, s->folder, name) != 0) return tn_store_io_error(s, "write", name);
    staged->name[0] = 0;
    tn_staged_drop(s, staged);
    return tn_store_flush_folder(s, ".");
}

void tn_staged_drop(const tn_store *s, tn_staged *staged) {
    if (staged->name[0]) unlinkat(s->folder, staged->name, 0);
    if (staged->file >= 0) close(staged->file);
    *staged = (tn_staged){.file = -1};
}

static tn_status clean_one(const tn_store *s, const char *entry, void *context) {
    uint64_t *bytes = context;
    char name[300];
    struct stat info;
    snprintf(name, sizeof name, "journal/%s", entry);
    int file = openat(s->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return TN_OK; /* renamed meanwhile, or nothing of ours */
    if (flock(file, LOCK_EX | LOCK_NB) == 0 && fstat(file, &info) == 0 && unlinkat(s->folder, name, 0) == 0)
        *bytes += (uint64_t)info.st_size;
    close(file);
    return TN_OK;
}

tn_status tn_journal_clean(const tn_store *s, uint64_t *bytes) {
    return tn_store_each_file(s, "journal", clean_one, bytes);
}
