/* The range that 8 bits stand for, from what an observer saw. See tn_calibration in tenon/quantize.h. */
#include "compress/quantize.h"
#include <float.h>
#include <math.h>

enum { MOST_BINS = 2048, LEVELS = 256, LANES = 8 };

/* A histogram's used part, in at most MOST_BINS bins, without what was exactly 0. */
typedef struct outline {
    double start, width; /* of the first bin; of each */
    int count;
    double mass[MOST_BINS];
} outline;

/* Extremes of channels. */
static tn_status see_channels(tn_observer *o, const tn_tensor *t, const float *x) {
    int axis = o->axis < 0 ? t->rank - 1 : o->axis;
    if (axis < 0 || axis >= t->rank) return TN_OK;
    int64_t inner = 1, channels = t->dims[axis];
    for (int i = axis + 1; i < t->rank; i++) inner *= t->dims[i];
    if (!o->most) {
        o->channels = channels;
        o->most = tn_alloc_zero(NULL, ((size_t)channels + 1) * sizeof *o->most);
        if (!o->most) return TN_E_MEMORY;
    }
    if (channels != o->channels) return TN_OK;
    int64_t blocks = tn_count(t) / (channels * inner);
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < inner; i++, x++)
                if (fabsf(*x) > o->most[c]) o->most[c] = fabsf(*x);
    return TN_OK;
}

void tn_observer_free(tn_observer *o) {
    size_t channels = (size_t)o->channels + 1;
    if (o->most) tn_free(NULL, o->most, channels * sizeof *o->most);
    tn_histogram_free(&o->histogram);
    *o = (tn_observer){0};
}

static inline void see_one(float x, float *low, float *high, float *none) {
    *low = x < *low ? x : *low;
    *high = x > *high ? x : *high;
    *none += x - x;
}

/* The least and the greatest. False if there is a NaN or an infinity. */
static bool ends_of(const float *x, size_t count, float *out_low, float *out_high) {
    float low[LANES], high[LANES], none[LANES]; /* none: 0, unless there is one */
    for (int k = 0; k < LANES; k++) low[k] = INFINITY, high[k] = -INFINITY, none[k] = 0;
    const size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i += LANES) /* of a known length, the inner loop becomes vectors */
        for (size_t k = 0; k < LANES; k++) see_one(x[i + k], &low[k], &high[k], &none[k]);
    for (size_t i = whole; i < count; i++) see_one(x[i], &low[0], &high[0], &none[0]);
    for (int k = 1; k < LANES; k++) {
        low[0] = fminf(low[0], low[k]);
        high[0] = fmaxf(high[0], high[k]);
        none[0] += none[k];
    }
    *out_low = low[0];
    *out_high = high[0];
    return none[0] == 0;
}

tn_status tn_observer_see(tn_observer *o, const tn_quantize_options *options, const tn_tensor *t, const float *x) {
    size_t count = (size_t)tn_count(t);
    float low, high;
    if (!ends_of(x, count, &low, &high)) return tn_fail(TN_E_INVALID, "there is a NaN or an infinity in it");
    if (!count) return TN_OK;
    double first = 0.01;
    if (!o->seen) {
        o->seen = true;
        o->low = (double)low;
        o->high = (double)high;
        first = 1;
    }
    o->low = fmin(o->low, (double)low);
    o->high = fmax(o->high, (double)high);
    o->mean_low += first * ((double)low - o->mean_low);
    o->mean_high += first * ((double)high - o->mean_high);
    if (o->axis) TN_TRY(see_channels(o, t, x));
    if (options->calibration < TN_CALIBRATE_PERCENTILE) return TN_OK;
    return tn_histogram_add(&o->histogram, x, count, fmaxf(-low, high));
}

tn_qrange tn_range_of(double low, double high, const tn_quantize_options *options) {
    bool is_signed = options->activations == TN_INT8;
    low = fmin(low, 0);
    high = fmax(high, 0);
    if (options->symmetric) {
        double most = fmax(-low, high) / 127;
        return (tn_qrange){most >= (double)FLT_MIN ? (float)most : 1, 0};
    }
    float scale = (float)((high - low) / 255);
    if (!(scale >= FLT_MIN)) return (tn_qrange){1, is_signed ? -128 : 0};
    return (tn_qrange){scale, (int32_t)rint(-low / (double)scale) - (is_signed ? 128 : 0)};
}

static void outline_of(const tn_observer *o, outline *out) {
    const tn_histogram *h = &o->histogram;
    int first = 0, last = TN_HISTOGRAM_BINS - 1, zero = TN_HISTOGRAM_BINS / 2, step = 1;
    while (first < last && !h->counts[first]) first++;
    while (last > first && !h->counts[last]) last--;
    first = TN_MIN(first, zero);
    last = TN_MAX(last, zero);
    while ((last - first) / step + 1 > MOST_BINS) step++;
    *out = (outline){.start = tn_histogram_edge(h, first), .count = (last - first) / step + 1};
    out->width = step * (tn_histogram_edge(h, 1) - tn_histogram_edge(h, 0));
    for (int i = first; i <= last; i++)
        out->mass[(i - first) / step] += (double)h->counts[i] - (i == zero ? (double)h->zeros : 0);
}

