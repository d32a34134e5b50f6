/* Det: determinants of square matrices, by elimination with partial pivoting in double precision. */
#include "graph/op.h"
#include "ops/data.h"
#include <math.h>

static tn_status infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    const tn_type *x = call->in[0];
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    if (x->rank < 2 || !tn_dim_fits(x->dims[x->rank - 1], x->dims[x->rank - 2]))
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [..., M, M]");
    return tn_infer_out(call, 0, x->dtype, x->rank - 2, x->dims);
}

static tn_status prepare(tn_prepare *call) {
    int64_t m = call->in[0]->dims[call->in[0]->rank - 1];
    call->scratch = tn_dtype_bytes(TN_FLOAT64, tn_dims_count(2, (int64_t[]){m, m}));
    return call->scratch == SIZE_MAX ? tn_fail(TN_E_LIMIT, "a matrix of %lld rows is too large", (long long)m) : TN_OK;
}

static double determinant(double *a, int64_t m) {
    double product = 1;
    for (int64_t k = 0; k < m; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < m; i++)
            if (fabs(a[i * m + k]) > fabs(a[pivot * m + k])) pivot = i;
        double *top = a + k * m, *from = a + pivot * m;
        for (int64_t i = k; i < m && pivot != k; i++) {
            double swap = top[i];
            top[i] = from[i];
            from[i] = swap;
        }
        product *= pivot == k ? top[k] : -top[k];
        if (top[k] == 0) return 0;
        for (int64_t i = k + 1; i < m; i++) {
            double factor = a[i * m + k] / top[k];
            for (int64_t c = k + 1; c < m; c++) a[i * m + c] -= factor * top[c];
        }
    }
    return product;
}

static tn_status run(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    int64_t m = x->dims[x->rank - 1];
    double *a = call->scratch;
    for (int64_t i = 0, n = tn_count(y); i < n; i++) {
        for (int64_t k = 0; k < m * m; k++)
            a[k] = x->dtype == TN_FLOAT64 ? ((const double *)x->data)[i * m * m + k]
                                          : (double)((const float *)x->data)[i * m * m + k];
        double d = determinant(a, m);
        if (y->dtype == TN_FLOAT64)
            ((double *)y->data)[i] = d;
        else
            ((float *)y->data)[i] = (float)d;
    }
    return TN_OK;
}

const tn_op tn_ops_det[] = {
    {.domain = "",
     .name = "Det",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
