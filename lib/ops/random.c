/* RandomUniform, RandomNormal (and their Likes), Bernoulli, Multinomial.
 *
 * Numbers are drawn one after the other on the caller's thread, so that a seed gives the same ones on any machine and
 * at any number of threads. A node with a seed has a generator of its own; others share the session's. */
#include "base/element.h"
#include "ops/data.h"
#include <math.h>

typedef struct {
    bool seeded;
    uint64_t seed;
    double a, b; /* low and high; mean and scale */
} random_state;

static uint64_t *seed_of(random_state *s) {
    return s->seeded ? &s->seed : NULL;
}

/* In [0, 1). */
static double uniform(tn_run *call, random_state *s) {
    return (double)(tn_run_random(call, seed_of(s)) >> 11) * 0x1p-53;
}

/* Box and Muller, 1958; one of the pair is enough. */
static double normal(tn_run *call, random_state *s) {
    double radius = sqrt(-2 * log(1 - uniform(call, s)));
    return radius * cos(6.283185307179586 * uniform(call, s));
}

static tn_status prepare_random(tn_prepare *call, const char *a, float a_default, const char *b, float b_default) {
    random_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    float seed = tn_attr_float(call->node, "seed", 0);
    uint32_t bits;
    memcpy(&bits, &seed, sizeof bits);
    *s = (random_state){tn_node_attr(call->node, "seed") != NULL, bits, tn_attr_float(call->node, a, a_default),
                        tn_attr_float(call->node, b, b_default)};
    call->state = s;
    return TN_OK;
}

static tn_status prepare_uniform(tn_prepare *call) {
    return prepare_random(call, "low", 0, "high", 1);
}

static tn_status prepare_normal(tn_prepare *call) {
    return prepare_random(call, "mean", 0, "scale", 1);
}

/* The dtype that attribute `dtype` names, which must be among `allowed`. */
static tn_status read_dtype(const tn_node *node, tn_dtype fallback, const tn_dtype *allowed, tn_dtype *out_dtype) {
    int64_t dtype = tn_attr_int(node, "dtype", fallback);
    for (; *allowed; allowed++)
        if (dtype == (int64_t)*allowed) break;
    if (dtype != TN_UNDEFINED && !*allowed)
        return tn_fail(TN_E_TYPE, "its data type number %lld is none that it gives", (long long)dtype);
    *out_dtype = (tn_dtype)dtype;
    return TN_OK;
}

static tn_status infer_random(tn_infer *call) {
    size_t rank;
    tn_dtype dtype = TN_UNDEFINED;
    const int64_t *shape = tn_attr_ints(call->node, "shape", &rank);
    TN_TRY(read_dtype(call->node, TN_FLOAT32, TN_FLOATS, &dtype));
    if (!tn_node_attr(call->node, "shape")) return tn_fail(TN_E_INVALID, "attribute shape is required");
    if (rank > TN_MAX_RANK)
        return tn_fail(TN_E_SHAPE, "attribute shape has %zu values; at most %d do", rank, TN_MAX_RANK);
    for (size_t i = 0; i < rank; i++)
        if (shape[i] < 0) return tn_fail(TN_E_INVALID, "attribute shape has %lld", (long long)shape[i]);
    return tn_infer_out(call, 0, dtype, (int)rank, shape);
}

static tn_status infer_random_like(tn_infer *call) {
    tn_dtype dtype = TN_UNDEFINED;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(read_dtype(call->node, call->in[0]->dtype, TN_FLOATS, &dtype));
    return tn_infer_out(call, 0, dtype, call->in[0]->rank, call->in[0]->dims);
}

static tn_status run_uniform(tn_run *call) {
    random_state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    for (int64_t i = 0; y && i < tn_count(y); i++)
        tn_set_double(y->dtype, y->data, i, s->a + (s->b - s->a) * uniform(call, s));
    return TN_OK;
}

static tn_status run_normal(tn_run *call) {
    random_state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    for (int64_t i = 0; y && i < tn_count(y); i++) tn_set_double(y->dtype, y->data, i, s->a + s->b * normal(call, s));
    return TN_OK;
}

/* ---- Bernoulli: 1 with the probability that the input says ---- */

