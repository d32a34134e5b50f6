#include "kernels/vec_neon.h"
#define GEMM_ROWS 8
#define GEMM_VECS 3
#define GEMM_OVERLAY tn_gemm_f32_neon
#include "kernels/gemm_f32.h"
