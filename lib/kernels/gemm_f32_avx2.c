#include "kernels/vec_avx2.h"
#define GEMM_ROWS 6
#define GEMM_VECS 2
#define GEMM_OVERLAY tn_gemm_f32_avx2
#include "kernels/gemm_f32.h"
