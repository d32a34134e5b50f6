/* Augmentation: batches for training are changed a little, each time otherwise, as the seed and the number of the batch say:
 * a run that is resumed sees what it would have seen. Mixup: Zhang and others (2018). */
#include <math.h>
#include "base/random.h"
#include "plan/plan.h"

#define PI 3.14159265358979323846

typedef struct job {
    const tn_augmentation *a;
    uint64_t state;
    int64_t size; /* of a sample */
} job;

static double between(job *j, double low, double high) {
    return low + (high - low) * tn_random_uniform(&j->state);
}

/* Along the middle axis of [outer, length, inner]; what comes in from outside is the edge. */
static void shift(float *x, int64_t outer, int64_t length, int64_t inner, int64_t by) {
    size_t row = (size_t)inner * sizeof *x;
    for (int64_t o = 0; o < outer; o++, x += length * inner) {
        if (by > 0) memmove(x + by * inner, x, (size_t)(length - by) * row);
        if (by < 0) memmove(x, x - by * inner, (size_t)(length + by) * row);
        for (int64_t i = 1; i <= by; i++) memmove(x + (i - 1) * inner, x + by * inner, row);
        for (int64_t i = length + by; i < length; i++) memmove(x + i * inner, x + (length + by - 1) * inner, row);
    }
}

/* By up to its part of the length, and never all of it. */
static void shift_some(job *j, float *x, int64_t outer, int64_t length, int64_t inner) {
    int64_t most = TN_MIN((int64_t)floor(j->a->shift * (double)length), length - 1);
    if (most < 1) return;
    shift(x, outer, length, inner, (int64_t)tn_random_below(&j->state, (uint64_t)(2 * most + 1)) - most);
}

static void flip(float *x, int64_t lines, int64_t length) {
    for (int64_t l = 0; l < lines; l++, x += length)
        for (int64_t i = 0, k = length - 1; i < k; i++, k--) {
            float moved = x[i];
            x[i] = x[k];
            x[k] = moved;
        }
}

static void change(job *j, int rank, const int64_t *dims, float *x) {
    const tn_augmentation *a = j->a;
    int64_t last = dims[rank - 1], lines = j->size / last;
    if (a->flip && tn_random_next(&j->state) >> 63) flip(x, lines, last);
    if (a->shift > 0 && rank == 3) shift_some(j, x, dims[0], dims[1], last);
    if (a->shift > 0) shift_some(j, x, lines, last, 1);
    if (a->scale <= 0) return;
    float by = (float)between(j, 1 - a->scale, 1 + a->scale);
    for (int64_t i = 0; i < j->size; i++) x[i] *= by;
}

/* Of Beta(alpha, alpha), by Johnk (1964); at least a half. */
static float share(job *j) {
    for (;;) {
        double u = pow(tn_random_uniform(&j->state), 1 / j->a->mixup),
               v = pow(tn_random_uniform(&j->state), 1 / j->a->mixup);
        if (u + v > 1 || !(u + v > 0)) continue;
        double x = u / (u + v);
        return (float)fmax(x, 1 - x);
    }
}

static void mix(float *x, float *y, int64_t count, float by) {
    for (int64_t i = 0; i < count; i++) {
        float first = x[i], second = y[i];
        x[i] = by * first + (1 - by) * second;
        y[i] = by * second + (1 - by) * first;
    }
}

/* By Box and Muller (1958), two at a time. */
static void add_noise(job *j, float *x, int64_t count) {
    for (int64_t i = 0; i < count; i += 2) {
        double radius = j->a->noise * sqrt(-2 * log(1 - tn_random_uniform(&j->state))), angle = between(j, 0, 2 * PI);
        x[i] += (float)(radius * cos(angle));
        if (i + 1 < count) x[i + 1] += (float)(radius * sin(angle));
    }
}

void tn_augment(const tn_augmentation *a, uint64_t seed, int rank, const int64_t *dims, float *x, int64_t count,
                float *y, int64_t answer, bool rebuilds) {
    job j = {.a = a, .state = seed, .size = 1};
    for (int i = 0; i < rank; i++) j.size *= dims[i];
    j.state = tn_random_next(&j.state);
    for (int64_t i = 0; i < count; i++) change(&j, rank, dims, x + i * j.size);
    if (rebuilds) memcpy(y, x, (size_t)(count * j.size) * sizeof *x);
    for (int64_t i = 0, k = count - 1; a->mixup > 0 && i < k;
         i++, k--) { /* the order of a batch is drawn: so are pairs */
        float by = share(&j);
        mix(x + i * j.size, x + k * j.size, j.size, by);
        mix(y + i * answer, y + k * answer, answer, by);
    }
    if (a->noise > 0) add_noise(&j, x, count * j.size);
}
