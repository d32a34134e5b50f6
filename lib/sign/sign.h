/* Inside of signatures; their formats are in tenon/sign.h.
 *
 * A file of minisign is two or four lines; minisign.c takes them apart into these structs and writes them, key.c makes and
 * opens keys, sign.c signs and verifies, message.c is what is signed: a file, hashed piece by piece. */
#ifndef TN_SIGN_SIGN_H
#define TN_SIGN_SIGN_H

#include <sodium.h>
#include <tenon/sign.h>
#include "sign/file.h"

typedef struct tn_public_key {
    uint8_t id[8], key[32];
} tn_public_key;

/* As it stands in its file. */
typedef struct tn_secret_key_file {
    bool encrypted;
    uint8_t salt[32];
    uint64_t operations, memory;
    struct {
        uint8_t id[8], key[64], checksum[32];
    } body; /* 104 bytes */
} tn_secret_key_file;

typedef struct tn_signature_file {
    bool prehashed;
    uint8_t id[8], signature[64], global[64];
    char comment[TN_SIGN_COMMENT];
} tn_signature_file;

/* minisign.c: any text ends in a struct or in a sentence that names the file `what`. */
tn_status tn_public_key_parse(const char *what, const char *text, size_t size, tn_public_key *out);
bool tn_public_key_line(const char *line, tn_public_key *out); /* the base64 alone */
tn_status tn_secret_key_parse(const char *what, const char *text, size_t size, tn_secret_key_file *out);
tn_status tn_signature_parse(const char *what, const char *text, size_t size, tn_signature_file *out);
/* The texts; free them with tn_free(NULL, text, TN_SIGN_FILE_BYTES), the secret one wiped. NULL with a sentence if there
 * is no memory. */
char *tn_public_key_text(const tn_public_key *key);
char *tn_secret_key_text(const tn_secret_key_file *key);
char *tn_signature_text(const tn_signature_file *signature);
/* Whether a comment can stand in a line: no control characters but tabs, less than TN_SIGN_COMMENT bytes. */
bool tn_comment_is_fit(const char *text, size_t length);
void tn_key_id_text(const uint8_t id[8], char text[17]);

/* key.c */
typedef struct tn_sign_secret {
    uint8_t id[8], key[64];
} tn_sign_secret;
/* Reads and decrypts. Wipe *out afterwards. */
tn_status tn_sign_secret_load(const char *path, const char *password, tn_sign_secret *out);
tn_status tn_sign_public_load(const char *path_or_line, tn_public_key *out);

/* message.c: a file is read once, in pieces, for each. */
tn_status tn_message_hash(const char *file, uint8_t hash[64]);
/* Whether `signature` is that of the file's very bytes: TN_E_CHECK if not. */
tn_status tn_message_verify(const char *file, const uint8_t signature[64], const uint8_t key[32]);

#endif
