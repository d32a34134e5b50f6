/* Fuzzing the reader of trust's metadata: any bytes, taken for each role, end in metadata or a sentence; what is taken can
 * be written canonically, and read back as the same. */
#include <stdlib.h>
#include <tenon/tenon.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#if TN_WITH_SODIUM && TN_WITH_JANSSON
#include "trust/trust.h"

static void use(tn_role role, const tn_metadata *m) {
    char *text;
    size_t size;
    json_t *again;
    if (m->version < 1 || strlen(m->expires) != 20) abort();
    if (role == TN_ROOT)
        for (int i = 0; i < TN_ROLES; i++) tn_metadata_verify(m, (tn_role)i, m);
    json_t *targets = json_object_get(m->body, "targets"), *target;
    const char *path;
    tn_store_channel_info c;
    if (role == TN_TARGETS) {
        json_object_foreach(targets, path, target) {
            if (!tn_channel_is_one(path, target) || tn_channel_read(path, target, &c) != TN_OK) continue;
            if (strlen(c.digest) != 71 || strchr(c.channel, '/') || c.counter < 1) abort();
        }
    }
    if (role != TN_ROOT && role != TN_TARGETS)
        tn_metadata_match(TN_TARGETS, m->text, m->size, tn_metadata_meta(m, "targets.json"));
    if (tn_canonical(m->body, &text, &size) != TN_OK) return; /* numbers with a point */
    if (tn_json_parse("it", text, size, &again) == TN_OK) {
        if (!json_equal(again, m->body)) abort();
        json_decref(again);
    }
    tn_store_free_text(text, size);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    for (int role = 0; role < TN_ROLES; role++) {
        tn_metadata m;
        if (tn_metadata_read((tn_role)role, (const char *)data, size, &m) != TN_OK) continue;
        use((tn_role)role, &m);
        tn_metadata_free(&m);
    }
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    (void)data, (void)size;
    return 0;
}
#endif
