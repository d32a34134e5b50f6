#include "kernels/vec_avx2.h"
#define GEMM_ROWS 6
#define GEMM_VECS 2
#define GEMM_STEPS 4
/* Sums stay in the registers that they are in: GCC, left alone, moves those of several steps about, and out to the stack. */
#define ADD_PRODUCT(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b))
#define GEMM_OVERLAY tn_gemm_f32_avx2
#include "kernels/gemm_f32.h"