/* Sum of squares of what quantizing to these 256 levels does to the values. */
static double squared_error(const outline *b, double low, double high, const tn_quantize_options *options) {
    tn_qrange r = tn_range_of(low, high, options);
    double scale = (double)r.scale, sum = 0;
    double least = options->symmetric ? -127 : (options->activations == TN_INT8 ? -128 : 0) - r.zero;
    double most = options->symmetric ? 127 : least + 255;
    for (int i = 0; i < b->count; i++) {
        if (b->mass[i] == 0) continue;
        double x = b->start + (i + 0.5) * b->width, q = (double)lrint(x / scale);
        q = q < least ? least : q > most ? most : q;
        sum += b->mass[i] * (x - q * scale) * (x - q * scale);
    }
    return sum;
}

/* Both ends come in together, then each on its own. */
static void least_error(const tn_observer *o, const tn_quantize_options *options, double *low, double *high) {
    outline b;
    double best = INFINITY, by[2] = {1, 1};
    outline_of(o, &b);
    for (int t = 100; t >= 10; t -= 2) {
        double error = squared_error(&b, o->low * t / 100, o->high * t / 100, options);
        if (error < best) best = error, by[0] = by[1] = t / 100.0;
    }
    for (int turn = 0; turn < 2; turn++)
        for (int side = 0; side < 2; side++) {
            double middle = by[side];
            for (int t = -8; t <= 8; t++) {
                double at[2] = {by[0], by[1]};
                at[side] = fmin(middle * (1 + t * (turn ? 0.01 : 0.04)), 1);
                double error = squared_error(&b, o->low * at[0], o->high * at[1], options);
                if (error < best) best = error, by[side] = at[side];
            }
        }
    *low = o->low * by[0];
    *high = o->high * by[1];
}

/* Kullback and Leibler's divergence of the values within bins [from, to) (those outside counted at the ends) from the same
 * in LEVELS levels, each of which gives its mass to those of its bins that have any. */
static double divergence(const outline *b, int from, int to) {
    double sum = 0, total = 0, inside = 0, before = 0, behind = 0;
    int count = to - from;
    for (int i = 0; i < b->count; i++) {
        total += b->mass[i];
        if (i < from) before += b->mass[i];
        if (i >= to) behind += b->mass[i];
    }
    inside = total - before - behind;
    if (!(inside > 0)) return INFINITY;
    for (int level = 0; level < LEVELS; level++) {
        int first = from + (int)((int64_t)level * count / LEVELS),
            last = from + (int)((int64_t)(level + 1) * count / LEVELS);
        double mass = 0;
        int used = 0;
        for (int i = first; i < last; i++) {
            double p = b->mass[i] + (i == from ? before : 0) + (i == to - 1 ? behind : 0);
            mass += b->mass[i];
            used += p > 0;
        }
        for (int i = first; i < last; i++) {
            double p = (b->mass[i] + (i == from ? before : 0) + (i == to - 1 ? behind : 0)) / total;
            if (p > 0) sum += p * log(p / fmax(mass / used / inside, 1e-9));
        }
    }
    return sum;
}

/* Ends that lie as far from 0, by coarse steps and then by fine ones around the best. */
static void least_divergence(const tn_observer *o, double *low, double *high) {
    outline b;
    outline_of(o, &b);
    const int zero = (int)rint(-b.start / b.width), reach = TN_MAX(zero, b.count - zero);
    const int coarse = TN_MAX(reach / 32, 1), fine = TN_MAX(reach / 128, 1);
    int from = 0, to = b.count, best_reach = reach, most = reach, least = LEVELS / 2;
    double best = INFINITY;
    for (int step = coarse;; step = fine) {
        for (int t = most; t >= least; t -= step) {
            int first = TN_MAX(zero - t, 0), last = TN_MIN(zero + t, b.count);
            double d = last - first > LEVELS / 2 ? divergence(&b, first, last) : INFINITY;
            if (d < best) best = d, from = first, to = last, best_reach = t;
        }
        if (step == fine) break;
        most = TN_MIN(best_reach + coarse - fine, reach);
        least = TN_MAX(best_reach - coarse + fine, LEVELS / 2);
    }
    *low = fmax(o->low, b.start + from * b.width);
    *high = fmin(o->high, b.start + to * b.width);
}

tn_qrange tn_observer_range(const tn_observer *o, const tn_quantize_options *options) {
    double low = o->low, high = o->high, part;
    if (!o->seen) return tn_range_of(0, 0, options);
    switch (options->calibration) {
    case TN_CALIBRATE_MOVING_AVERAGE:
        low = o->mean_low;
        high = o->mean_high;
        break;
    case TN_CALIBRATE_PERCENTILE:
        part = (1 - (options->percentile > 0 ? options->percentile : 99.999) / 100) / 2;
        low = fmax(low, tn_histogram_quantile(&o->histogram, part));
        high = fmin(high, tn_histogram_quantile(&o->histogram, 1 - part));
        break;
    case TN_CALIBRATE_ENTROPY:
        if (high > low) least_divergence(o, &low, &high);
        break;
    case TN_CALIBRATE_MSE:
        if (high > low) least_error(o, options, &low, &high);
        break;
    default: break;
    }
    return tn_range_of(low, high, options);
}
