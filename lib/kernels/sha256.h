/* SHA-256 (FIPS 180-4): what names the contents of files.
 *
 * Written here and not taken from a library: the freestanding core checks files as well and links with none, and a model
 * is hashed at the speed of memory only where the CPU's SHA instructions are used, which libsodium does not. */
#ifndef TN_SHA256_H
#define TN_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TN_SHA256_BYTES 32

typedef struct tn_sha256 {
    uint32_t state[8];
    uint64_t size; /* bytes so far */
    uint8_t block[64];
} tn_sha256;

void tn_sha256_init(tn_sha256 *hash);
void tn_sha256_update(tn_sha256 *hash, const void *data, size_t size);
void tn_sha256_final(tn_sha256 *hash, uint8_t digest[TN_SHA256_BYTES]);
void tn_sha256_of(const void *data, size_t size, uint8_t digest[TN_SHA256_BYTES]);
/* Lower-case, zero-terminated. */
void tn_sha256_text(const uint8_t digest[TN_SHA256_BYTES], char text[2 * TN_SHA256_BYTES + 1]);

/* The loop over whole blocks of 64 bytes: in plain C, and as this CPU does it best. */
typedef void tn_sha256_blocks(uint32_t state[8], const uint8_t *data, size_t blocks);
tn_sha256_blocks tn_sha256_scalar;
tn_sha256_blocks *tn_sha256_best(void);

#endif
