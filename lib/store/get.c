/* Model files out of the store. */
#include "store/store.h"
#include "base/output.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static tn_status open_file(tn_store *s, const char *reference, tn_store_version *v, int *out_file) {
    tn_status status = TN_E_NOT_FOUND;
    uint64_t size;
    for (int i = 0; i < TN_STORE_TRIES && status == TN_E_NOT_FOUND; i++) {
        TN_TRY(tn_store_find(s, reference, v));
        status = tn_blob_open(s, v->file_digest, out_file, &size);
    }
    return status;
}

static tn_status copy(const tn_store *s, const tn_store_version *v, int file, tn_output *o) {
    char found[TN_STORE_DIGEST];
    tn_digester *digester = NULL;
    char *piece = tn_alloc(NULL, TN_STORE_PIECE);
    tn_status status = piece ? tn_digester_create(&digester) : TN_E_MEMORY;
    while (status == TN_OK) {
        ssize_t n = read(file, piece, TN_STORE_PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = tn_store_io_error(s, "read", v->file_digest);
        if (n <= 0) break;
        tn_digester_add(digester, piece, (size_t)n);
        tn_output_write(o, piece, (size_t)n);
        status = o->status;
    }
    if (digester) tn_digester_end(digester, found);
    if (piece) tn_free(NULL, piece, TN_STORE_PIECE);
    if (status == TN_OK && strcmp(found, v->file_digest) != 0)
        status = tn_fail(TN_E_FORMAT,
                         "the file of '%s:%s' in the store '%s' is damaged: its bytes have the digest %s, not %s; "
                         "tn_store_repair brings it back from another store",
                         v->name, v->version, s->path, found, v->file_digest);
    return status;
}

tn_status tn_store_get(tn_store *s, const char *reference, const char *path) {
    tn_store_version v;
    tn_output output;
    int file;
    TN_TRY(open_file(s, reference, &v, &file));
    tn_status status = tn_output_open(&output, path);
    if (status == TN_OK) {
        status = copy(s, &v, file, &output);
        if (status == TN_OK)
            status = tn_output_commit(&output);
        else
            tn_output_abort(&output);
    }
    close(file);
    return status;
}

static tn_status about_version(const tn_store *s, const tn_store_version *v, tn_status status) {
    return status == TN_OK ? TN_OK : tn_fail_context(status, "'%s:%s' of the store '%s'", v->name, v->version, s->path);
}

tn_status tn_version_open(tn_store *s, const char *reference, tn_opened *out) {
    TN_TRY(open_file(s, reference, &out->version, &out->file));
    tn_status status = tn_blob_check(s, out->version.file_digest, out->file);
    snprintf(out->path, sizeof out->path, "/proc/self/fd/%d", out->file);
    if (status != TN_OK) close(out->file);
    return about_version(s, &out->version, status);
}

tn_status tn_version_close(const tn_store *s, tn_opened *opened, tn_status status) {
    close(opened->file);
    return about_version(s, &opened->version, status);
}

tn_status tn_store_load(tn_store *s, const char *reference, const tn_model_options *options, tn_model **out_model) {
    tn_opened opened;
    *out_model = NULL;
    TN_TRY(tn_version_open(s, reference, &opened));
    return tn_version_close(s, &opened, tn_model_load(opened.path, options, out_model));
}
