#include "kernels/vec_scalar.h"
#define GEMM_ROWS 4
#define GEMM_VECS 4
#define GEMM_OVERLAY tn_gemm_f32_scalar
#include "kernels/gemm_f32.h"
