/* The linear algebra that passes of weights need, from OpenBLAS: BLAS by its C header, LAPACK by the names that Fortran
 * gives it, since not every package of OpenBLAS brings lapacke.h. */
#include "compress/matrices.h"

#if TN_WITH_OPENBLAS
#include <cblas.h>

void dpotrf_(const char *triangle, const int *n, double *a, const int *stride, int *info);
void dpotri_(const char *triangle, const int *n, double *a, const int *stride, int *info);

/* "L" is the lower triangle by columns: the upper one by rows. */
static bool factor(double *h, int n) {
    int info;
    dpotrf_("L", &n, h, &n, &info);
    return info == 0;
}

tn_status tn_inverse_cholesky(double *h, size_t n, double damping) {
    if (n > 32768) return tn_fail(TN_E_LIMIT, "a product of %zu inputs; at most 32768 can be handled", n);
    int size = (int)n, info = 1;
    double mean = 0;
    for (size_t i = 0; i < n; i++) mean += h[i * n + i] / (double)n;
    for (size_t i = 0; i < n; i++)
        h[i * n + i] = (h[i * n + i] > 0 ? h[i * n + i] : mean > 0 ? mean : 1) + damping * mean;
    if (factor(h, size)) dpotri_("L", &size, h, &size, &info);
    if (info == 0 && factor(h, size)) return TN_OK;
    return tn_fail(TN_E_INVALID,
                   "the samples' inputs depend on each other too much; give more samples, or more damping");
}

tn_status tn_matrix_product(const float *a, const float *b, float *c, size_t m, size_t n, size_t k) {
    if (m > INT32_MAX || n > INT32_MAX || k > INT32_MAX) return tn_fail(TN_E_LIMIT, "a matrix that is too large");
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1, a, (int)k, b, (int)n, 0, c,
                (int)n);
    return TN_OK;
}
#else
static tn_status left_out(void) {
    return tn_fail(TN_E_UNSUPPORTED, "this build was made without OpenBLAS (WITH_OPENBLAS=0), which this method needs");
}
tn_status tn_inverse_cholesky(double *h, size_t n, double damping) {
    (void)h, (void)n, (void)damping;
    return left_out();
}
tn_status tn_matrix_product(const float *a, const float *b, float *c, size_t m, size_t n, size_t k) {
    (void)a, (void)b, (void)c, (void)m, (void)n, (void)k;
    return left_out();
}
#endif
