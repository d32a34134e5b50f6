#include "kernels/vec_avx512.h"
#define GEMM_ROWS 14
#define GEMM_VECS 2
#define GEMM_OVERLAY tn_gemm_f32_avx512
#include "kernels/gemm_f32.h"
