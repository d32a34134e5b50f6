/* Changes of the index, one at a time; see store.h for how they become durable. */
#include "trust/trust.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>

/* The log's newest line, in the index. */
#define NEWEST "org.tenon.audit"

static tn_status compare_log(const tn_store *s, bool *out_behind) {
    const char *line = tn_json_annotation(s->index, NEWEST);
    char newest[TN_STORE_DIGEST], last[TN_STORE_DIGEST], previous[TN_STORE_DIGEST];
    uint64_t number, wanted;
    *out_behind = false;
    TN_TRY(tn_audit_tail(s, &number, last, NULL));
    if (!*line && number == 0) return TN_OK;
    tn_digest_of(line, strlen(line), newest);
    if (strcmp(newest, last) == 0) return TN_OK;
    *out_behind = *line && tn_audit_place(line, &wanted, previous) == TN_OK && wanted == number + 1 &&
                  strcmp(previous, last) == 0;
    if (*out_behind) return TN_OK;
    return tn_fail(TN_E_FORMAT, "the index and the log of '%s' do not belong together; tn_store_repair mends that",
                   s->path);
}

tn_status tn_change_check(const tn_store *s) {
    bool behind;
    return compare_log(s, &behind);
}

tn_status tn_change_mend(const tn_store *s) {
    bool behind;
    TN_TRY(tn_audit_cut(s));
    TN_TRY(compare_log(s, &behind));
    return behind ? tn_audit_append(s, tn_json_annotation(s->index, NEWEST)) : TN_OK;
}

tn_status tn_store_lock(const tn_store *s, bool shared) {
    if (shared && s->lock < 0) return TN_OK; /* of a store that may only be read; nobody writes to it */
    while (flock(s->lock, shared ? LOCK_SH : LOCK_EX) != 0)
        if (errno != EINTR) return tn_store_io_error(s, "lock", "lock");
    return TN_OK;
}

tn_status tn_change_begin(tn_store *s) {
    TN_TRY(tn_store_lock(s, false));
    tn_status status = tn_index_read(s);
    if (status == TN_OK) status = tn_change_mend(s);
    if (status == TN_OK) status = tn_trust_mend(s);
    if (status != TN_OK) tn_change_end(s);
    return status;
}

tn_status tn_change_commit(tn_store *s, const char *action, const tn_store_version *v) {
    char last[TN_STORE_DIGEST], *line, *text;
    uint64_t number;
    tn_staged staged;
    TN_TRY(tn_audit_tail(s, &number, last, NULL));
    TN_TRY(tn_audit_line(number + 1, last, action, v, &line));
    json_t *annotations = json_object_get(s->index, "annotations");
    if (!annotations) {
        annotations = json_object();
        json_object_set_new(s->index, "annotations", annotations);
    }
    tn_status status = json_object_set_new(annotations, NEWEST, json_string(line)) == 0
                           ? TN_OK
                           : tn_fail(TN_E_MEMORY, "no memory for the index");
    text = status == TN_OK ? tn_json_dump(s->index) : NULL;
    if (status == TN_OK && !text) status = TN_E_MEMORY;
    if (status == TN_OK) status = tn_stage_bytes(s, text, strlen(text), &staged);
    if (status == TN_OK) {
        status = tn_staged_replace(s, &staged, "index.json");
        tn_staged_drop(s, &staged);
    }
    if (status == TN_OK) status = tn_audit_append(s, line);
    if (status == TN_OK) status = tn_index_list(s);
    free(text);
    free(line);
    return status;
}

void tn_change_end(tn_store *s) {
    if (s->lock >= 0) flock(s->lock, LOCK_UN);
}
