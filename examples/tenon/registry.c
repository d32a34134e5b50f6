/* tenon store push, pull, follow: versions to and from registries. */
#include "store.h"
#include <stdlib.h>
#include <string.h>

/* Where others see command lines, names and passwords stand elsewhere: --user @FILE (its first line), --user NAME with the
 * password in TENON_PASSWORD, or all of it in TENON_USER. */
bool read_user(const user_source *from, char *text, size_t size, const char **out_user) {
    const char *user = from->given ? from->given : getenv(from->variable), *password = getenv(from->password_variable);
    int n = 0;
    *out_user = NULL;
    if (!user || !*user) return true;
    if (user[0] == '@') {
        FILE *file = fopen(user + 1, "r");
        if (!file || !fgets(text, (int)size, file)) {
            complain("%s: cannot read '%s'", from->option, user + 1);
            if (file) fclose(file);
            return false;
        }
        fclose(file);
        text[strcspn(text, "\r\n")] = 0;
    } else if (strchr(user, ':') || !password) {
        n = snprintf(text, size, "%s", user);
    } else {
        n = snprintf(text, size, "%s:%s", user, password);
    }
    if (n >= (int)size || !strchr(text, ':')) {
        complain("%s wants NAME:PASSWORD, @FILE with that in its first line, or NAME with %s set", from->option,
                 from->password_variable);
        return false;
    }
    *out_user = text;
    return true;
}

/* On a terminal only. */
static bool show_progress(void *context, uint64_t done, uint64_t total) {
    const call *c = context;
    char bar[31];
    int filled = total ? (int)(done * 30 / total) : 0;
    memset(bar, ' ', sizeof bar);
    memset(bar, '=', (size_t)filled);
    bar[30] = 0;
    progress(c->s, "[%s] %.1f of %.1f MB", bar, (double)done / 1e6, (double)total / 1e6);
    return true; /* Ctrl-C ends the program: what is there stays for the next one */
}

static void show_result(const call *c, const tn_registry_result *r) {
    if (!c->j) {
        printf("%s  %d blobs moved, %d were there, %llu bytes%s\n", r->digest, r->blobs, r->skipped,
               (unsigned long long)r->bytes, r->deltas ? ", with deltas" : "");
        return;
    }
    emit_int(c->j, "blobs", r->blobs);
    emit_int(c->j, "skipped", r->skipped);
    emit_int(c->j, "bytes", (int64_t)r->bytes);
    emit_int(c->j, "resumed", (int64_t)r->resumed);
    emit_int(c->j, "deltas", r->deltas);
}

/* Options for the library, and what a verb does with them. */
static tn_status with_options(call *c, tn_status (*go)(call *c, const tn_registry_options *o)) {
    char user[1024];
    tn_registry_options o = {.struct_size = sizeof o,
                             .ca_file = c->s->ca,
                             .plain_http = c->s->plain_http,
                             .bytes_per_second = (uint64_t)c->s->limit_rate,
                             .most_bytes = (uint64_t)c->s->most,
                             .progress = show_progress,
                             .context = c};
    const user_source from = {"--user", c->s->user, "TENON_USER", "TENON_PASSWORD"};
    if (!read_user(&from, user, sizeof user, &o.user)) return TN_E_INVALID;
    tn_status status = go(c, &o);
    memset(user, 0, sizeof user);
    progress(c->s, NULL);
    return status;
}

static tn_status go_push(call *c, const tn_registry_options *o) {
    tn_registry_result r = {.struct_size = sizeof r};
    tn_status status = tn_store_push(c->store, c->first, c->second, o, &r);
    progress(c->s, NULL);
    if (status != TN_OK) return status;
    if (c->j) emit_text(c->j, "digest", r.digest);
    show_result(c, &r);
    announce(c, c->first);
    return TN_OK;
}

static tn_status go_pull(call *c, const tn_registry_options *o) {
    tn_store_version v;
    tn_registry_result r = {.struct_size = sizeof r};
    tn_status status = tn_store_pull(c->store, c->first, o, &v, &r);
    progress(c->s, NULL);
    if (status != TN_OK) return status;
    show_version(c, &v);
    show_result(c, &r);
    return TN_OK;
}

/* Tells of versions that were not told of before. */
static tn_status look(call *c, const tn_registry_options *o) {
    static char told[TN_STORE_DIGEST];
    tn_store_version v;
    tn_status status = tn_store_follow(c->store, c->first, c->second, c->third, o, &v);
    progress(c->s, NULL);
    if (status != TN_OK || strcmp(told, v.digest) == 0) return status;
    show_version(c, &v);
    memcpy(told, v.digest, sizeof told);
    return status;
}

static tn_status go_follow(call *c, const tn_registry_options *o) {
    if (c->s->mqtt || c->s->every > 0) return stay(c, look, o);
    if (!c->s->window) return look(c, o);
    complain("--window is for what goes on: --every or --mqtt");
    return TN_E_INVALID;
}

static tn_status go_fetch(call *c, const tn_registry_options *o) {
    return tn_trust_fetch(c->store, c->second, o);
}

tn_status push(call *c) {
    return with_options(c, go_push);
}

tn_status pull(call *c) {
    return with_options(c, go_pull);
}

tn_status follow(call *c) {
    return with_options(c, go_follow);
}

tn_status fetch_trust(call *c) {
    return with_options(c, go_fetch);
}
