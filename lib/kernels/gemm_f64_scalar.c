#define VD_LANES 1
typedef double vd;
#define vd_load(at) (*(at))
#define vd_store(at, a) (*(at) = (a))
#define vd_set(a) ((double)(a))
#define vd_add(a, b) ((a) + (b))
#define vd_multiply_add(a, b, sum) ((sum) + (a) * (b))
#define GEMM_ROWS 4
#define GEMM_VECS 4
#define GEMM_OVERLAY tn_gemm_f64_scalar
#include "kernels/gemm_f64.h"
