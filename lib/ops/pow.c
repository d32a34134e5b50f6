/* Pow: base and exponent of two dtypes, the result of the base's.
 *
 * float32 with the exponents that normalisation and GELU are written with (2, 3, 0.5) is a product or a root. Integers
 * with integer exponents are exact and wrap; an integer base with a negative exponent is 0 but for bases 1 and -1. All
 * else goes by blocks through double. */
#include "base/element.h"
#include "ops/broadcast.h"
#include <math.h>

enum { BLOCK = 256 };

typedef struct {
    tn_broadcast plan;
    tn_dtype base, exponent;
} pow_state;

static tn_status infer_pow(tn_infer *call) {
    int64_t dims[TN_MAX_RANK];
    int rank;
    static const tn_dtype bases[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64, TN_INT32, TN_INT64, TN_UNDEFINED};
    TN_TRY(tn_infer_dtype(call, 0, bases));
    TN_TRY(tn_infer_dtype(call, 1, TN_NUMBERS));
    TN_TRY(tn_infer_broadcast(call, 2, (int[]){0, 1}, &rank, dims));
    return tn_infer_out(call, 0, call->in[0]->dtype, rank, dims);
}

static tn_status prepare_pow(tn_prepare *call) {
    pow_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    tn_broadcast_plan(&s->plan, 2, call->in, call->out);
    s->base = call->in[0]->dtype;
    s->exponent = call->in[1]->dtype;
    call->state = s;
    return TN_OK;
}

typedef struct {
    const pow_state *state;
    const tn_kernels *kernels;
    const void *base, *exponent;
    void *y;
} pow_run;

static int64_t power(int64_t base, int64_t exponent, bool natural) {
    uint64_t square = (uint64_t)base, result = 1, e = (uint64_t)exponent;
    if (exponent < 0 && !natural) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0;
    for (; e; e >>= 1, square *= square)
        if (e & 1) result *= square;
    return (int64_t)result;
}

/* True if exponent e has a shorter way. */
static bool easy_power(const pow_run *r, size_t n, float *y, const float *x, double e) {
    if (e == 2) {
        r->kernels->mul_f32(1, n, y, x, 0, 1, x, 0, 1);
    } else if (e == 3) {
        for (size_t i = 0; i < n; i++) y[i] = x[i] * x[i] * x[i];
    } else if (e == 0.5) {
        for (size_t i = 0; i < n; i++) y[i] = x[i] == -INFINITY ? INFINITY : sqrtf(x[i]) + 0.0f; /* no -0 */
    } else {
        return false;
    }
    return true;
}

/* n elements; a step of 0 repeats the first. */
static void pow_row(const pow_run *r, int64_t out, size_t n, int64_t b, size_t b_step, int64_t e, size_t e_step) {
    tn_dtype base = r->state->base, exponent = r->state->exponent;
    float *y = (float *)r->y + out;
    const float *x = (const float *)r->base + b;
    if (base == TN_FLOAT32 && b_step && !e_step && easy_power(r, n, y, x, tn_get_double(exponent, r->exponent, e)))
        return;
    if (base == TN_FLOAT32 && exponent == TN_FLOAT32) {
        const float *p = (const float *)r->exponent + e;
        for (size_t i = 0; i < n; i++) y[i] = powf(x[i * b_step], p[i * e_step]);
        return;
    }
    bool integers = tn_dtype_is_integer(base) && tn_dtype_is_integer(exponent);
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t part = TN_MIN(n - i, (size_t)BLOCK), b_part = b_step ? part : 1, e_part = e_step ? part : 1;
        int64_t b_at = b + (int64_t)(i * b_step), e_at = e + (int64_t)(i * e_step);
        if (integers) {
            int64_t p[BLOCK], q[BLOCK], z[BLOCK];
            tn_read_ints(base, r->base, b_at, b_part, p);
            tn_read_ints(exponent, r->exponent, e_at, e_part, q);
            for (size_t k = 0; k < part; k++) z[k] = power(p[k * b_step], q[k * e_step], exponent == TN_UINT64);
            tn_write_ints(base, r->y, out + (int64_t)i, part, z, (tn_narrowing){0});
        } else {
            double p[BLOCK], q[BLOCK], z[BLOCK];
            tn_read_doubles(base, r->base, b_at, b_part, p);
            tn_read_doubles(exponent, r->exponent, e_at, e_part, q);
            for (size_t k = 0; k < part; k++) z[k] = pow(p[k * b_step], q[k * e_step]);
            tn_write_doubles(base, r->y, out + (int64_t)i, part, z, (tn_narrowing){0});
        }
    }
}

static void pow_strip(void *context, int64_t out, size_t rows, size_t n, const tn_strip *in) {
    for (size_t r = 0; r < rows; r++)
        pow_row(context, out + (int64_t)(r * n), n, in[0].first + (int64_t)(r * in[0].row), in[0].step,
                in[1].first + (int64_t)(r * in[1].row), in[1].step);
}

static tn_status run_pow(tn_run *call) {
    const pow_state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    pow_run r = {s, call->kernels, tn_in(call, 0)->data, tn_in(call, 1)->data, y->data};
    tn_broadcast_run(&s->plan, call->pool, 1 << 13, pow_strip, &r);
    return TN_OK;
}

/* Not in place: an exponent of wider elements that is repeated may have as many bytes as the output. */
const tn_op tn_ops_pow[] = {
    {.domain = "",
     .name = "Pow",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = infer_pow,
     .prepare = prepare_pow,
     .run = run_pow},
    {0},
};
