/* Headers of deltas and of their blocks: see format.h. */
#include "delta/format.h"
#include "model/file.h"

static const uint8_t magic[8] = {0x89, 'T', 'N', 'D', '\r', '\n', 0x1a, '\n'};
enum { MAJOR = 1, MINOR = 0 };

/* The first four bytes of the SHA-256 of two pieces. */
static void check_of(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t check[4]) {
    tn_sha256 hash;
    uint8_t digest[TN_SHA256_BYTES];
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, a, a_size);
    tn_sha256_update(&hash, b, b_size);
    tn_sha256_final(&hash, digest);
    memcpy(check, digest, 4);
}

bool tn_delta_is_possible(uint64_t base_bytes, uint64_t result_bytes) {
    return result_bytes / TN_DELTA_RATIO <= base_bytes + (1u << 20) && base_bytes <= INT64_MAX &&
           result_bytes <= INT64_MAX;
}

void tn_delta_header_write(const tn_delta_header *h, uint8_t out[TN_DELTA_HEADER]) {
    memcpy(out, magic, sizeof magic);
    tn_put_little(out + 8, 2, MAJOR);
    tn_put_little(out + 10, 2, MINOR);
    tn_put_little(out + 16, 8, h->base_bytes);
    tn_put_little(out + 24, 8, h->result_bytes);
    memcpy(out + 32, h->base_digest, TN_SHA256_BYTES);
    memcpy(out + 64, h->result_digest, TN_SHA256_BYTES);
    check_of(out, 12, out + 16, TN_DELTA_HEADER - 16, out + 12);
}

tn_status tn_delta_header_read(const uint8_t *at, size_t size, tn_delta_header *out) {
    uint8_t check[4];
    if (memcmp(at, magic, TN_MIN(size, sizeof magic)) != 0)
        return tn_fail(TN_E_FORMAT, "no delta: it does not begin with the magic bytes");
    if (size < TN_DELTA_HEADER)
        return tn_fail(TN_E_INTERRUPTED, "it ends after %zu bytes, in its header; fetch the rest and go on", size);
    check_of(at, 12, at + 16, TN_DELTA_HEADER - 16, check);
    if (memcmp(check, at + 12, sizeof check) != 0)
        return tn_fail(TN_E_FORMAT, "the header's check is not that of the header: the delta is damaged");
    unsigned major = (unsigned)tn_get_little(at + 8, 2), minor = (unsigned)tn_get_little(at + 10, 2);
    if (major != MAJOR || minor != MINOR)
        return tn_fail(TN_E_UNSUPPORTED, "a delta of version %u.%u; this library reads version %d.%d", major, minor,
                       MAJOR, MINOR);
    out->base_bytes = tn_get_little(at + 16, 8);
    out->result_bytes = tn_get_little(at + 24, 8);
    memcpy(out->base_digest, at + 32, TN_SHA256_BYTES);
    memcpy(out->result_digest, at + 64, TN_SHA256_BYTES);
    if (!tn_delta_is_possible(out->base_bytes, out->result_bytes))
        return tn_fail(TN_E_LIMIT, "it says that %llu bytes become %llu, which is more than a delta may make of them",
                       (unsigned long long)out->base_bytes, (unsigned long long)out->result_bytes);
    return TN_OK;
}

void tn_delta_block_write(tn_delta_block *b, const uint8_t *steps, uint8_t out[TN_DELTA_BLOCK_HEADER]) {
    tn_put_little(out, 4, b->stored);
    tn_put_little(out + 4, 4, b->length);
    memcpy(out + 8, b->result_check, 4);
    check_of(out, 12, steps, b->stored, b->check);
    memcpy(out + 12, b->check, 4);
}

tn_status tn_delta_block_read(const uint8_t at[TN_DELTA_BLOCK_HEADER], uint64_t left, tn_delta_block *out) {
    out->stored = (uint32_t)tn_get_little(at, 4);
    out->length = (uint32_t)tn_get_little(at + 4, 4);
    memcpy(out->result_check, at + 8, 4);
    memcpy(out->check, at + 12, 4);
    if (out->stored > TN_DELTA_STORED || out->length > TN_DELTA_LENGTH || !out->length)
        return tn_fail(TN_E_FORMAT, "a block of %u bytes that makes %u; at most %u and 1 to %u are possible",
                       out->stored, out->length, TN_DELTA_STORED, TN_DELTA_LENGTH);
    if (out->length > left)
        return tn_fail(TN_E_FORMAT, "a block makes %u bytes, and %llu are still to come", out->length,
                       (unsigned long long)left);
    return TN_OK;
}

bool tn_delta_block_is_whole(const tn_delta_block *b, const uint8_t *steps) {
    uint8_t head[12], check[4];
    tn_put_little(head, 4, b->stored);
    tn_put_little(head + 4, 4, b->length);
    memcpy(head + 8, b->result_check, 4);
    check_of(head, sizeof head, steps, b->stored, check);
    return memcmp(check, b->check, sizeof check) == 0;
}
