/* All kernel lists, in one place for the table and the tests to expand. No include guard: read once per expansion. */
#include "kernels/gemm.inc"
#include "kernels/conv.inc"
#include "kernels/math.inc"
#include "kernels/reduce.inc"
#include "kernels/pool.inc"
#include "kernels/elementwise.inc"
#include "kernels/copy.inc"
#include "kernels/quant.inc"
