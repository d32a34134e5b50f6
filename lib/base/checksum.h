/* XXH64 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md): 64 bits that tell whether bytes were damaged, at the speed
 * of memory. It is no guard against those who mean to forge: SHA-256 is. */
#ifndef TN_CHECKSUM_H
#define TN_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t tn_checksum(const void *data, size_t size);

#endif
