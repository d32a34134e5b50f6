/* Checkpoints of plans: how far a training came, in one file that is replaced whole.
 *
 *     8 bytes  "TNPLAN01"
 *    32        SHA-256 of the plan's text and the digests of its data
 *    24        epochs done, sum of the losses of the epoch under way, best epoch, as this machine has them
 *    24 each   losses and rate of these epochs
 *     ...      the trainer's own checkpoint (lib/train/checkpoint.c), which has the steps
 *    32        SHA-256 of all before the trainer's
 *
 * It stands for one moment: a process that is killed leaves the one before. */
#include <errno.h>
#include <stdio.h>
#include "base/output.h"
#include "plan/plan.h"
#include "train/train.h"

static const char magic[8] = {'T', 'N', 'P', 'L', 'A', 'N', '0', '1'};

typedef struct {
    char magic[8];
    uint8_t made_of[TN_SHA256_BYTES];
    int64_t epochs;
    double sum;
    int64_t best;
} header;

static void fingerprint(const tn_fit *fit, uint8_t digest[TN_SHA256_BYTES]) {
    tn_sha256 hash;
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, fit->plan->digest, sizeof fit->plan->digest);
    tn_sha256_update(&hash, fit->data->digests, sizeof fit->data->digests);
    if (fit->data->teacher) tn_sha256_update(&hash, fit->data->teacher, strlen(fit->data->teacher));
    if (fit->plan->folds) tn_sha256_update(&hash, (int[]){fit->plan->folds, fit->plan->fold}, 2 * sizeof(int));
    tn_sha256_final(&hash, digest);
}

static void digest_of(const header *h, const tn_epoch *history, uint8_t digest[TN_SHA256_BYTES]) {
    tn_sha256 hash;
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, h, sizeof *h);
    tn_sha256_update(&hash, history, (size_t)h->epochs * sizeof *history);
    tn_sha256_final(&hash, digest);
}

tn_status tn_fit_save(const tn_fit *fit) {
    tn_output out;
    uint8_t digest[TN_SHA256_BYTES];
    header h = {.epochs = fit->epochs, .sum = fit->sum, .best = fit->best};
    memcpy(h.magic, magic, sizeof magic);
    fingerprint(fit, h.made_of);
    digest_of(&h, fit->history, digest);
    TN_TRY(tn_output_open(&out, fit->checkpoint));
    tn_output_write(&out, &h, sizeof h);
    tn_output_write(&out, fit->history, (size_t)fit->epochs * sizeof *fit->history);
    tn_trainer_write(fit->trainer, &out);
    tn_output_write(&out, digest, sizeof digest);
    return tn_output_commit(&out);
}

static tn_status apply(tn_fit *fit, const uint8_t *data, size_t size) {
    header h;
    uint8_t digest[TN_SHA256_BYTES];
    size_t most = (size_t)fit->plan->epochs * sizeof(tn_epoch);
    if (size < sizeof h + sizeof digest) return tn_fail(TN_E_FORMAT, "it ends too early for a checkpoint");
    memcpy(&h, data, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0) return tn_fail(TN_E_FORMAT, "it is no checkpoint of a plan");
    fingerprint(fit, digest);
    if (memcmp(digest, h.made_of, sizeof digest) != 0)
        return tn_fail(TN_E_INVALID, "the plan or its data are not what they were when it was written; train without "
                                     "resuming");
    if (h.epochs < 0 || h.epochs > fit->plan->epochs || h.best < -1 || h.best > h.epochs ||
        size < sizeof h + sizeof digest + (size_t)h.epochs * sizeof(tn_epoch) || most < (size_t)h.epochs)
        return tn_fail(TN_E_FORMAT, "it tells of %lld epochs", (long long)h.epochs);
    size_t before = sizeof h + (size_t)h.epochs * sizeof(tn_epoch);
    memcpy(fit->history, data + sizeof h, (size_t)h.epochs * sizeof(tn_epoch));
    digest_of(&h, fit->history, digest);
    if (memcmp(digest, data + size - sizeof digest, sizeof digest) != 0)
        return tn_fail(TN_E_FORMAT, "it is damaged: its SHA-256 is not what it says");
    TN_TRY(tn_trainer_read(fit->trainer, data + before, size - before - sizeof digest));
    if (tn_trainer_batches(fit->trainer) / fit->steps != h.epochs)
        return tn_fail(TN_E_FORMAT, "its steps do not fit its epochs");
    fit->epochs = h.epochs;
    fit->sum = h.sum;
    fit->best = h.best;
    fit->resumed = true;
    return TN_OK;
}

tn_status tn_fit_load(tn_fit *fit) {
    if (tn_fit_writes(fit)) tn_output_sweep(fit->checkpoint);
    FILE *file = fopen(fit->checkpoint, "rb");
    if (!file && errno == ENOENT) return TN_OK;
    if (!file) return tn_fail(TN_E_IO, "cannot open '%s': %s", fit->checkpoint, strerror(errno));
    size_t most = sizeof(header) + (size_t)fit->plan->epochs * sizeof(tn_epoch) + tn_trainer_most_bytes(fit->trainer) +
                  TN_SHA256_BYTES + 1;
    uint8_t *data = tn_alloc(NULL, most);
    tn_status status = data ? TN_OK : TN_E_MEMORY;
    size_t size = data ? fread(data, 1, most, file) : 0;
    if (data && ferror(file)) status = tn_fail(TN_E_IO, "cannot be read: %s", strerror(errno));
    fclose(file);
    if (status == TN_OK) status = apply(fit, data, size);
    tn_free(NULL, data, most);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "checkpoint '%s'", fit->checkpoint);
}
