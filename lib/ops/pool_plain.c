/* Pooling element by element: for dtypes, powers and index outputs that the kernels do not serve. See pool.h. */
#include "ops/pool.h"
#include "base/element.h"
#include <math.h>

typedef struct window_walk {
    int64_t start[TN_MAX_SPATIAL], first[TN_MAX_SPATIAL], last[TN_MAX_SPATIAL], at[TN_MAX_SPATIAL];
} window_walk;

/* Sets the walk to the first tap; false if there is none. */
static bool walk_begin(const tn_window *w, const int64_t *o, window_walk *walk) {
    bool any = true;
    for (int i = 0; i < w->spatial; i++) {
        walk->start[i] = tn_pool_taps(w, i, o[i], &walk->first[i], &walk->last[i]);
        walk->at[i] = walk->first[i];
        any = any && walk->first[i] < walk->last[i];
    }
    return any;
}

static bool walk_next(const tn_window *w, window_walk *walk) {
    for (int i = w->spatial - 1; i >= 0; walk->at[i] = walk->first[i], i--)
        if (++walk->at[i] < walk->last[i]) return true;
    return false;
}

static int64_t walk_offset(const tn_window *w, const window_walk *walk, bool column_major) {
    int64_t offset = 0;
    for (int k = 0; k < w->spatial; k++) {
        int i = column_major ? w->spatial - 1 - k : k;
        offset = offset * w->in[i] + walk->start[i] + walk->at[i] * w->dilation[i];
    }
    return offset;
}

static double lp_term(double v, int64_t p) {
    return p == 1 ? fabs(v) : p == 2 ? v * v : pow(fabs(v), (double)p);
}

void tn_pool_plain_row(const tn_pooling *p, const void *x, size_t plane, size_t r, void *y, int64_t *indices) {
    const tn_window *w = &p->window;
    int64_t o[TN_MAX_SPATIAL], base = (int64_t)(plane * p->in),
                               to = (int64_t)((plane * p->rows + r)) * w->out[w->spatial - 1];
    for (int i = w->spatial - 2; i >= 0; i--) {
        o[i] = (int64_t)(r % (size_t)w->out[i]);
        r /= (size_t)w->out[i];
    }
    for (int64_t column = 0; column < w->out[w->spatial - 1]; column++, to++) {
        window_walk walk = {0}, best;
        double a = p->kind == TN_POOL_MAX ? -INFINITY : 0;
        int64_t count = 1;
        o[w->spatial - 1] = column;
        bool any = walk_begin(w, o, &walk);
        best = walk;
        for (bool more = any; more; more = walk_next(w, &walk)) {
            double v = tn_get_double(p->dtype, x, base + walk_offset(w, &walk, false));
            if (p->kind != TN_POOL_MAX)
                a += p->kind == TN_POOL_LP ? lp_term(v, p->p) : v;
            else if (v > a)
                a = v, best = walk;
        }
        for (int i = 0; i < w->spatial && p->kind == TN_POOL_AVERAGE; i++) count *= tn_pool_count(p, i, o[i]);
        if (p->kind == TN_POOL_AVERAGE && count) a /= (double)count;
        if (p->kind == TN_POOL_LP) a = p->p == 1 ? a : p->p == 2 ? sqrt(a) : pow(a, 1 / (double)p->p);
        if (y) tn_set_double(p->dtype, y, to, a);
        if (indices) indices[to] = any ? base + walk_offset(w, &best, p->column_major) : base;
    }
}
