/* Reductions by plain loops, for every dtype but the fast cases of float32; and the plan of all. See reduce.h.
 *
 * Integers are summed modulo 2^64 and cut to their width; bool knows max and min alone. */
#include "ops/reduce.h"
#include "base/element.h"
#include <math.h>

static void push(tn_reduce_loops *loops, size_t dim, size_t stride) {
    loops->dims[loops->rank] = dim;
    loops->strides[loops->rank++] = stride;
    loops->count *= dim;
}

void tn_reduce_plan(tn_reduce_shape *shape, int rank, const int64_t *dims, const bool *reduce) {
    size_t group[TN_MAX_RANK], stride[TN_MAX_RANK];
    bool reduced[TN_MAX_RANK];
    int count = 0;
    for (int i = 0; i < rank; i++) {
        if (dims[i] == 1) continue;
        if (count && reduced[count - 1] == reduce[i])
            group[count - 1] *= (size_t)dims[i];
        else
            group[count] = (size_t)dims[i], reduced[count++] = reduce[i];
    }
    size_t step = 1;
    for (int i = count - 1; i >= 0; i--) {
        stride[i] = step;
        step *= group[i];
    }
    *shape = (tn_reduce_shape){.rows = 1, .width = 1, .kept.count = 1, .reduced.count = 1};
    if (count && !reduced[count - 1]) shape->width = group[--count];
    if (count && reduced[count - 1]) shape->rows = group[--count];
    for (int i = 0; i < count; i++) push(reduced[i] ? &shape->reduced : &shape->kept, group[i], stride[i]);
}

enum { STRIP = 256 };

typedef union accumulator {
    double real;
    int64_t whole; /* uint64_t's bits likewise */
} accumulator;

typedef struct job {
    const tn_reduce_shape *shape;
    tn_reduction kind;
    tn_dtype dtype;
    const void *x;
    bool whole;      /* summed as integers */
    uint64_t flip;   /* the sign bit for uint64: then unsigned order is that of signed numbers */
    size_t first, n; /* output strip: the block's first element in x, and columns */
} job;

static void add_reals(tn_reduction kind, accumulator *a, size_t step, const double *v, const accumulator *shift,
                      size_t n) {
#define EACH(expression)                                                                                               \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        double *s = &a[i * step].real, e = v[i];                                                                       \
        *s = expression;                                                                                               \
    }                                                                                                                  \
    break;
    switch (kind) {
    case TN_REDUCE_MAX: EACH(e > *s || e != e ? e : *s)
    case TN_REDUCE_MIN: EACH(e < *s || e != e ? e : *s)
    case TN_REDUCE_PROD: EACH(*s * e)
    case TN_REDUCE_L1: EACH(*s + fabs(e))
    case TN_REDUCE_L2:
    case TN_REDUCE_SUM_SQUARE: EACH(*s + e * e)
    case TN_REDUCE_LOG_SUM_EXP: EACH(*s + exp(e - shift[i * step].real))
    default: EACH(*s + e)
    }
#undef EACH
}

static void add_wholes(tn_reduction kind, accumulator *a, size_t step, const int64_t *v, uint64_t flip, size_t n) {
#define EACH(expression)                                                                                               \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        uint64_t s = (uint64_t)a[i * step].whole, e = (uint64_t)v[i];                                                  \
        a[i * step].whole = (int64_t)(expression);                                                                     \
    }                                                                                                                  \
    break;
    switch (kind) {
    case TN_REDUCE_MAX: EACH((int64_t)(e ^ flip) > (int64_t)(s ^ flip) ? e : s)
    case TN_REDUCE_MIN: EACH((int64_t)(e ^ flip) < (int64_t)(s ^ flip) ? e : s)
    case TN_REDUCE_PROD: EACH(s * e)
    case TN_REDUCE_L1: EACH(s + ((int64_t)e < 0 && !flip ? 0 - e : e))
    case TN_REDUCE_L2:
    case TN_REDUCE_SUM_SQUARE: EACH(s + e * e)
    default: EACH(s + e)
    }
#undef EACH
}

