/* tenon delta: what changed from one file to another, as a file that makes the one of the other. */
#include <string.h>
#include "store.h"

static int report(const settings *s, const tn_delta_info *info) {
    double share = info->result_bytes ? 100.0 * (double)info->delta_bytes / (double)info->result_bytes : 100;
    if (s->json) {
        json j = json_open(stdout);
        emit_object(&j, NULL);
        emit_text(&j, "base", info->base_digest);
        emit_int(&j, "base_bytes", (int64_t)info->base_bytes);
        emit_text(&j, "result", info->result_digest);
        emit_int(&j, "result_bytes", (int64_t)info->result_bytes);
        emit_int(&j, "delta_bytes", (int64_t)info->delta_bytes);
        emit_int(&j, "ready_bytes", (int64_t)info->ready_bytes);
        emit_int(&j, "blocks", (int64_t)info->blocks);
        emit_end(&j);
        return EXIT_OK;
    }
    printf("from    %s, %llu bytes\n", info->base_digest, (unsigned long long)info->base_bytes);
    printf("to      %s, %llu bytes\n", info->result_digest, (unsigned long long)info->result_bytes);
    printf("delta   %llu bytes in %llu blocks, %.3g %% of what it makes\n", (unsigned long long)info->delta_bytes,
           (unsigned long long)info->blocks, share);
    if (info->ready_bytes < info->result_bytes)
        printf("cut     only the first %llu bytes can be made of what is there\n",
               (unsigned long long)info->ready_bytes);
    return EXIT_OK;
}

static int failed(const char *what, tn_status status) {
    complain_status(what, status);
    return EXIT_FAILED;
}

static int make(const settings *s) {
    const char *const *files = s->operands.items;
    tn_delta_info info = {.struct_size = sizeof info};
    progress(s, "comparing %s with %s", files[2], files[1]);
    tn_status status = tn_delta_make(files[1], files[2], files[3], &info);
    progress(s, NULL);
    return status == TN_OK ? report(s, &info) : failed(files[3], status);
}

static int apply(const settings *s) {
    const char *const *files = s->operands.items;
    tn_delta_result result = {.struct_size = sizeof result};
    progress(s, "making %s", files[3]);
    tn_status status = tn_delta_apply(files[1], files[2], files[3], NULL, &result);
    progress(s, NULL);
    if (status != TN_OK) return failed(files[2], status);
    if (s->json) {
        json j = json_open(stdout);
        emit_object(&j, NULL);
        emit_int(&j, "bytes", (int64_t)result.bytes);
        emit_int(&j, "resumed", (int64_t)result.resumed);
        emit_end(&j);
    } else {
        printf("%s: %llu bytes", files[3], (unsigned long long)result.bytes);
        if (result.resumed) printf(", %llu of them from before", (unsigned long long)result.resumed);
        printf("\n");
    }
    return EXIT_OK;
}

static int show(const settings *s) {
    const char *file = s->operands.items[1];
    tn_delta_info info = {.struct_size = sizeof info};
    tn_status status = tn_delta_inspect(file, &info);
    return status == TN_OK ? report(s, &info) : failed(file, status);
}

tn_status put_delta(call *c) {
    uint64_t bytes;
    tn_status status = tn_store_put_delta(c->store, c->first, c->second, &bytes);
    if (status != TN_OK) return status;
    if (c->j)
        emit_int(c->j, "bytes", (int64_t)bytes);
    else
        printf("%s to %s takes %llu bytes\n", c->first, c->second, (unsigned long long)bytes);
    return TN_OK;
}

tn_status fetch(call *c) {
    tn_store_version v;
    tn_fetch_result r = {.struct_size = sizeof r};
    tn_fetch_options o = {.struct_size = sizeof o, .most_bytes = (uint64_t)c->s->most};
    tn_status status = tn_store_fetch(c->store, c->first, c->second, &o, &v, &r);
    if (status != TN_OK) return status;
    show_version(c, &v);
    if (c->j) {
        emit_int(c->j, "fetched_bytes", (int64_t)r.bytes);
        emit_int(c->j, "resumed_bytes", (int64_t)r.resumed);
        emit_int(c->j, "deltas", r.deltas);
    } else {
        printf("%llu bytes came%s\n", (unsigned long long)r.bytes, r.deltas ? ": what changed" : "");
    }
    return TN_OK;
}

static const struct verb {
    const char *name;
    size_t operands; /* the verb included */
    int (*run)(const settings *s);
    const char *usage;
} verbs[] = {{"make", 4, make, "OLD NEW DELTA"}, {"apply", 4, apply, "OLD DELTA NEW"}, {"show", 2, show, "DELTA"}};

int delta_command(const settings *s) {
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].name, s->operands.items[0]) != 0) continue;
        if (s->operands.count == verbs[i].operands) return verbs[i].run(s);
        complain("tenon delta %s %s", verbs[i].name, verbs[i].usage);
        return EXIT_USAGE;
    }
    complain("tenon delta has no verb '%s'; tenon delta --help lists them", s->operands.items[0]);
    return EXIT_USAGE;
}
