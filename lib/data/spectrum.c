/* Spectra of sound: power under a Hann window, summed up in mel bands.
 * Mel scale: Slaney, Auditory Toolbox (1998): linear to 1000 Hz, logarithmic above. */
#include <math.h>
#include <tenon/media.h>
#include "base/base.h"
#include "ops/fft.h"

enum { MOST_WINDOW = 65536, MOST_BANDS = 4096 };
#define PI 3.14159265358979323846
#define LEAST_POWER 1e-10

static double to_mel(double hz) {
    return hz < 1000 ? hz * 3 / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}
static double to_hz(double mel) {
    return mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27);
}

typedef struct work {
    tn_spectrum_options o;
    int64_t bins;
    tn_fft fft;
    void *tables, *scratch;
    size_t table_bytes, scratch_bytes, window_bytes, signal_bytes, power_bytes, edge_bytes;
    double *window, *power, *edges; /* edges: of the bands, bands + 2 of them, Hz */
    tn_complex *signal;
} work;

static void free_work(work *w) {
    tn_free(NULL, w->tables, w->table_bytes);
    tn_free(NULL, w->scratch, w->scratch_bytes);
    tn_free(NULL, w->window, w->window_bytes);
    tn_free(NULL, w->signal, w->signal_bytes);
    tn_free(NULL, w->power, w->power_bytes);
    tn_free(NULL, w->edges, w->edge_bytes);
}

static tn_status make_work(work *w) {
    int64_t n = w->o.window;
    w->bins = n / 2 + 1;
    w->table_bytes = tn_fft_table_bytes(n);
    w->scratch_bytes = tn_fft_work_bytes(n);
    w->window_bytes = (size_t)n * sizeof *w->window;
    w->signal_bytes = (size_t)n * sizeof *w->signal;
    w->power_bytes = (size_t)w->bins * sizeof *w->power;
    w->edge_bytes = ((size_t)w->o.bands + 2) * sizeof *w->edges;
    w->tables = tn_alloc(NULL, w->table_bytes);
    w->scratch = tn_alloc(NULL, w->scratch_bytes);
    w->window = tn_alloc(NULL, w->window_bytes);
    w->signal = tn_alloc(NULL, w->signal_bytes);
    w->power = tn_alloc(NULL, w->power_bytes);
    w->edges = tn_alloc(NULL, w->edge_bytes);
    if (!w->tables || !w->scratch || !w->window || !w->signal || !w->power || !w->edges) return TN_E_MEMORY;
    tn_fft_plan(&w->fft, n, w->tables, w->scratch);
    for (int64_t i = 0; i < n; i++) w->window[i] = 0.5 - 0.5 * cos(2 * PI * (double)i / (double)n);
    double low = to_mel(w->o.least), high = to_mel(w->o.greatest);
    for (int i = 0; i < w->o.bands + 2; i++) w->edges[i] = to_hz(low + (high - low) * i / (w->o.bands + 1));
    return TN_OK;
}

static float decibels(double power) {
    return (float)(10 * log10(power < LEAST_POWER ? LEAST_POWER : power)); /* what is no number stays none */
}

/* A triangle between its neighbours' tops, of area 1 over frequency. */
static double band_power(const work *w, int band) {
    const double *e = w->edges + band;
    double sum = 0, step = (double)w->o.rate / w->o.window;
    int64_t first = (int64_t)floor(e[0] / step), last = (int64_t)ceil(e[2] / step);
    for (int64_t k = TN_MAX(first, 0); k <= TN_MIN(last, w->bins - 1); k++) {
        double hz = (double)k * step, up = (hz - e[0]) / (e[1] - e[0]), down = (e[2] - hz) / (e[2] - e[1]);
        sum += fmax(fmin(up, down), 0) * w->power[k];
    }
    return sum * 2 / (e[2] - e[0]);
}

/* Frame by frame; a band's values stand in a row. */
static void transform(work *w, const float *x, int64_t frames, float *out) {
    int64_t rows = w->o.bands ? w->o.bands : w->bins;
    for (int64_t f = 0; f < frames; f++, x += w->o.hop) {
        for (int64_t i = 0; i < w->o.window; i++) w->signal[i] = (tn_complex){(double)x[i] * w->window[i], 0};
        tn_fft_run(&w->fft, w->signal, w->scratch);
        for (int64_t k = 0; k < w->bins; k++)
            w->power[k] = w->signal[k].re * w->signal[k].re + w->signal[k].im * w->signal[k].im;
        for (int64_t b = 0; b < rows; b++)
            out[b * frames + f] = decibels(w->o.bands ? band_power(w, (int)b) : w->power[b]);
    }
}

static tn_status check(tn_spectrum_options *o) {
    if (o->window < 2 || o->window > MOST_WINDOW || o->hop < 1 || o->hop > o->window)
        return tn_fail(TN_E_INVALID, "a spectrum's window is 2 to 65536 frames, its hop 1 to the window; not %d and %d",
                       o->window, o->hop);
    if (o->bands < 0 || o->bands > MOST_BANDS) return tn_fail(TN_E_INVALID, "a spectrum of %d bands", o->bands);
    if (!o->bands) return TN_OK;
    if (o->rate < 1) return tn_fail(TN_E_INVALID, "bands need the sound's rate");
    if (o->greatest == 0) o->greatest = o->rate / 2.0;
    if (o->least >= 0 && o->greatest > o->least && o->greatest <= o->rate / 2.0) return TN_OK;
    return tn_fail(TN_E_INVALID, "bands from %g to %g Hz: they lie between 0 and half the rate, %g", o->least,
                   o->greatest, o->rate / 2.0);
}

tn_status tn_spectrum(const tn_tensor *sound, const tn_spectrum_options *options, tn_tensor **out) {
    work w = {0};
    *out = NULL;
    memcpy(&w.o, options, TN_MIN(options->struct_size, sizeof w.o));
    TN_TRY(check(&w.o));
    int rank = tn_tensor_rank(sound);
    if (tn_tensor_dtype(sound) != TN_FLOAT32 || rank < 1 || rank >= TN_MAX_RANK || !tn_tensor_is_dense(sound))
        return tn_fail(TN_E_TYPE, "sound is dense float32 [..., frames]");
    int64_t dims[TN_MAX_RANK], n = tn_tensor_dims(sound)[rank - 1];
    if (n < w.o.window)
        return tn_fail(TN_E_SHAPE, "a sound of %lld frames is shorter than a window of %d", (long long)n, w.o.window);
    memcpy(dims, tn_tensor_dims(sound), (size_t)rank * sizeof *dims);
    dims[rank - 1] = w.o.bands ? w.o.bands : w.o.window / 2 + 1;
    dims[rank] = 1 + (n - w.o.window) / w.o.hop;
    tn_status status = make_work(&w);
    if (status == TN_OK) status = tn_tensor_create(TN_FLOAT32, rank + 1, dims, NULL, out);
    if (status == TN_OK) {
        int64_t lines = tn_tensor_count(sound) / n, size = dims[rank - 1] * dims[rank];
        const float *x = tn_tensor_const_data(sound);
        for (int64_t i = 0; i < lines; i++)
            transform(&w, x + i * n, dims[rank], (float *)tn_tensor_data(*out) + i * size);
    }
    free_work(&w);
    return status;
}
