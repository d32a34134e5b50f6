/* Pooling over windows: what its two ways of working share. */
#ifndef TN_OPS_POOL_H
#define TN_OPS_POOL_H

#include "ops/window.h"

typedef enum tn_pool_kind { TN_POOL_MAX, TN_POOL_AVERAGE, TN_POOL_LP } tn_pool_kind;

typedef struct tn_pooling {
    tn_pool_kind kind;
    tn_window window;
    tn_dtype dtype;
    bool count_pad, column_major;
    int64_t p;           /* of Lp */
    size_t planes;       /* batch x channels */
    size_t in, out;      /* elements of a plane */
    size_t rows;         /* a plane's output rows: out without the last axis */
    size_t batch, tasks; /* output rows of a task */
} tn_pooling;

/* The taps k in [*first, *last) of output position o that fall on input elements, those of a hostile kernel included;
 * returns where tap 0 is. */
static inline int64_t tn_pool_taps(const tn_window *w, int axis, int64_t o, int64_t *first, int64_t *last) {
    int64_t start = o * w->stride[axis] - w->pad_begin[axis], d = w->dilation[axis];
    *first = start < 0 ? (-start + d - 1) / d : 0;
    *last = start < w->in[axis] ? TN_MIN((w->in[axis] - start + d - 1) / d, w->kernel[axis]) : 0;
    *first = TN_MIN(*first, *last);
    return start;
}

/* The taps that an average divides by: those on elements or, with count_pad, on padding too. Positions past the end's
 * padding, as ceil_mode makes them, never count. */
static inline int64_t tn_pool_count(const tn_pooling *p, int axis, int64_t o) {
    const tn_window *w = &p->window;
    int64_t first, last, start = tn_pool_taps(w, axis, o, &first, &last), d = w->dilation[axis];
    if (!p->count_pad) return last - first;
    return TN_MAX(TN_MIN((w->in[axis] + w->pad_end[axis] - start + d - 1) / d, w->kernel[axis]), 0);
}

/* Output row r of a plane, element by element: any dtype, any kind. indices may be NULL; base is what is added to them,
 * the plane's place in the tensor. */
void tn_pool_plain_row(const tn_pooling *p, const void *x, size_t plane, size_t r, void *y, int64_t *indices);

#endif
