/* Fuzzing the readers of minisign's files: any bytes, taken for each kind, end in a struct or a sentence; what is taken is
 * written, and read back as the same. */
#include <stdlib.h>
#include <tenon/tenon.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#if TN_WITH_SODIUM
#include "sign/sign.h"

static void same(bool same) {
    if (!same) abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    const char *text = (const char *)data;
    static tn_signature_file s, s2;
    tn_public_key p, p2;
    tn_secret_key_file k, k2;
    char *again;
    if (tn_signature_parse("it", text, size, &s) == TN_OK && (again = tn_signature_text(&s))) {
        same(tn_signature_parse("it", again, strlen(again), &s2) == TN_OK && s.prehashed == s2.prehashed &&
             memcmp(s.id, s2.id, 8) == 0 && memcmp(s.signature, s2.signature, 64) == 0 &&
             memcmp(s.global, s2.global, 64) == 0 && strcmp(s.comment, s2.comment) == 0);
        tn_free(NULL, again, TN_SIGN_FILE_BYTES);
    }
    if (tn_public_key_parse("it", text, size, &p) == TN_OK && (again = tn_public_key_text(&p))) {
        same(tn_public_key_parse("it", again, strlen(again), &p2) == TN_OK && memcmp(&p, &p2, sizeof p) == 0);
        tn_free(NULL, again, TN_SIGN_FILE_BYTES);
    }
    if (tn_secret_key_parse("it", text, size, &k) == TN_OK && (again = tn_secret_key_text(&k))) {
        same(tn_secret_key_parse("it", again, strlen(again), &k2) == TN_OK && k.encrypted == k2.encrypted &&
             (!k.encrypted || (k.operations == k2.operations && k.memory == k2.memory)) &&
             memcmp(&k.body, &k2.body, sizeof k.body) == 0);
        tn_free(NULL, again, TN_SIGN_FILE_BYTES);
    }
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    (void)data, (void)size;
    return 0;
}
#endif
