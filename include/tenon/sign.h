/* Signatures of single files, in minisign's formats: who has a public key can tell, without a store and without a network,
 * that a file is what the owner of the secret key signed, byte for byte.
 *
 *     tn_sign_make_key("press.key", "press.pub", NULL);
 *     tn_sign_file("press.tenon", "press.key", NULL);                 // writes press.tenon.minisig
 *     // elsewhere, with press.pub from a safe place
 *     tn_sign_verify("press.tenon", "press.pub", NULL, &signature);
 *
 * Files and keys are those of minisign (jedisct1.github.io/minisign): `minisign -V` verifies what this library signs, and
 * this library verifies what minisign signs, in the prehashed form ("ED", the only one that is written) and in the one of
 * old ("Ed").
 *
 *     public key   untrusted comment: TEXT
 *                  base64("Ed", key id [8], Ed25519 public key [32])
 *     signature    untrusted comment: TEXT
 *                  base64("ED", key id [8], Ed25519 of the file's BLAKE2b-512 [64])      "Ed": Ed25519 of the file itself
 *                  trusted comment: TEXT
 *                  base64(Ed25519 of the signature's 64 bytes and the trusted comment [64])
 *     secret key   untrusted comment: TEXT
 *                  base64("Ed", "Sc" or zeros, "B2", salt [32], operations [8], memory [8],
 *                         key id [8], Ed25519 secret key [64], BLAKE2b-256 of "Ed", key id and secret key [32])
 *                  the last 104 bytes XOR scrypt(password), if it is encrypted; no checksum, if it is not
 *
 * A file of any size is read once, in pieces of 64 KiB; no more memory is needed for a large one. What is verified is what
 * was read: whoever opens the file afterwards relies on nobody writing to it in between. To publish many versions with
 * expiry, thresholds and rollback, use tenon/trust.h; the two go together.
 *
 * Thread-safety: functions may be called by any number of threads at once, for different outputs. A library built without
 * libsodium answers TN_E_UNSUPPORTED. */
#ifndef TENON_SIGN_H
#define TENON_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <tenon/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TN_SIGN_COMMENT 8193 /* bytes of the longest trusted comment, with its zero */

typedef struct tn_sign_key_options {
    size_t struct_size;
    const char *password; /* encrypts the secret key; NULL: whoever reads its file can sign */
    size_t memory;        /* bytes that it takes to try a password, 1 MiB to 1 GiB (0: 1 GiB, as minisign) */
} tn_sign_key_options;
/* Makes a pair of keys: the secret one, of mode 0600, and the public one. Neither file may be there yet. Options may be
 * NULL. */
TN_API tn_status tn_sign_make_key(const char *secret_file, const char *public_file, const tn_sign_key_options *options);

typedef struct tn_sign_options {
    size_t struct_size;
    const char *password;  /* of an encrypted secret key */
    const char *signature; /* the file to write; NULL: the signed one's name and ".minisig" */
    const char
        *comment; /* the trusted comment, one line; NULL: the time and the file's name, as minisign writes them */
} tn_sign_options;
/* Signs a file. A signature that is there already is replaced. TN_E_STATE if others than its owner may read the secret
 * key, or if it wants a password and none is given; TN_E_FORMAT if the password is wrong. Options may be NULL. */
TN_API tn_status tn_sign_file(const char *file, const char *secret_file, const tn_sign_options *options);

typedef struct tn_signature {
    size_t struct_size; /* set by the caller */
    char key_id[17];    /* as minisign writes it: a number, hexadecimal */
    char comment[TN_SIGN_COMMENT];
    bool prehashed;
} tn_signature;
/* Whether the owner of `public_key` signed the file: TN_OK if so. A public key is a file, or the line itself (56 characters
 * that begin with "RW"). `signature` NULL: the file's name and ".minisig". TN_E_CHECK if the signature is another file's or
 * another key's; TN_E_FORMAT if it is no signature. The trusted comment is signed too; it has no control characters but
 * tabs. *out_signature may be NULL, and is filled only with TN_OK. */
TN_API tn_status tn_sign_verify(const char *file, const char *public_key, const char *signature,
                                tn_signature *out_signature);

/* Signs a file for verifiers of the OpenSSF Model Signing specification 1.0, such as PyPI's model-signing:
 *
 *     openssl ecparam -name prime256v1 -genkey -noout -out press.pem     and:  openssl ec -in press.pem -pubout
 *     tn_sign_bundle("press.tenon", "press.pem", NULL);              // writes press.tenon.sigstore.json
 *     model_signing verify key press.tenon --signature press.tenon.sigstore.json --public_key press.pub.pem
 *
 * The key is a private one on the curve P-256 in PEM, as OpenSSL writes it. Options may be NULL; they have no comment. A
 * library built without OpenSSL answers TN_E_UNSUPPORTED. */
TN_API tn_status tn_sign_bundle(const char *file, const char *secret_file, const tn_sign_options *options);

#ifdef __cplusplus
}
#endif
#endif
