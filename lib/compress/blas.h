/* OpenBLAS, loaded when the first pass asks for it: it starts a thread for each processor, which then turn idly for a while,
 * and a program that only runs models should have none of that. BLAS by its C header, LAPACK by the names that Fortran gives
 * it, since not every package of OpenBLAS brings lapacke.h. */
#ifndef TN_COMPRESS_BLAS_H
#define TN_COMPRESS_BLAS_H

#include <cblas.h>
#include <tenon/status.h>

void dpotrf_(const char *triangle, const int *n, double *a, const int *stride, int *info);
void dpotri_(const char *triangle, const int *n, double *a, const int *stride, int *info);
void sgesdd_(const char *job, const int *m, const int *n, float *a, const int *a_stride, float *s, float *u,
             const int *u_stride, float *v, const int *v_stride, float *work, const int *work_size, int *int_work,
             int *info);

#define TN_BLAS_FUNCTIONS(X)                                                                                           \
    X(cblas_dsyrk)                                                                                                     \
    X(cblas_sgemm)                                                                                                     \
    X(dpotrf_)                                                                                                         \
    X(dpotri_)                                                                                                         \
    X(sgesdd_)

typedef struct tn_blas {
#define TN_X(name) __typeof__(&name) name;
    TN_BLAS_FUNCTIONS(TN_X)
#undef TN_X
} tn_blas;

/* TN_E_UNSUPPORTED where it is not installed. */
tn_status tn_blas_load(const tn_blas **out_blas);

#endif
