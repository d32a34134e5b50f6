/* The linear algebra that passes of weights need, from OpenBLAS. */
#include "compress/matrices.h"

#if TN_WITH_OPENBLAS
#include "compress/blas.h"

/* "L" is the lower triangle by columns: the upper one by rows. */
static bool factor(const tn_blas *blas, double *h, int n) {
    int info;
    blas->dpotrf_("L", &n, h, &n, &info);
    return info == 0;
}

tn_status tn_inverse_cholesky(double *h, size_t n, double damping) {
    const tn_blas *blas;
    TN_TRY(tn_blas_load(&blas));
    if (n > 32768) return tn_fail(TN_E_LIMIT, "a product of %zu inputs; at most 32768 can be handled", n);
    int size = (int)n, info = 1;
    double mean = 0;
    for (size_t i = 0; i < n; i++) mean += h[i * n + i] / (double)n;
    for (size_t i = 0; i < n; i++)
        h[i * n + i] = (h[i * n + i] > 0 ? h[i * n + i] : mean > 0 ? mean : 1) + damping * mean;
    if (factor(blas, h, size)) blas->dpotri_("L", &size, h, &size, &info);
    if (info == 0 && factor(blas, h, size)) return TN_OK;
    return tn_fail(TN_E_INVALID,
                   "the samples' inputs depend on each other too much; give more samples, or more damping");
}

tn_status tn_add_products(double *products, const float *x, size_t rows, size_t k) {
    enum { SOME = 256 };
    const tn_blas *blas;
    TN_TRY(tn_blas_load(&blas));
    if (k > INT32_MAX / SOME) return tn_fail(TN_E_LIMIT, "a product of %zu inputs", k);
    double *wide = tn_alloc(NULL, SOME * k * sizeof *wide);
    if (!wide) return TN_E_MEMORY;
    for (size_t done = 0, some; done < rows; done += some) {
        some = TN_MIN(rows - done, (size_t)SOME);
        for (size_t i = 0; i < some * k; i++) wide[i] = (double)x[done * k + i];
        blas->cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)k, (int)some, 1, wide, (int)k, 1, products,
                          (int)k);
    }
    tn_free(NULL, wide, SOME * k * sizeof *wide);
    return TN_OK;
}

/* By columns, as LAPACK has it, w is its transpose [k, n] = v^T s u^T. */
tn_status tn_singular_values(float *w, size_t n, size_t k, float *u, float *s, float *v) {
    const tn_blas *blas;
    TN_TRY(tn_blas_load(&blas));
    if (n > 32768 || k > 32768) return tn_fail(TN_E_LIMIT, "a matrix of %zu x %zu; at most 32768 each", n, k);
    const int rows = (int)k, columns = (int)n, least = TN_MIN(rows, columns);
    int info, size = -1, *int_work = tn_alloc(NULL, 8 * (size_t)least * sizeof *int_work);
    float wanted = 0;
    if (!int_work) return TN_E_MEMORY;
    blas->sgesdd_("S", &rows, &columns, w, &rows, s, v, &rows, u, &least, &wanted, &size, int_work, &info);
    size = (int)wanted + 64;
    float *work = tn_alloc(NULL, (size_t)size * sizeof *work);
    if (work) blas->sgesdd_("S", &rows, &columns, w, &rows, s, v, &rows, u, &least, work, &size, int_work, &info);
    tn_free(NULL, int_work, 8 * (size_t)least * sizeof *int_work);
    if (!work) return TN_E_MEMORY;
    tn_free(NULL, work, (size_t)size * sizeof *work);
    return info == 0 ? TN_OK : tn_fail(TN_E_INVALID, "the singular values of a matrix could not be found");
}

tn_status tn_matrix_product(const float *a, const float *b, float *c, size_t m, size_t n, size_t k) {
    const tn_blas *blas;
    TN_TRY(tn_blas_load(&blas));
    if (m > INT32_MAX || n > INT32_MAX || k > INT32_MAX) return tn_fail(TN_E_LIMIT, "a matrix that is too large");
    blas->cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1, a, (int)k, b, (int)n, 0, c,
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
tn_status tn_add_products(double *products, const float *x, size_t rows, size_t k) {
    (void)products, (void)x, (void)rows, (void)k;
    return left_out();
}
tn_status tn_singular_values(float *w, size_t n, size_t k, float *u, float *s, float *v) {
    (void)w, (void)n, (void)k, (void)u, (void)s, (void)v;
    return left_out();
}
tn_status tn_matrix_product(const float *a, const float *b, float *c, size_t m, size_t n, size_t k) {
    (void)a, (void)b, (void)c, (void)m, (void)n, (void)k;
    return left_out();
}
#endif
