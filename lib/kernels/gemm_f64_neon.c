#include <arm_neon.h>
#define VD_LANES 2
typedef float64x2_t vd;
#define vd_load vld1q_f64
#define vd_store vst1q_f64
#define vd_set vdupq_n_f64
#define vd_add vaddq_f64
#define vd_multiply_add(a, b, sum) vfmaq_f64(sum, a, b)
#define GEMM_ROWS 6
#define GEMM_VECS 4
#define GEMM_OVERLAY tn_gemm_f64_neon
#include "kernels/gemm_f64.h"
