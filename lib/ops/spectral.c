/* Windows and mel filters: tables that audio models compute from a few scalars.
 *
 * The generalized cosine windows are one formula with other coefficients; the mel filters are triangles between
 * equidistant points of the mel scale, as the specification of MelWeightMatrix writes them down. */
#include "base/element.h"
#include "graph/op.h"
#include "ops/data.h"
#include <math.h>

static const tn_dtype real_numbers[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64, TN_UNDEFINED};

static tn_status infer_scalar(const tn_infer *call, int in) {
    int64_t count = call->in[in]->rank >= 0 ? tn_dims_count(call->in[in]->rank, call->in[in]->dims) : -1;
    if (count >= 0 && count != 1) return tn_infer_fail(call, in, TN_E_SHAPE, "expected a scalar");
    return TN_OK;
}

/* Attribute output_datatype. */
static tn_status read_dtype(const tn_infer *call, tn_dtype *out) {
    int64_t dtype = tn_attr_int(call->node, "output_datatype", TN_FLOAT32);
    for (const tn_dtype *d = TN_NUMBERS; *d; d++)
        if ((int64_t)*d == dtype) {
            *out = *d;
            return TN_OK;
        }
    return tn_fail(TN_E_TYPE, "attribute output_datatype is %lld; expected a type of numbers", (long long)dtype);
}

/* Contents of the integer scalar input `in`; -1 if they are not known. */
static tn_status read_size(const tn_infer *call, int in, int64_t least, int64_t *out) {
    size_t count;
    TN_TRY(tn_infer_index(call, in));
    TN_TRY(infer_scalar(call, in));
    if (!tn_infer_ints(call, in, out, 1, &count) || count != 1)
        *out = -1;
    else if (*out < least || *out > INT32_MAX)
        return tn_infer_fail(call, in, TN_E_INVALID, "it holds %lld; expected %lld to 2^31 - 1", (long long)*out,
                             (long long)least);
    return TN_OK;
}

static tn_status window_infer(tn_infer *call) {
    tn_dtype dtype = TN_UNDEFINED;
    int64_t size;
    TN_TRY(read_dtype(call, &dtype));
    TN_TRY(read_size(call, 0, 0, &size));
    return tn_infer_out(call, 0, dtype, 1, &size);
}

/* a[0] - a[1] cos(x) + a[2] cos(2x) */
static const double hann[] = {0.5, 0.5, 0}, hamming[] = {25.0 / 46, 21.0 / 46, 0}, blackman[] = {0.42, 0.5, 0.08};

typedef struct window_state {
    const double *a;
    bool periodic;
} window_state;

static tn_status window_prepare(tn_prepare *call) {
    window_state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const char *name = call->node->op->name;
    s->a = strcmp(name, "HannWindow") == 0 ? hann : strcmp(name, "HammingWindow") == 0 ? hamming : blackman;
    s->periodic = tn_attr_int(call->node, "periodic", 1) != 0;
    return TN_OK;
}

static tn_status window_run(tn_run *call) {
    const window_state *s = call->state;
    tn_tensor *out = tn_out(call, 0);
    int64_t n = out->dims[0];
    double period = (double)(s->periodic || n < 2 ? n : n - 1);
    for (int64_t i = 0; i < n; i++) {
        double x = 2 * M_PI * (double)i / period;
        tn_set_double(out->dtype, out->data, i,
                      n == 1 && !s->periodic ? 1 : s->a[0] - s->a[1] * cos(x) + s->a[2] * cos(2 * x));
    }
    return TN_OK;
}

static tn_status mel_infer(tn_infer *call) {
    tn_dtype dtype = TN_UNDEFINED;
    int64_t bins, length, rate;
    TN_TRY(read_dtype(call, &dtype));
    TN_TRY(read_size(call, 0, 0, &bins));
    TN_TRY(read_size(call, 1, 1, &length));
    TN_TRY(read_size(call, 2, 1, &rate));
    for (int i = 3; i < 5; i++) {
        TN_TRY(tn_infer_dtype(call, i, real_numbers));
        TN_TRY(infer_scalar(call, i));
    }
    int64_t dims[] = {length >= 0 ? length / 2 + 1 : -1, bins};
    return tn_infer_out(call, 0, dtype, 2, dims);
}

/* The bin of the spectrum where edge number i of the triangles lies. */
static int64_t mel_edge(int64_t i, double low_mel, double step, int64_t length, int64_t rate) {
    double hertz = 700 * (pow(10, (low_mel + (double)i * step) / 2595) - 1);
    return tn_double_to_int(floor((double)(length + 1) * hertz / (double)rate));
}

static void fill_triangle(tn_tensor *out, int64_t column, int64_t low, int64_t center, int64_t high) {
    int64_t columns = out->dims[1];
    for (int64_t j = low; j <= center && center > low; j++)
        tn_set_double(out->dtype, out->data, j * columns + column, (double)(j - low) / (double)(center - low));
    if (center == low) tn_set_double(out->dtype, out->data, center * columns + column, 1);
    for (int64_t j = center; j < high; j++)
        tn_set_double(out->dtype, out->data, j * columns + column, (double)(high - j) / (double)(high - center));
}

static tn_status mel_run(tn_run *call) {
    tn_tensor *out = tn_out(call, 0);
    int64_t bins = out->dims[1], length = tn_index_at(tn_in(call, 1), 0), rate = tn_index_at(tn_in(call, 2), 0);
    double edge[2];
    for (int i = 0; i < 2; i++) {
        const tn_tensor *t = tn_in(call, 3 + i);
        double hertz = tn_get_double(t->dtype, t->data, 0);
        if (!(hertz >= 0 && hertz <= 1e12))
            return tn_fail(TN_E_INVALID, "%g Hz lies outside of what has a mel scale", hertz);
        edge[i] = 2595 * log10(1 + hertz / 700);
    }
    double step = (edge[1] - edge[0]) / (double)(bins + 2);
    memset(out->data, 0, tn_dtype_bytes(out->dtype, tn_count(out)));
    for (int64_t i = 0; i < bins; i++) {
        int64_t low = mel_edge(i, edge[0], step, length, rate), center = mel_edge(i + 1, edge[0], step, length, rate),
                high = mel_edge(i + 2, edge[0], step, length, rate);
        if (low < 0 || center < low || high < center || center >= out->dims[0] || high > out->dims[0])
            return tn_fail(TN_E_INVALID, "band %lld lies outside of 0 to half the sample rate of %lld Hz", (long long)i,
                           (long long)rate);
        fill_triangle(out, i, low, center, high);
    }
    return TN_OK;
}

#define WINDOW(name_)                                                                                                  \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .infer = window_infer,      \
        .prepare = window_prepare, .run = window_run                                                                   \
    }

const tn_op tn_ops_spectral[] = {
    WINDOW("HannWindow"),
    WINDOW("HammingWindow"),
    WINDOW("BlackmanWindow"),
    {.domain = "",
     .name = "MelWeightMatrix",
     .min_in = 5,
     .max_in = 5,
     .min_out = 1,
     .max_out = 1,
     .infer = mel_infer,
     .run = mel_run},
    {0},
};
