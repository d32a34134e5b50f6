/* Batches: rows of a part, gathered, augmented, with targets as the loss takes them. Where a session has threads, one thread
 * prepares the next batch of an epoch while a step is made of the one before. A batch hangs on the seed and its number
 * alone, so it is the same whoever prepares it. */
#include <pthread.h>
#include "base/random.h"
#include "plan/plan.h"

typedef enum { IDLE, WANTED, READY, ENDS } feed_state;

struct tn_feed {
    const tn_fit *fit;
    tn_batch slots[2];
    int64_t row, answer; /* numbers in a row of x; of y, if it is floats */
    size_t x_bytes, y_bytes;
    tn_ahead *ahead; /* NULL: rows lie in memory */
    bool threaded;
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    feed_state state;
    const int64_t *order;
    int64_t step;
    int slot;
};

bool tn_takes_labels(tn_loss loss) {
    return loss == TN_LOSS_CROSS_ENTROPY || loss == TN_LOSS_FOCAL || loss == TN_LOSS_CTC;
}

/* Samples have the shape that the plan gives them, or that of the model which is tuned. */
static void augment(const tn_feed *f, tn_batch *b, int64_t step) {
    const tn_fit *fit = f->fit;
    const tn_plan *plan = fit->plan;
    int rank = plan->rank ? plan->rank : fit->input_rank - 1;
    uint64_t seed = (uint64_t)plan->seed + TN_RANDOM_STEP * (uint64_t)(fit->epochs * fit->steps + step + 1) + 2;
    tn_augment(&plan->augment, seed, rank, plan->rank ? plan->shape : fit->input_dims + 1, b->x, b->count,
               tn_takes_labels(fit->loss) ? NULL : b->y, f->answer, fit->data->task == TN_TASK_RECONSTRUCTION);
}

/* Of a row whose x, which may be its own target, is there. */
static void target(const tn_feed *f, int part, int64_t row, const float *x, void *y, int64_t i) {
    const tn_plan_data *d = f->fit->data;
    const void *from = d->task == TN_TASK_RECONSTRUCTION ? NULL : d->samples[part].y->data;
    const int64_t label = d->task == TN_TASK_CLASSIFICATION ? ((const int64_t *)from)[row] : 0;
    float *to = (float *)y + i * f->answer;
    if (f->fit->loss == TN_LOSS_CTC) { /* rows of a part may be shorter than those of another */
        const int64_t most = d->samples[part].y->dims[1];
        for (int64_t k = 0; k < f->answer; k++)
            ((int64_t *)y)[i * f->answer + k] = k < most ? ((const int64_t *)from)[row * most + k] : -1;
    } else if (tn_takes_labels(f->fit->loss)) {
        ((int64_t *)y)[i] = label;
    } else if (f->fit->loss == TN_LOSS_SOFT_CROSS_ENTROPY || f->fit->loss == TN_LOSS_KL) {
        const double share = d->taught && part == TN_PART_TRAIN ? f->fit->plan->teacher_weight : 0;
        const float *taught = share > 0 ? (const float *)d->taught->data + row * f->answer : NULL;
        for (int64_t c = 0; c < f->answer; c++)
            to[c] = taught ? (float)((1 - share) * (c == label) + share * (double)taught[c]) : (float)(c == label);
    } else if (d->task == TN_TASK_CLASSIFICATION) { /* binary: of class 1 */
        *to = (float)label;
    } else {
        memcpy(to, from ? (const float *)from + row * f->answer : x, (size_t)f->answer * sizeof *to);
    }
}

static void gather(tn_feed *f, tn_batch *b, int part, const int64_t *order, int64_t first, int64_t count) {
    const tn_sample_set *samples = &f->fit->data->samples[part];
    b->count = count;
    for (int64_t i = 0; i < count; i++) {
        const int64_t r = order ? order[first + i] : first + i;
        float *to = b->x + i * f->row;
        if (order && f->ahead)
            memcpy(to, tn_ahead_row(f->ahead, order, f->fit->epochs, first + i), (size_t)f->row * sizeof *to);
        else
            tn_sample_copy(samples, r, to);
        target(f, part, r, to, b->y, i);
    }
}

static void prepare(tn_feed *f, tn_batch *b, const int64_t *order, int64_t step) {
    const int64_t size = f->fit->plan->batch, first = step * size;
    gather(f, b, TN_PART_TRAIN, order, first, TN_MIN(size, f->fit->data->rows[TN_PART_TRAIN] - first));
    if (f->fit->plan->augment_node) augment(f, b, step);
}

