/* Blobs: files named by the digest of their bytes. */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void tn_blob_name(const char *digest, char name[96]) {
    snprintf(name, 96, "blobs/sha256/%.64s", digest + 7);
}

tn_status tn_blob_open(const tn_store *s, const char *digest, int *out_file, uint64_t *out_size) {
    char name[96];
    struct stat info;
    tn_blob_name(digest, name);
    *out_file = openat(s->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*out_file < 0) return tn_store_io_error(s, "open", name);
    if (fstat(*out_file, &info) == 0 && S_ISREG(info.st_mode)) {
        *out_size = (uint64_t)info.st_size;
        return TN_OK;
    }
    close(*out_file);
    *out_file = -1;
    return tn_fail(TN_E_IO, "'%s/%s' is no file", s->path, name);
}

tn_status tn_blob_check(const tn_store *s, const char *digest, int file) {
    char found[TN_STORE_DIGEST], name[96];
    tn_digester *digester = NULL;
    char *piece = tn_alloc(NULL, TN_STORE_PIECE);
    tn_status status = piece ? tn_digester_create(&digester) : TN_E_MEMORY;
    tn_blob_name(digest, name);
    for (off_t at = 0; status == TN_OK;) {
        ssize_t n = pread(file, piece, TN_STORE_PIECE, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = tn_store_io_error(s, "read", name);
        if (n <= 0) break;
        tn_digester_add(digester, piece, (size_t)n);
        at += n;
    }
    if (digester) tn_digester_end(digester, found);
    if (piece) tn_free(NULL, piece, TN_STORE_PIECE);
    if (status != TN_OK || strcmp(found, digest) == 0) return status;
    return tn_fail(TN_E_FORMAT, "'%s/%s' is damaged: its bytes have the digest %s", s->path, name, found);
}

bool tn_blob_is_sound(const tn_store *s, const char *digest, const uint64_t *size) {
    int file;
    uint64_t found;
    if (tn_blob_open(s, digest, &file, &found) != TN_OK) return false;
    bool sound = (!size || found == *size) && tn_blob_check(s, digest, file) == TN_OK;
    close(file);
    return sound;
}

tn_status tn_blob_json(const tn_store *s, const char *digest, json_t **out_json) {
    char name[96], found[TN_STORE_DIGEST], *text;
    size_t size;
    *out_json = NULL;
    tn_blob_name(digest, name);
    TN_TRY(tn_store_read(s, name, TN_STORE_JSON_BYTES, &text, &size));
    tn_digest_of(text, size, found);
    tn_status status = strcmp(found, digest) == 0 ? tn_json_parse(name, text, size, out_json)
                                                  : tn_fail(TN_E_FORMAT,
                                                            "'%s/%s' is damaged: its bytes have the "
                                                            "digest %s",
                                                            s->path, name, found);
    tn_store_free_text(text, size);
    return status;
}
