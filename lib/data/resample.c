/* Sound at another rate. up zeros stand behind each sample, a low-pass filter makes the line through them, and every down-th
 * value stays; only those are computed. Filter: a sinc under a Kaiser window of beta 5, 10 zeros a side, of sum `up`, as
 * scipy.signal.resample_poly has it by itself. */
#include <math.h>
#include <tenon/media.h>
#include "base/base.h"

enum { MOST_RATE = 768000, ZEROS = 10 };
#define PI 3.14159265358979323846

/* The modified Bessel function of order 0, by its power series. */
static double bessel_i0(double x) {
    double sum = 1, term = 1;
    for (int k = 1; k < 60 && term > 1e-17 * sum; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

static void make_filter(double *h, int64_t half, int64_t most, int64_t up) {
    double sum = 0;
    for (int64_t i = -half; i <= half; i++) {
        double x = PI * (double)i / (double)most, at = (double)i / (double)half;
        double window = bessel_i0(5 * sqrt(fmax(1 - at * at, 0))) / bessel_i0(5);
        h[i + half] = (i ? sin(x) / x : 1) * window;
        sum += h[i + half];
    }
    for (int64_t i = 0; i <= 2 * half; i++) h[i] *= (double)up / sum;
}

/* y[m] = sum over k of x[k] h[half + m down - k up] */
static void filter_line(const double *h, int64_t half, int64_t up, int64_t down, const float *x, int64_t n, float *y,
                        int64_t count) {
    for (int64_t m = 0; m < count; m++) {
        int64_t centre = m * down, first = centre - half, last = (centre + half) / up;
        first = first > 0 ? (first + up - 1) / up : 0;
        if (last > n - 1) last = n - 1;
        double sum = 0;
        for (int64_t k = first; k <= last; k++) sum += (double)x[k] * h[half + centre - k * up];
        y[m] = (float)sum;
    }
}

tn_status tn_sound_resample(const tn_tensor *sound, int from, int to, tn_tensor **out) {
    *out = NULL;
    if (from < 1 || to < 1 || from > MOST_RATE || to > MOST_RATE)
        return tn_fail(TN_E_INVALID, "sound of %d Hz to %d Hz: rates are from 1 to 768000", from, to);
    int rank = tn_tensor_rank(sound);
    if (tn_tensor_dtype(sound) != TN_FLOAT32 || rank < 1 || !tn_tensor_is_dense(sound))
        return tn_fail(TN_E_TYPE, "sound is dense float32 [..., frames]");
    if (from == to) return tn_tensor_clone(sound, NULL, out);
    int64_t a = from, b = to, dims[TN_MAX_RANK], up, down;
    while (b) up = a % b, a = b, b = up;
    up = to / a;
    down = from / a;
    memcpy(dims, tn_tensor_dims(sound), (size_t)rank * sizeof *dims);
    int64_t n = dims[rank - 1], lines = n ? tn_tensor_count(sound) / n : 0;
    if (__builtin_mul_overflow(n, up, &dims[rank - 1]))
        return tn_fail(TN_E_LIMIT, "a sound of %lld frames", (long long)n);
    dims[rank - 1] = (dims[rank - 1] + down - 1) / down;
    int64_t most = TN_MAX(up, down), half = ZEROS * most, count = dims[rank - 1];
    size_t bytes = (size_t)(2 * half + 1) * sizeof(double);
    TN_TRY(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, out));
    double *h = tn_alloc(NULL, bytes);
    if (!h) {
        tn_tensor_destroy(*out);
        *out = NULL;
        return TN_E_MEMORY;
    }
    make_filter(h, half, most, up);
    const float *x = tn_tensor_const_data(sound);
    float *y = tn_tensor_data(*out);
    for (int64_t i = 0; i < lines; i++) filter_line(h, half, up, down, x + i * n, n, y + i * count, count);
    tn_free(NULL, h, bytes);
    return TN_OK;
}
