/* Digests of data files. See digest.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "data/digest.h"

tn_status tn_data_hash(const char *path, tn_sha256 *hash) {
    char buffer[16384];
    ssize_t n;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return tn_fail(TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    while ((n = read(file, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0) tn_sha256_update(hash, buffer, (size_t)n);
    tn_status status = n < 0 ? tn_fail(TN_E_IO, "cannot read '%s': %s", path, strerror(errno)) : TN_OK;
    close(file);
    return status;
}

void tn_data_digest_text(tn_sha256 *hash, char *text) {
    uint8_t digest[TN_SHA256_BYTES];
    tn_sha256_final(hash, digest);
    memcpy(text, "sha256:", 7);
    tn_sha256_text(digest, text + 7);
}

tn_status tn_data_digest(const char *path, char *text) {
    tn_sha256 hash;
    tn_sha256_init(&hash);
    TN_TRY(tn_data_hash(path, &hash));
    tn_data_digest_text(&hash, text);
    return TN_OK;
}
