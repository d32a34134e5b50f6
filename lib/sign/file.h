/* Files of keys and signatures, of whatever format. */
#ifndef TN_SIGN_FILE_H
#define TN_SIGN_FILE_H

#include "base/base.h"

/* Most of one: of minisign, comments of 1 KiB and 8 KiB and some base64; of PEM, a key. */
#define TN_SIGN_FILE_BYTES 16384

/* A small file, whole; its size in *out_size. `secret`: refused if others than its owner may read it. */
tn_status tn_sign_read_file(const char *path, bool secret, char text[TN_SIGN_FILE_BYTES], size_t *out_size);

#endif
