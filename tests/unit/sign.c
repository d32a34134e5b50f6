/* Signatures of files: what is signed verifies, nothing else does. minisign itself on the same files:
 * tests/command/test_sign.py. */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tenon/sign.h>
#include "tree.h"

static char root[64];

static char *at(const char *name) {
    return tree_at(root, name);
}

static void assert_refused(tn_status status, tn_status expected, const char *part) {
    assert_int_equal(status, expected);
    if (!strstr(tn_last_error(), part)) fail_msg("'%s' does not say '%s'", tn_last_error(), part);
}

#if TN_WITH_SODIUM
#include "sign/sign.h"

/* Keys k and other, and a file longer than one piece, signed with k. */
static int setup(void **state) {
    (void)state;
    static uint8_t data[100000];
    if (!tree_make(root, "sign")) return -1;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 + i / 251);
    tree_write(at("file"), data, sizeof data);
    assert_ok(tn_sign_make_key(at("k.key"), at("k.pub"), NULL));
    assert_ok(tn_sign_make_key(at("other.key"), at("other.pub"), NULL));
    assert_ok(tn_sign_file(at("file"), at("k.key"), NULL));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

static void what_is_signed_verifies_and_says_its_comment(void **state) {
    (void)state;
    static tn_signature s = {.struct_size = sizeof s};
    size_t size;
    assert_ok(tn_sign_verify(at("file"), at("k.pub"), NULL, &s));
    assert_true(s.prehashed && strlen(s.key_id) > 8 && strstr(s.comment, "file:file"));
    tn_sign_options o = {.struct_size = sizeof o, .comment = "press 1.2.0, line 4", .signature = at("elsewhere")};
    assert_ok(tn_sign_file(at("file"), at("k.key"), &o));
    assert_ok(tn_sign_verify(at("file"), at("k.pub"), at("elsewhere"), &s));
    assert_string_equal(s.comment, "press 1.2.0, line 4");
    /* The public key's line alone. */
    char *text = tree_read(at("k.pub"), &size);
    text[size - 1] = 0;
    assert_ok(tn_sign_verify(at("file"), strrchr(text, '\n') + 1, NULL, NULL));
    free(text);
}

/* Each byte of the signature's file, and the first and last of the signed one. */
static void a_changed_byte_is_refused(void **state) {
    (void)state;
    size_t size;
    char *signature = tree_read(at("file.minisig"), &size);
    signature[size - 1] = 0;
    char *second = strchr(signature, '\n') + 1, *third = strchr(second, '\n') + 1;
    for (size_t i = (size_t)(second - signature); i < size - 1; i++) {
        char kept = signature[i];
        signature[i] = kept == 'A' ? 'B' : 'A';
        tree_write(at("changed"), signature, size);
        tn_status status = tn_sign_verify(at("file"), at("k.pub"), at("changed"), NULL);
        if (status != TN_E_CHECK && status != TN_E_FORMAT && status != TN_E_UNSUPPORTED)
            fail_msg("byte %zu of the signature: %d", i, (int)status);
        assert_true(tn_last_error()[0]);
        signature[i] = kept;
    }
    tree_write(at("short"), signature, (size_t)(third - signature));
    assert_refused(tn_sign_verify(at("file"), at("k.pub"), at("short"), NULL), TN_E_FORMAT, "third line");
    free(signature);

    char *data = tree_read(at("file"), &size);
    for (int i = 0; i < 2; i++) {
        data[i ? size - 1 : 0] ^= 1;
        tree_write(at("copy"), data, size);
        assert_refused(tn_sign_verify(at("copy"), at("k.pub"), at("file.minisig"), NULL), TN_E_CHECK, "changed");
        data[i ? size - 1 : 0] ^= 1;
    }
    tree_write(at("copy"), data, size - 1);
    assert_int_equal(tn_sign_verify(at("copy"), at("k.pub"), at("file.minisig"), NULL), TN_E_CHECK);
    free(data);
}