/* One pass over all that goes into the strip. */
static void accumulate(const job *j, tn_reduction kind, accumulator *a, const accumulator *shift) {
    const tn_reduce_shape *s = j->shape;
    union {
        double real[STRIP];
        int64_t whole[STRIP];
    } v;
    /* Rows of one column lie side by side; of several, columns do. */
    size_t line = s->width == 1 ? s->rows : j->n, lines = s->width == 1 ? 1 : s->rows, step = s->width != 1;
    for (size_t i = 0; i < s->reduced.count; i++)
        for (size_t r = 0; r < lines; r++)
            for (size_t done = 0, n; done < line; done += n) {
                int64_t at = (int64_t)(j->first + tn_reduce_offset(&s->reduced, i) + r * s->width + done);
                n = TN_MIN(line - done, (size_t)STRIP);
                if (j->whole) {
                    tn_read_ints(j->dtype, j->x, at, n, v.whole);
                    add_wholes(kind, a, step, v.whole, j->flip, n);
                } else {
                    tn_read_doubles(j->dtype, j->x, at, n, v.real);
                    add_reals(kind, a, step, v.real, shift, n);
                }
            }
}

static accumulator neutral(const job *j, tn_reduction kind) {
    bool high = kind == TN_REDUCE_MAX, low = kind == TN_REDUCE_MIN;
    if (!j->whole) return (accumulator){.real = high ? -INFINITY : low ? INFINITY : kind == TN_REDUCE_PROD};
    if (!high && !low) return (accumulator){.whole = kind == TN_REDUCE_PROD};
    int bits = j->dtype == TN_BOOL ? 1 : (int)tn_dtype_bits(j->dtype);
    if (tn_dtype_is_signed(j->dtype))
        return (accumulator){.whole = high ? INT64_MIN >> (64 - bits) : INT64_MAX >> (64 - bits)};
    return (accumulator){.whole = high ? 0 : (int64_t)(UINT64_MAX >> (64 - bits))};
}

static void finish(const job *j, accumulator *a, const accumulator *shift, void *y, size_t at) {
    size_t count = j->shape->rows * j->shape->reduced.count;
    for (size_t i = 0; i < j->n; i++, at++) {
        double sum = j->whole && j->flip ? (double)(uint64_t)a[i].whole : j->whole ? (double)a[i].whole : a[i].real;
        switch (j->kind) {
        case TN_REDUCE_L2: sum = sqrt(sum); break;
        case TN_REDUCE_LOG_SUM: sum = log(sum); break;
        case TN_REDUCE_LOG_SUM_EXP: sum = shift[i].real + log(sum); break;
        case TN_REDUCE_MEAN:
            if (j->whole && count)
                a[i].whole = j->flip ? (int64_t)((uint64_t)a[i].whole / count) : a[i].whole / (int64_t)count;
            sum /= (double)count;
            break;
        default: break;
        }
        bool as_real = !j->whole || j->kind == TN_REDUCE_L2 || j->kind == TN_REDUCE_LOG_SUM;
        if (as_real)
            tn_set_double(j->dtype, y, (int64_t)at, sum);
        else
            tn_set_int(j->dtype, y, (int64_t)at, a[i].whole);
    }
}

void tn_reduce_generic(const tn_reduce_shape *shape, tn_reduction kind, tn_dtype dtype, const void *x, void *y,
                       size_t first, size_t last) {
    accumulator a[STRIP], shift[STRIP];
    job j = {.shape = shape, .kind = kind, .dtype = dtype, .x = x};
    j.whole = !tn_dtype_is_float(dtype) && kind != TN_REDUCE_LOG_SUM_EXP;
    j.flip = dtype == TN_UINT64 ? (uint64_t)1 << 63 : 0;
    for (size_t at = first; at < last; at += j.n) {
        size_t column = at % shape->width;
        j.n = TN_MIN(TN_MIN(last - at, shape->width - column), (size_t)STRIP);
        j.first = tn_reduce_offset(&shape->kept, at / shape->width) + column;
        if (kind == TN_REDUCE_LOG_SUM_EXP) { /* exponentials of what is not above 0 do not overflow */
            for (size_t i = 0; i < j.n; i++) shift[i] = neutral(&j, TN_REDUCE_MAX);
            accumulate(&j, TN_REDUCE_MAX, shift, NULL);
            for (size_t i = 0; i < j.n; i++)
                if (isinf(shift[i].real)) shift[i].real = 0;
        }
        for (size_t i = 0; i < j.n; i++) a[i] = neutral(&j, kind);
        accumulate(&j, kind, a, shift);
        finish(&j, a, shift, y, at);
    }
}
