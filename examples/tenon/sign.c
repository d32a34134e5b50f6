/* tenon keygen, sign, verify: signatures of single files. */
#include <stdlib.h>
#include <string.h>
#include "tool.h"

/* The first line of the file, to be freed; NULL in *out if none is asked for. */
static bool read_password(const settings *s, char **out) {
    void *text;
    size_t size;
    *out = NULL;
    if (!s->password) return true;
    if (!file_read(s->password, &text, &size)) return false;
    *out = tool_alloc(size + 1, 1);
    memcpy(*out, text, size);
    memset(text, 0, size);
    free(text);
    (*out)[strcspn(*out, "\r\n")] = 0;
    if (**out) return true;
    complain("%s: its first line is empty, which is no password", s->password);
    free(*out);
    return false;
}

static int finish(const settings *s, const char *what, tn_status status, const tn_signature *found) {
    if (s->json) {
        json j = json_open(stdout);
        emit_object(&j, NULL);
        emit_text(&j, "file", what);
        if (status == TN_OK && found) {
            emit_text(&j, "key", found->key_id);
            emit_text(&j, "comment", found->comment);
        }
        emit_text(&j, "error", status == TN_OK ? NULL : tn_last_error());
        emit_end(&j);
    } else if (status != TN_OK) {
        complain_status(what, status);
    }
    return status == TN_OK ? EXIT_OK : EXIT_FAILED;
}

static bool join(char path[4096], const char *name, const char *ending) {
    if (snprintf(path, 4096, "%s%s", name, ending) < 4096) return true;
    complain("the name is longer than a path can be");
    return false;
}

int keygen_command(const settings *s) {
    char secret[4096], public_key[4096], *password;
    if (!join(secret, s->model, ".key") || !join(public_key, s->model, ".pub")) return EXIT_USAGE;
    if (!read_password(s, &password)) return EXIT_FAILED;
    tn_sign_key_options o = {.struct_size = sizeof o, .password = password};
    tn_status status = tn_sign_make_key(secret, public_key, &o);
    free(password);
    if (status == TN_OK && !s->json) printf("%s signs; %s verifies, and may be known to all\n", secret, public_key);
    return finish(s, secret, status, NULL);
}

int sign_command(const settings *s) {
    char *password, path[4096];
    if (!s->key) {
        complain("sign with which key? --key FILE; tenon keygen makes one");
        return EXIT_USAGE;
    }
    const char *ending = s->signature ? "" : s->bundle ? ".sigstore.json" : ".minisig";
    if (!join(path, s->signature ? s->signature : s->model, ending)) return EXIT_USAGE;
    if (!read_password(s, &password)) return EXIT_FAILED;
    tn_sign_options o = {.struct_size = sizeof o, .password = password, .signature = path, .comment = s->comment};
    tn_status status = s->bundle ? tn_sign_bundle(s->model, s->key, &o) : tn_sign_file(s->model, s->key, &o);
    free(password);
    if (status == TN_OK && !s->json) printf("%s signs %s\n", path, s->model);
    return finish(s, s->model, status, NULL);
}

int verify_command(const settings *s) {
    static tn_signature found = {.struct_size = sizeof found};
    if (!s->public_key) {
        complain("verify with which key? --public KEY");
        return EXIT_USAGE;
    }
    tn_status status = tn_sign_verify(s->model, s->public_key, s->signature, &found);
    if (status == TN_OK && !s->json)
        printf("%s is what the key %s signed: %s\n", s->model, found.key_id, found.comment);
    return finish(s, s->model, status, &found);
}
