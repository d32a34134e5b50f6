/* What says which data it was: sha256:HEX of a file's bytes. */
#ifndef TN_DATA_DIGEST_H
#define TN_DATA_DIGEST_H

#include "kernels/sha256.h"
#include "base/base.h"

#define TN_DIGEST_TEXT (7 + 2 * TN_SHA256_BYTES + 1)

tn_status tn_data_hash(const char *path, tn_sha256 *hash);
/* text: TN_DIGEST_TEXT bytes. */
void tn_data_digest_text(tn_sha256 *hash, char *text);
/* Of one file. */
tn_status tn_data_digest(const char *path, char *text);

#endif
