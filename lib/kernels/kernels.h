/* The kernel table: hot loops, one entry a kernel, chosen once for the running CPU (or a lower level by request).
 *
 * The .inc files list the kernels by family: TN_KERNEL(name, (parameters)). The table has one function pointer a row,
 * and the tests run every row at every level against scalar. A file lib/kernels/<family>_<level>.c overlays the
 * entries that it has, in `void tn_<family>_<level>(tn_kernels *table)`; the build collects these from the file names
 * and applies them in order of level, scalar first (which has every entry). Intrinsics stay in this folder; files that
 * differ only by vector width share a .h template over vec_<level>.h. */
#ifndef TN_KERNELS_H
#define TN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernels/depthwise.h"
#include "kernels/gemm.h"
#include "kernels/gemm_bf16.h"
#include "kernels/optimizer.h"
#include "kernels/sparse.h"
#include "kernels/winograd.h"
#include "kernels/recurrent.h"

/* In order: each level includes those before it that the machine has. */
typedef enum tn_cpu_level {
    TN_CPU_SCALAR,
    TN_CPU_AVX2,    /* with FMA and F16C */
    TN_CPU_AVXVNNI, /* AVX2 and byte products 256 bits wide; machines with AVX512 need not have it */
    TN_CPU_AVX512,  /* F, BW, DQ, VL, CD */
    TN_CPU_VNNI,    /* AVX512 and its VNNI */
    TN_CPU_BF16,    /* VNNI and products of bfloat16 */
    TN_CPU_AMX,     /* BF16 and tiles of bytes and of bfloat16 */
    TN_CPU_NEON,
    TN_CPU_DOTPROD, /* NEON and its dot product */
    TN_CPU_I8MM,    /* DOTPROD and byte products of 2 x 8 by 8 x 2 */
    TN_CPU_LEVELS
} tn_cpu_level;

typedef struct tn_kernels tn_kernels;
typedef struct tn_qgemm_taps tn_qgemm_taps; /* see qgemm.h */

struct tn_kernels {
    tn_cpu_level level;
    int lookup_bits;         /* codes of so many bits are looked up faster than memory gives what they stand for */
    bool bf16_products;      /* products that may are to be of bfloat16: their kernel is the faster one here */
    size_t direct_uses;      /* a panel of B that gemm_f32 uses at most so often is read where it lies */
    bool depthwise_in_place; /* depthwise_square_f32 reads rows of the image as they are */
#define TN_KERNEL(name, parameters) void(*name) parameters;
#include "kernels/list.h"
#undef TN_KERNEL
};

/* The table of a level; NULL if this machine or build lacks it. Tables are made once and never change. The first call
 * that could answer AMX asks the system to let this process use tiles (see kernels/tiles.h); it may refuse. */
const tn_kernels *tn_kernels_at(tn_cpu_level level);
/* The best level that this machine has, or the lower one that the environment variable TENON_CPU names. */
const tn_kernels *tn_kernels_best(void);
/* The table of the same level for models that may round (TN_PRECISION_FAST). */
const tn_kernels *tn_kernels_fast(const tn_kernels *table);
const char *tn_cpu_level_name(tn_cpu_level level);

#endif
