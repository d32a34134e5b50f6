#include <immintrin.h>
#define VD_LANES 8
typedef __m512d vd;
#define vd_load _mm512_loadu_pd
#define vd_store _mm512_storeu_pd
#define vd_set _mm512_set1_pd
#define vd_add _mm512_add_pd
#define vd_multiply_add _mm512_fmadd_pd
#define GEMM_ROWS 12
#define GEMM_VECS 2
#define GEMM_OVERLAY tn_gemm_f64_avx512
#include "kernels/gemm_f64.h"