static void keys_are_told_apart_and_never_overwritten(void **state) {
    (void)state;
    struct stat info;
    assert_refused(tn_sign_verify(at("file"), at("other.pub"), NULL, NULL), TN_E_CHECK, "is signed with the key");
    assert_refused(tn_sign_make_key(at("k.key"), at("new.pub"), NULL), TN_E_STATE, "is there already");
    assert_refused(tn_sign_make_key(at("new.key"), at("k.pub"), NULL), TN_E_STATE, "is there already");
    assert_int_not_equal(stat(at("new.key"), &info), 0); /* and no half of a pair stays */
    assert_int_not_equal(stat(at("new.pub"), &info), 0);
    assert_int_equal(stat(at("k.key"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(chmod(at("other.key"), 0640), 0);
    assert_refused(tn_sign_file(at("file"), at("other.key"), NULL), TN_E_STATE, "chmod 600");
    assert_int_equal(chmod(at("other.key"), 0600), 0);
    assert_refused(tn_sign_file(at("file"), at("k.pub"), NULL), TN_E_STATE, "may be read by others");
    assert_refused(tn_sign_verify(at("file"), at("file"), NULL, NULL), TN_E_LIMIT, "at most");
    assert_refused(tn_sign_verify(at("file"), at("none.pub"), NULL, NULL), TN_E_NOT_FOUND, "none.pub");
    assert_refused(tn_sign_verify(at("none"), at("k.pub"), at("file.minisig"), NULL), TN_E_NOT_FOUND, "none");
    tn_sign_options o = {.struct_size = sizeof o, .comment = "two\nlines"};
    assert_refused(tn_sign_file(at("file"), at("k.key"), &o), TN_E_INVALID, "one line");
}

static void an_encrypted_key_wants_its_password(void **state) {
    (void)state;
    tn_sign_key_options k = {.struct_size = sizeof k, .password = "a plant's", .memory = 1 << 20};
    tn_sign_options o = {.struct_size = sizeof o, .signature = at("by e")};
    assert_ok(tn_sign_make_key(at("e.key"), at("e.pub"), &k));
    assert_refused(tn_sign_file(at("file"), at("e.key"), &o), TN_E_STATE, "password");
    o.password = "a plant";
    assert_refused(tn_sign_file(at("file"), at("e.key"), &o), TN_E_FORMAT, "the password is wrong");
    o.password = k.password;
    assert_ok(tn_sign_file(at("file"), at("e.key"), &o));
    assert_ok(tn_sign_verify(at("file"), at("e.pub"), o.signature, NULL));
    k.memory = (size_t)2 << 30;
    assert_refused(tn_sign_make_key(at("e2.key"), at("e2.pub"), &k), TN_E_INVALID, "1 GiB");
    /* A key whose password would take 2^60 bytes to try. */
    size_t size;
    tn_secret_key_file file;
    char *text = tree_read(at("e.key"), &size);
    assert_ok(tn_secret_key_parse("it", text, size, &file));
    free(text);
    file.memory = (uint64_t)1 << 60;
    text = tn_secret_key_text(&file);
    tree_write(at("huge.key"), text, strlen(text));
    tn_free(NULL, text, TN_SIGN_FILE_BYTES);
    assert_int_equal(chmod(at("huge.key"), 0600), 0);
    assert_refused(tn_sign_file(at("file"), at("huge.key"), &o), TN_E_LIMIT, "operations");
}

/* The streaming verification of the form of old says what libsodium's says, whatever of the three is changed. */
static void signatures_of_the_bytes_themselves_verify_as_libsodium_verifies_them(void **state) {
    (void)state;
    /* L, the order of the main subgroup: S + L is as good a number and must be refused (malleability). */
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                      0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    uint8_t key[32], secret[64], signature[64];
    size_t size;
    uint8_t *data = (uint8_t *)tree_read(at("file"), &size);
    int good = 0, bad = 0;
    for (int i = 0; i < 300; i++) {
        size_t n = i < 3 ? (size_t)i : (size_t)randombytes_uniform(i % 8 ? 200 : (uint32_t)size);
        crypto_sign_keypair(key, secret);
        crypto_sign_detached(signature, NULL, data, n, secret);
        if (i % 3 == 1) signature[randombytes_uniform(64)] ^= (uint8_t)(1u << randombytes_uniform(8));
        if (i % 15 == 2) key[randombytes_uniform(32)] ^= 1;
        if (i % 15 == 5) memset(signature, 0, 32), signature[0] = 1; /* R: the neutral element */
        if (i % 15 == 8) memset(key, 0, 32), key[0] = 1;
        if (i % 15 == 11) memset(signature + 32, 0, 32);
        if (i % 15 == 14)
            for (int b = 0, carry = 0; b < 32; b++) {
                carry += signature[32 + b] + order[b];
                signature[32 + b] = (uint8_t)carry;
                carry >>= 8;
            }
        tree_write(at("piece"), data, n);
        int theirs = crypto_sign_verify_detached(signature, data, n, key);
        assert_int_equal(tn_message_verify(at("piece"), signature, key), theirs == 0 ? TN_OK : TN_E_CHECK);
        good += theirs == 0;
        bad += theirs != 0;
    }
    assert_true(good == 100 && bad == 200);
    free(data);
}

static void comments_with_control_characters_are_refused(void **state) {
    (void)state;
    static char comment[TN_SIGN_COMMENT + 1];
    assert_true(tn_comment_is_fit("a\tb \xc3\xa9", 6));
    assert_false(tn_comment_is_fit("\x1b[2J", 4));
    assert_false(tn_comment_is_fit("a\0b", 3));
    memset(comment, 'x', TN_SIGN_COMMENT);
    assert_true(tn_comment_is_fit(comment, TN_SIGN_COMMENT - 1));
    assert_false(tn_comment_is_fit(comment, TN_SIGN_COMMENT));
    /* The longest there is, written and read. */
    comment[TN_SIGN_COMMENT - 1] = 0;
    tn_sign_options o = {.struct_size = sizeof o, .comment = comment, .signature = at("long")};
    static tn_signature s = {.struct_size = sizeof s};
    assert_ok(tn_sign_file(at("file"), at("k.key"), &o));
    assert_ok(tn_sign_verify(at("file"), at("k.pub"), o.signature, &s));
    assert_string_equal(s.comment, comment);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_verifies_and_says_its_comment),
        cmocka_unit_test(a_changed_byte_is_refused),
        cmocka_unit_test(keys_are_told_apart_and_never_overwritten),
        cmocka_unit_test(an_encrypted_key_wants_its_password),
        cmocka_unit_test(signatures_of_the_bytes_themselves_verify_as_libsodium_verifies_them),
        cmocka_unit_test(comments_with_control_characters_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
#else
static void a_library_without_libsodium_says_so(void **state) {
    (void)state;
    (void)at;
    assert_refused(tn_sign_file("file", "key", NULL), TN_E_UNSUPPORTED, "libsodium");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_library_without_libsodium_says_so)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