static tn_status infer_bernoulli(tn_infer *call) {
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,  TN_BOOL,
                                      TN_INT8,    TN_INT16,   TN_INT32,    TN_INT64,    TN_UINT8,
                                      TN_UINT16,  TN_UINT32,  TN_UINT64,   TN_UNDEFINED};
    tn_dtype dtype = TN_UNDEFINED;
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    TN_TRY(read_dtype(call->node, call->in[0]->dtype, dtypes, &dtype));
    return tn_infer_out(call, 0, dtype, call->in[0]->rank, call->in[0]->dims);
}

static tn_status run_bernoulli(tn_run *call) {
    random_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    for (int64_t i = 0; y && i < tn_count(y); i++)
        tn_set_int(y->dtype, y->data, i, uniform(call, s) < tn_get_double(x->dtype, x->data, i));
    return TN_OK;
}

/* ---- Multinomial: class numbers, by unnormalised log-probabilities [batch, classes] ---- */

static tn_status infer_multinomial(tn_infer *call) {
    tn_dtype dtype = TN_UNDEFINED;
    int64_t samples = tn_attr_int(call->node, "sample_size", 1);
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    TN_TRY(read_dtype(call->node, TN_INT32, (const tn_dtype[]){TN_INT32, TN_INT64, TN_UNDEFINED}, &dtype));
    const tn_type *x = call->in[0];
    if (x->rank >= 0 && x->rank != 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [batch, classes]");
    if (x->rank == 2 && x->dims[1] == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "there are no classes");
    if (samples < 0) return tn_fail(TN_E_INVALID, "attribute sample_size is %lld", (long long)samples);
    return tn_infer_out(call, 0, dtype, 2, (int64_t[]){x->rank == 2 ? x->dims[0] : -1, samples});
}

static tn_status prepare_multinomial(tn_prepare *call) {
    TN_TRY(prepare_uniform(call));
    if (!tn_mul_size((size_t)call->in[0]->dims[1], sizeof(double), &call->scratch))
        return tn_fail(TN_E_LIMIT, "%lld classes are too many", (long long)call->in[0]->dims[1]);
    return TN_OK;
}

static tn_status run_multinomial(tn_run *call) {
    random_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    double *sums = call->scratch; /* of the probabilities up to and with each class */
    if (!y) return TN_OK;
    int64_t classes = x->dims[1], samples = y->dims[1];
    for (int64_t row = 0; row < x->dims[0]; row++) {
        double most = -INFINITY, sum = 0;
        tn_read_doubles(x->dtype, x->data, row * classes, (size_t)classes, sums);
        for (int64_t c = 0; c < classes; c++) most = fmax(most, sums[c]);
        for (int64_t c = 0; c < classes; c++) sums[c] = sum += exp(sums[c] - most);
        for (int64_t i = 0; i < samples; i++) {
            double at = uniform(call, s) * sum;
            int64_t low = 0, high = classes - 1; /* the first class whose sum is above */
            while (low < high) {
                int64_t middle = low + (high - low) / 2;
                if (sums[middle] > at)
                    high = middle;
                else
                    low = middle + 1;
            }
            tn_set_int(y->dtype, y->data, row * samples + i, low);
        }
    }
    return TN_OK;
}

#define RANDOM_OP(op_name, ins, infer_fn, prepare_fn, run_fn)                                                          \
    {                                                                                                                  \
        .domain = "", .name = op_name, .min_in = ins, .max_in = ins, .min_out = 1, .max_out = 1,                       \
        .flags = TN_OP_RANDOM, .infer = infer_fn, .prepare = prepare_fn, .run = run_fn                                 \
    }

const tn_op tn_ops_random[] = {
    RANDOM_OP("RandomUniform", 0, infer_random, prepare_uniform, run_uniform),
    RANDOM_OP("RandomNormal", 0, infer_random, prepare_normal, run_normal),
    RANDOM_OP("RandomUniformLike", 1, infer_random_like, prepare_uniform, run_uniform),
    RANDOM_OP("RandomNormalLike", 1, infer_random_like, prepare_normal, run_normal),
    RANDOM_OP("Bernoulli", 1, infer_bernoulli, prepare_uniform, run_bernoulli),
    RANDOM_OP("Multinomial", 1, infer_multinomial, prepare_multinomial, run_multinomial),
    {0},
};