/* ---- ahead of time ---- */

static void *work(void *context) {
    tn_feed *f = context;
    pthread_mutex_lock(&f->mutex);
    while (f->state != ENDS) {
        if (f->state != WANTED) {
            pthread_cond_wait(&f->changed, &f->mutex);
            continue;
        }
        tn_batch *b = &f->slots[f->slot];
        pthread_mutex_unlock(&f->mutex); /* nobody else touches the slot, or what the job is, until it is READY */
        prepare(f, b, f->order, f->step);
        pthread_mutex_lock(&f->mutex);
        if (f->state == WANTED) f->state = READY;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

const tn_batch *tn_feed_train(tn_feed *f, const int64_t *order, int64_t step) {
    bool ready = false;
    int slot = 0;
    if (f->threaded) {
        pthread_mutex_lock(&f->mutex);
        while (f->state == WANTED) pthread_cond_wait(&f->changed, &f->mutex);
        ready = f->state == READY && f->step == step;
        slot = f->slot;
        f->state = IDLE;
        pthread_mutex_unlock(&f->mutex);
    }
    if (!ready) prepare(f, &f->slots[slot], order, step);
    if (f->threaded && step + 1 < f->fit->steps) {
        pthread_mutex_lock(&f->mutex);
        f->order = order;
        f->step = step + 1;
        f->slot = !slot;
        f->state = WANTED;
        pthread_cond_broadcast(&f->changed);
        pthread_mutex_unlock(&f->mutex);
    }
    return &f->slots[slot];
}

const tn_batch *tn_feed_rows(tn_feed *f, int part, int64_t first, int64_t count) {
    gather(f, &f->slots[0], part, NULL, first, count);
    return &f->slots[0];
}

int64_t tn_feed_answer(const tn_feed *f) {
    return f->answer;
}

tn_status tn_feed_open(const tn_fit *fit, tn_feed **out_feed) {
    const tn_plan_data *d = fit->data;
    const size_t rows = (size_t)TN_MIN(fit->plan->batch, TN_MAX(d->rows[TN_PART_TRAIN], d->rows[TN_PART_VALIDATION]));
    tn_feed *f = *out_feed = tn_alloc_zero(NULL, sizeof *f);
    if (!f) return TN_E_MEMORY;
    f->fit = fit;
    f->row = d->width;
    f->answer = tn_takes_labels(fit->loss) ? 1 : d->outputs;
    for (int i = 0; i < TN_PARTS && fit->loss == TN_LOSS_CTC; i++)
        if (d->samples[i].y) f->answer = TN_MAX(f->answer, d->samples[i].y->dims[1]);
    if (fit->loss == TN_LOSS_BINARY_CROSS_ENTROPY && d->task == TN_TASK_CLASSIFICATION) f->answer = 1;
    f->x_bytes = rows * (size_t)f->row * sizeof(float);
    f->y_bytes = rows * (size_t)f->answer * sizeof(int64_t);
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    tn_status status = tn_ahead_open(d, fit->plan->batch, &f->ahead);
    for (int i = 0; i < 2; i++) {
        f->slots[i].x = tn_alloc(NULL, f->x_bytes);
        f->slots[i].y = tn_alloc_zero(NULL, f->y_bytes);
        if (!f->slots[i].x || !f->slots[i].y) status = TN_E_MEMORY;
    }
    /* One that cannot be started is done without. */
    if (status == TN_OK && fit->options->threads > 1 && fit->steps > 1)
        f->threaded = pthread_create(&f->thread, NULL, work, f) == 0;
    if (status == TN_OK) return TN_OK;
    tn_feed_close(f);
    *out_feed = NULL;
    return status;
}

void tn_feed_close(tn_feed *f) {
    if (!f) return;
    if (f->threaded) {
        pthread_mutex_lock(&f->mutex);
        f->state = ENDS;
        pthread_cond_broadcast(&f->changed);
        pthread_mutex_unlock(&f->mutex);
        pthread_join(f->thread, NULL);
    }
    for (int i = 0; i < 2; i++) {
        tn_free(NULL, f->slots[i].x, f->x_bytes);
        tn_free(NULL, f->slots[i].y, f->y_bytes);
    }
    tn_ahead_close(f->ahead);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mutex);
    tn_free(NULL, f, sizeof *f);
}
