/* Checkpoints: what a trainer is at one moment, in a file.
 *
 *     8 bytes  "TNTRAIN2"
 *    32        SHA-256 of what the trainer is made of: optimizer, loss, average, each state's kind, name, type and shape
 *   104        counts and losses, as this machine has them
 *     ...      each state's contents, gradients if any were gathered; then, if there are averages and a best so far, the
 *              contents of their states
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
    int64_t steps, batches, gathered, averages, drops, reports_since_best, reports_since_drop, has_best, byte_order;
    double weighed, best, plateau_best;
    uint64_t seed;
} header;

static const char magic[8] = {'T', 'N', 'T', 'R', 'A', 'I', 'N', '2'};

/* Gradients are not looked at: a run may go on with another number of batches to a step. */
void tn_trainer_fingerprint(tn_trainer *t) {
    tn_sha256 hash;
    const tn_loss_options *loss = &t->options.loss_options;
    const double numbers[] = {loss->quantile, loss->focus, loss->label_smoothing, loss->beta};
    const int64_t what[] = {t->options.loss,
                            t->options.optimizer.kind,
                            t->options.average.kind,
                            t->states.count - t->states.gradients,
                            t->inputs,
                            loss->class_weights ? loss->class_count : 0,
                            (t->options.products == TN_BFLOAT16) + 2 * t->options.keep_zeros};
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, what, sizeof what);
    tn_sha256_update(&hash, numbers, sizeof numbers);
    if (loss->class_weights)
        tn_sha256_update(&hash, loss->class_weights, (size_t)loss->class_count * sizeof *loss->class_weights);
    for (int s = 0; s < t->states.count; s++) {
        const tn_state *state = &t->states.all[s];
        int64_t type[] = {state->kind, state->now->dtype, state->now->rank};
        if (state->kind == TN_STATE_GRADIENT) continue;
        tn_sha256_update(&hash, type, sizeof type);
        tn_sha256_update(&hash, state->now->dims, (size_t)state->now->rank * sizeof *state->now->dims);
        tn_sha256_update(&hash, state->name, strlen(state->name) + 1);
    }
    tn_sha256_final(&hash, t->made_of);
}

/* Calls with each tensor that a checkpoint has, in its order; stops where that does not give TN_OK. */
static tn_status each_tensor(const tn_trainer *t, const header *h, tn_status (*call)(void *context, tn_tensor *tensor),
                             void *context) {
    const tn_states *s = &t->states;
    for (int i = 0; i < s->count; i++)
        if (h->gathered || s->all[i].kind != TN_STATE_GRADIENT) TN_TRY(call(context, s->all[i].now));
    for (int i = 0; h->averages && i < s->predicting; i++) TN_TRY(call(context, s->all[i].average));
    for (int i = 0; h->has_best && i < s->predicting; i++) TN_TRY(call(context, s->all[i].best));
    return TN_OK;
}

static size_t bytes_of(const tn_tensor *t) {
    return tn_dtype_bytes(t->dtype, tn_count(t));
}

static size_t file_size(const tn_trainer *t, bool gathered, bool averages, bool has_best) {
    size_t size = sizeof(header) + TN_SHA256_BYTES;
    for (int s = 0; s < t->states.count; s++) {
        const tn_state *state = &t->states.all[s];
        size_t copies = s < t->states.predicting ? 1u + averages + has_best : 1;
        size += bytes_of(state->now) * (state->kind == TN_STATE_GRADIENT && !gathered ? 0 : copies);
    }
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
static tn_status put_tensor(void *context, tn_tensor *tensor) {
    put(context, tensor->data, bytes_of(tensor));
    return TN_OK;
}

void tn_trainer_write(const tn_trainer *t, tn_output *out) {
    writer w = {.out = out};
    uint8_t digest[TN_SHA256_BYTES];
    header h = {.steps = t->steps,
                .batches = t->batches,
                .gathered = t->gathered,
                .averages = t->averages,
                .weighed = t->weighed,
                .drops = t->drops,
                .reports_since_best = t->reports_since_best,
                .reports_since_drop = t->reports_since_drop,
                .has_best = t->has_best,
                .byte_order = 1,
                .best = t->best,
                .plateau_best = t->plateau_best,
                .seed = t->options.seed};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.made_of, t->made_of, sizeof h.made_of);
    tn_sha256_init(&w.hash);
    put(&w, &h, sizeof h);
    (void)each_tensor(t, &h, put_tensor, &w);
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
    if (memcmp(t->made_of, h->made_of, sizeof digest) != 0)
        return tn_fail(TN_E_INVALID, "it is of another graph, optimizer, loss or average than this trainer");
    if (h->gathered && !t->step)
        return tn_fail(TN_E_INVALID, "it has gathered %lld batches of a step, which this trainer makes of one alone",
                       (long long)h->gathered);
    const int64_t counts[] = {
        h->steps, h->batches, h->gathered, h->averages, h->drops, h->reports_since_best, h->reports_since_drop};
    if (size != file_size(t, h->gathered != 0, h->averages != 0, h->has_best != 0))
        return tn_fail(TN_E_FORMAT, "it has another length than it says");
    for (size_t i = 0; i < TN_COUNT(counts); i++)
        if (counts[i] < 0 || counts[i] > INT64_MAX / 4)
            return tn_fail(TN_E_FORMAT, "it counts %lld steps or reports", (long long)counts[i]);
    return TN_OK;
}

static tn_status get_tensor(void *context, tn_tensor *tensor) {
    const uint8_t **data = context;
    memcpy(tensor->data, *data, bytes_of(tensor));
    *data += bytes_of(tensor);
    return TN_OK;
}

static tn_status apply(tn_trainer *t, const uint8_t *data, const header *h) {
    for (int s = 0; s < t->states.predicting; s++) {
        tn_state *state = &t->states.all[s];
        if (h->has_best && !state->best) TN_TRY(tn_tensor_clone(state->now, t->allocator, &state->best));
        if (h->averages && !state->average) TN_TRY(tn_tensor_clone(state->now, t->allocator, &state->average));
    }
    for (int s = t->states.predicting; s < t->states.predicting + t->states.gradients; s++)
        memset(t->states.all[s].now->data, 0, bytes_of(t->states.all[s].now));
    data += sizeof *h;
    TN_TRY(each_tensor(t, h, get_tensor, &data));
    t->steps = h->steps;
    t->batches = h->batches;
    t->gathered = h->gathered;
    t->averages = h->averages;
    t->weighed = h->weighed;
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
    return file_size(t, true, true, true);
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
    size_t most = file_size(t, true, true, true) + 1, size = 0;
    uint8_t *data = tn_alloc(t->allocator, most);
    tn_status status = data ? TN_OK : TN_E_MEMORY;
    if (data) size = fread(data, 1, most, file);
    if (data && ferror(file)) status = tn_fail(TN_E_IO, "cannot be read: %s", strerror(errno));
    fclose(file);
    if (status == TN_OK) status = tn_trainer_read(t, data, size);
    tn_free(t->allocator, data, most);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "checkpoint '%s'", path);
}
