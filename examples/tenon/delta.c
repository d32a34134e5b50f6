/* tenon delta: what changed from one file to another, as a file that makes the one of the other. */
#include <string.h>
#include "tool.h"

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
