/* SHA-256: the examples of FIPS 180 and of NIST, sizes around a block's end, and the CPU's instructions against plain C. */
#include "unit.h"
#include <stdlib.h>
#include "kernels/sha256.h"

static void check(const void *data, size_t size, const char *expected) {
    uint8_t digest[TN_SHA256_BYTES];
    char text[2 * TN_SHA256_BYTES + 1];
    tn_sha256_of(data, size, digest);
    tn_sha256_text(digest, text);
    assert_string_equal(text, expected);
}

static void digests_are_those_of_the_standard(void **state) {
    (void)state;
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    check("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(two, 56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void pieces_of_any_size_give_the_digest_of_the_whole(void **state) {
    (void)state;
    uint8_t data[300], whole[TN_SHA256_BYTES], parts[TN_SHA256_BYTES];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7);
    for (size_t size = 0; size <= sizeof data; size++)
        for (size_t cut = 1; cut < 130; cut += 21) {
            tn_sha256 hash;
            tn_sha256_init(&hash);
            for (size_t at = 0; at < size; at += cut) tn_sha256_update(&hash, data + at, TN_MIN(cut, size - at));
            tn_sha256_final(&hash, parts);
            tn_sha256_of(data, size, whole);
            assert_memory_equal(parts, whole, sizeof whole);
        }
}

static void the_cpus_instructions_match_scalar(void **state) {
    (void)state;
    uint8_t data[64 * 9];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    for (size_t blocks = 0; blocks <= 9; blocks++) {
        uint32_t a[8], b[8];
        for (int i = 0; i < 8; i++) a[i] = b[i] = 0x9e3779b9u * (uint32_t)(i + 1);
        tn_sha256_scalar(a, data, blocks);
        tn_sha256_best()(b, data, blocks);
        assert_memory_equal(a, b, sizeof a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_the_standard),
        cmocka_unit_test(pieces_of_any_size_give_the_digest_of_the_whole),
        cmocka_unit_test(the_cpus_instructions_match_scalar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
