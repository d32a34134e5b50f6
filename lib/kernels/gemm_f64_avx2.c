#include <immintrin.h>
#define VD_LANES 4
typedef __m256d vd;
#define vd_load _mm256_loadu_pd
#define vd_store _mm256_storeu_pd
#define vd_set _mm256_set1_pd
#define vd_add _mm256_add_pd
#define vd_multiply_add _mm256_fmadd_pd
#define GEMM_ROWS 6
#define GEMM_VECS 2
#define GEMM_OVERLAY tn_gemm_f64_avx2
#include "kernels/gemm_f64.h"
