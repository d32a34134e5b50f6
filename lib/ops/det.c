/* Det and com.microsoft's Inverse: determinants and inverses of square matrices, by elimination with partial pivoting in
 * double precision. A matrix that has no inverse gives infinities and NaNs, as the division says. */
#include "graph/op.h"
#include "ops/data.h"
#include <math.h>

static tn_status infer(tn_infer *call) {
    bool inverse = *call->node->op->domain;
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    const tn_type *x = call->in[0];
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    if (x->rank < 2 || !tn_dim_fits(x->dims[x->rank - 1], x->dims[x->rank - 2]))
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [..., M, M]");
    return tn_infer_out(call, 0, x->dtype, inverse ? x->rank : x->rank - 2, x->dims);
}

static tn_status prepare(tn_prepare *call) {
    int64_t m = call->in[0]->dims[call->in[0]->rank - 1], columns = *call->node->op->domain ? 2 : 1;
    call->scratch = tn_dtype_bytes(TN_FLOAT64, tn_dims_count(3, (int64_t[]){m, m, columns}));
    return call->scratch == SIZE_MAX ? tn_fail(TN_E_LIMIT, "a matrix of %lld rows is too large", (long long)m) : TN_OK;
}

/* Brings the largest element of column k, at row k or below, to row k; true if rows were exchanged. */
static bool pivot(double *a, int64_t m, int64_t columns, int64_t k) {
    int64_t from = k;
    for (int64_t i = k + 1; i < m; i++)
        if (fabs(a[i * columns + k]) > fabs(a[from * columns + k])) from = i;
    for (int64_t i = k; i < columns && from != k; i++) {
        double swap = a[k * columns + i];
        a[k * columns + i] = a[from * columns + i];
        a[from * columns + i] = swap;
    }
    return from != k;
}

static double determinant(double *a, int64_t m) {
    double product = 1;
    for (int64_t k = 0; k < m; k++) {
        double *top = a + k * m;
        product *= pivot(a, m, m, k) ? -top[k] : top[k];
        if (top[k] == 0) return 0;
        for (int64_t i = k + 1; i < m; i++) {
            double factor = a[i * m + k] / top[k];
            for (int64_t c = k + 1; c < m; c++) a[i * m + c] -= factor * top[c];
        }
    }
    return product;
}

/* Of [A | I], which becomes [I | inverse of A]. */
static void invert(double *a, int64_t m) {
    const int64_t columns = 2 * m;
    for (int64_t k = 0; k < m; k++) {
        double *top = a + k * columns;
        pivot(a, m, columns, k);
        double scale = 1 / top[k];
        for (int64_t c = k; c < columns; c++) top[c] *= scale;
        for (int64_t i = 0; i < m; i++) {
            double factor = a[i * columns + k];
            for (int64_t c = k; c < columns && i != k; c++) a[i * columns + c] -= factor * top[c];
        }
    }
}

static double get(const tn_tensor *x, int64_t i) {
    return x->dtype == TN_FLOAT64 ? ((const double *)x->data)[i] : (double)((const float *)x->data)[i];
}

static void set(tn_tensor *y, int64_t i, double value) {
    if (y->dtype == TN_FLOAT64)
        ((double *)y->data)[i] = value;
    else
        ((float *)y->data)[i] = (float)value;
}

static tn_status run_det(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    int64_t m = x->dims[x->rank - 1];
    double *a = call->scratch;
    for (int64_t i = 0, n = tn_count(y); i < n; i++) {
        for (int64_t k = 0; k < m * m; k++) a[k] = get(x, i * m * m + k);
        set(y, i, determinant(a, m));
    }
    return TN_OK;
}

static tn_status run_inverse(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    int64_t m = x->dims[x->rank - 1];
    double *a = call->scratch;
    for (int64_t at = 0, n = tn_count(y); at < n; at += m * m) {
        for (int64_t r = 0; r < m; r++)
            for (int64_t c = 0; c < m; c++) {
                a[r * 2 * m + c] = get(x, at + r * m + c);
                a[r * 2 * m + m + c] = r == c;
            }
        invert(a, m);
        for (int64_t r = 0; r < m; r++)
            for (int64_t c = 0; c < m; c++) set(y, at + r * m + c, a[r * 2 * m + m + c]);
    }
    return TN_OK;
}

#define ROW(domain_, name_, runs)                                                                                      \
    {                                                                                                                  \
        .domain = domain_, .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .flags = TN_OP_WIDEN,  \
        .infer = infer, .prepare = prepare, .run = runs                                                                \
    }

const tn_op tn_ops_det[] = {ROW("", "Det", run_det), ROW("com.microsoft", "Inverse", run_inverse), {0}};
