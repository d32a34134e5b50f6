/* Checkpoints: what a trainer is at one moment, in a file.
 *
 *     8 bytes  "TNTRAIN1"
 *    32        SHA-256 of what the trainer is made of: optimizer, loss, each state's kind, name, type and shape
 *    72        counts and losses, as this machine has them
 *     ...      each state's contents; then, if there is a best so far, the contents of its states
 *    32        SHA-256 of all that is before
 *
 * The trainer knows how long the file must be and what it must say, so nothing in it is believed: another length, another
 * fingerprint or another digest, and it is refused before anything changes. It is for the machine that wrote it, or one of
 * the same byte order. */
#include <errno.h>
#include <stdio.h>
#include "base/output.h"
#include "kernels/sha256.h"
#include "train/train.h"

typedef struct {
    char magic[8];
    uint8_t made_of[TN_SHA256_BYTES];
    int64_t steps, drops, reports_since_best, reports_since_drop, has_best, byte_order;
    double best, plateau_best;
    uint64_t seed;
} header;

static const char magic[8] = {'T', 'N', 'T', 'R', 'A', 'I', 'N', '1'};

static void fingerprint(const tn_trainer *t, uint8_t digest[TN_SHA256_BYTES]) {
    tn_sha256 hash;
    int64_t what[] = {t->options.loss, t->options.optimizer.kind, t->states.count, t->inputs};
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, what, sizeof what);
    for (int s = 0; s < t->states.count; s++) {
        const tn_state *state = &t->states.all[s];
        int64_t type[] = {state->kind, state->now->dtype, state->now->rank};
        tn_sha256_update(&hash, type, sizeof type);
        tn_sha256_update(&hash, state->now->dims, (size_t)state->now->rank * sizeof *state->now->dims);
        tn_sha256_update(&hash, state->name, strlen(state->name) + 1);
    }
    tn_sha256_final(&hash, digest);
}

static size_t bytes_of(const tn_tensor *t) {
    return tn_dtype_bytes(t->dtype, tn_count(t));
}

static size_t file_size(const tn_trainer *t, bool has_best) {
    size_t size = sizeof(header) + TN_SHA256_BYTES;
    for (int s = 0; s < t->states.count; s++)
        size += bytes_of(t->states.all[s].now) * (has_best && s < t->states.predicting ? 2 : 1);
    return size;
}

typedef struct {
    tn_output *out;
    tn_sha256 hash;
} writer;

static void put(writer *w, const void *data, size_t size) {
    tn_output_write(w->out, data, size);
    tn_sha256_update(&w->hash, data, size);
}

void tn_trainer_write(const tn_trainer *t, tn_output *out) {
    writer w = {.out = out};
    uint8_t digest[TN_SHA256_BYTES];
    header h = {.steps = t->steps,
                .drops = t->drops,
                .reports_since_best = t->reports_since_best,
                .reports_since_drop = t->reports_since_drop,
                .has_best = t->has_best,
                .byte_order = 1,
                .best = t->best,
                .plateau_best = t->plateau_best,
                .seed = t->options.seed};
    memcpy(h.magic, magic, sizeof magic);
    fingerprint(t, h.made_of);
    tn_sha256_init(&w.hash);
    put(&w, &h, sizeof h);
    for (int s = 0; s < t->states.count; s++) put(&w, t->states.all[s].now->data, bytes_of(t->states.all[s].now));
    for (int s = 0; t->has_best && s < t->states.predicting; s++)
        put(&w, t->states.all[s].best->data, bytes_of(t->states.all[s].best));
    tn_sha256_final(&w.hash, digest);
    tn_output_write(out, digest, sizeof digest);
}

tn_status tn_trainer_save(const tn_trainer *t, const char *path) {
    tn_output out;
    TN_TRY(tn_output_open(&out, path));
    tn_trainer_write(t, &out);
    return tn_output_commit(&out);
}

/* Checks the whole file; *h is what it begins with. */
static tn_status check(const tn_trainer *t, const uint8_t *data, size_t size, header *h) {
    uint8_t digest[TN_SHA256_BYTES];
    if (size < sizeof *h + TN_SHA256_BYTES) return tn_fail(TN_E_FORMAT, "it ends too early for a checkpoint");
    memcpy(h, data, sizeof *h);
    if (memcmp(h->magic, magic, sizeof magic) != 0) return tn_fail(TN_E_FORMAT, "it is no checkpoint of a trainer");
    tn_sha256_of(data, size - TN_SHA256_BYTES, digest);
    if (memcmp(digest, data + size - TN_SHA256_BYTES, sizeof digest) != 0)
        return tn_fail(TN_E_FORMAT, "it is damaged: its SHA-256 is not what it says");
    if (h->byte_order != 1) return tn_fail(TN_E_UNSUPPORTED, "it was written on a machine of another byte order");
    fingerprint(t, digest);
    if (memcmp(digest, h->made_of, sizeof digest) != 0 || size != file_size(t, h->has_best != 0))
        return tn_fail(TN_E_INVALID, "it is of another graph, optimizer or loss than this trainer");
    const int64_t counts[] = {h->steps, h->drops, h->reports_since_best, h->reports_since_drop};
    for (size_t i = 0; i < TN_COUNT(counts); i++)
        if (counts[i] < 0 || counts[i] > INT64_MAX / 4)
            return tn_fail(TN_E_FORMAT, "it counts %lld steps or reports", (long long)counts[i]);
    return TN_OK;
}

static tn_status apply(tn_trainer *t, const uint8_t *data, const header *h) {
    for (int s = 0; h->has_best && s < t->states.predicting; s++)
        if (!t->states.all[s].best) TN_TRY(tn_tensor_clone(t->states.all[s].now, t->allocator, &t->states.all[s].best));
    data += sizeof *h;
    for (int s = 0; s < t->states.count; s++) {
        memcpy(t->states.all[s].now->data, data, bytes_of(t->states.all[s].now));
        data += bytes_of(t->states.all[s].now);
    }
    for (int s = 0; h->has_best && s < t->states.predicting; s++) {
        memcpy(t->states.all[s].best->data, data, bytes_of(t->states.all[s].best));
        data += bytes_of(t->states.all[s].best);
    }
    t->steps = h->steps;
    t->drops = h->drops;
    t->reports_since_best = h->reports_since_best;
    t->reports_since_drop = h->reports_since_drop;
    t->has_best = h->has_best != 0;
    t->best = h->best;
    t->plateau_best = h->plateau_best;
    t->options.seed = h->seed;
    return TN_OK;
}

size_t tn_trainer_most_bytes(const tn_trainer *t) {
    return file_size(t, true);
}

tn_status tn_trainer_read(tn_trainer *t, const uint8_t *data, size_t size) {
    header h;
    TN_TRY(check(t, data, size, &h));
    return apply(t, data, &h);
}

tn_status tn_trainer_load(tn_trainer *t, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return tn_fail(TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    /* One byte more than any checkpoint of this trainer has shows that a file is longer. */
    size_t most = file_size(t, true) + 1, size = 0;
    uint8_t *data = tn_alloc(t->allocator, most);
    tn_status status = data ? TN_OK : TN_E_MEMORY;
    if (data) size = fread(data, 1, most, file);
    if (data && ferror(file)) status = tn_fail(TN_E_IO, "cannot be read: %s", strerror(errno));
    fclose(file);
    if (status == TN_OK) status = tn_trainer_read(t, data, size);
    tn_free(t->allocator, data, most);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "checkpoint '%s'", path);
}
