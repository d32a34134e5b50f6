/* What an instruction set can do at most: loops of nothing but independent multiplications in registers, and of nothing
 * but loads. Written in assembly, so that no compiler makes anything else of them. */
#ifndef TN_BENCH_PEAKS_H
#define TN_BENCH_PEAKS_H

#include "kernels/tiles.h"
#include "kernels/kernels.h"
#include <string.h>

/* `work` does `operations` (a multiplication and its addition are two) a call, on machines that have the level. */
typedef struct peak {
    const char *name;
    tn_cpu_level level;
    double operations;
    void (*work)(void *unused);
} peak;

#define TIMES_4(x) x x x x
#define TIMES_12(x) TIMES_4(x) TIMES_4(x) TIMES_4(x)
#define PEAK_LOOPS 2000

#if defined(__x86_64__)
/* Twelve sums hide the latency of two units. */
#define VECTOR_PEAK(name, instruction, v)                                                                              \
    static void name(void *unused) {                                                                                   \
        (void)unused;                                                                                                  \
        __asm__ volatile("vpxor %%xmm14, %%xmm14, %%xmm14\n\tmov %0, %%rcx\n1:\n\t" instruction " %%" v "14, %%" v     \
                         "14, %%" v "0\n\t" instruction " %%" v "14, %%" v "14, %%" v "1\n\t" instruction " %%" v      \
                         "14, %%" v "14, %%" v "2\n\t" instruction " %%" v "14, %%" v "14, %%" v "3\n\t" instruction   \
                         " %%" v "14, %%" v "14, %%" v "4\n\t" instruction " %%" v "14, %%" v "14, %%" v               \
                         "5\n\t" instruction " %%" v "14, %%" v "14, %%" v "6\n\t" instruction " %%" v "14, %%" v      \
                         "14, %%" v "7\n\t" instruction " %%" v "14, %%" v "14, %%" v "8\n\t" instruction " %%" v      \
                         "14, %%" v "14, %%" v "9\n\t" instruction " %%" v "14, %%" v "14, %%" v "10\n\t" instruction  \
                         " %%" v "14, %%" v "14, %%" v "11\n\t"                                                        \
                         "dec %%rcx\n\tjnz 1b\n\tvzeroupper" ::"i"(PEAK_LOOPS)                                         \
                         : "rcx", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",        \
                           "xmm9", "xmm10", "xmm11", "xmm14");                                                         \
    }
VECTOR_PEAK(fma_avx2, "vfmadd231ps", "ymm")
VECTOR_PEAK(fma_avx512, "vfmadd231ps", "zmm")
VECTOR_PEAK(bytes_avxvnni, "%{vex%} vpdpbusd", "ymm")
VECTOR_PEAK(bytes_vnni, "vpdpbusd", "zmm")
VECTOR_PEAK(half_avx512, "vdpbf16ps", "zmm")

#define TILE_PEAK(name, instruction)                                                                                   \
    static void name(void *unused) {                                                                                   \
        (void)unused;                                                                                                  \
        tn_tiles t = {.palette = 1};                                                                                   \
        for (int i = 0; i < 8; i++) t.rows[i] = 16, t.row_bytes[i] = 64;                                               \
        __asm__ volatile("ldtilecfg %0\n\t"                                                                            \
                         "tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7\n\t"                \
                         "mov %1, %%rcx\n1:\n\t" instruction " %%tmm6, %%tmm4, %%tmm0\n\t" instruction                 \
                         " %%tmm7, %%tmm4, %%tmm1\n\t" instruction " %%tmm6, %%tmm5, %%tmm2\n\t" instruction           \
                         " %%tmm7, %%tmm5, %%tmm3\n\t"                                                                 \
                         "dec %%rcx\n\tjnz 1b\n\ttilerelease" ::"m"(t),                                                \
                         "i"(PEAK_LOOPS)                                                                               \
                         : "rcx", "cc");                                                                               \
    }
TILE_PEAK(bytes_amx, "tdpbusd")
TILE_PEAK(half_amx, "tdpbf16ps")

static const peak float_peaks[] = {
    {"fma", TN_CPU_AVX2, PEAK_LOOPS * 12 * 16, fma_avx2},
    {"fma", TN_CPU_AVX512, PEAK_LOOPS * 12 * 32, fma_avx512},
};
static const peak byte_peaks[] = {
    {"vpdpbusd", TN_CPU_AVXVNNI, PEAK_LOOPS * 12 * 64, bytes_avxvnni},
    {"vpdpbusd", TN_CPU_VNNI, PEAK_LOOPS * 12 * 128, bytes_vnni},
    {"tdpbusd", TN_CPU_AMX, PEAK_LOOPS * 4 * 2 * 16384.0, bytes_amx},
};
static const peak half_peaks[] = {
    {"vdpbf16ps", TN_CPU_BF16, PEAK_LOOPS * 12 * 64, half_avx512},
    {"tdpbf16ps", TN_CPU_AMX, PEAK_LOOPS * 4 * 2 * 8192.0, half_amx},
};

/* Reads `bytes`, a multiple of 512. */
static inline void read_all(const char *p, size_t bytes, tn_cpu_level level) {
    if (level >= TN_CPU_AVX512)
        for (size_t i = 0; i < bytes; i += 512)
            __asm__ volatile("vmovups (%0), %%zmm0\n\tvmovups 64(%0), %%zmm1\n\tvmovups 128(%0), %%zmm2\n\t"
                             "vmovups 192(%0), %%zmm3\n\tvmovups 256(%0), %%zmm4\n\tvmovups 320(%0), %%zmm5\n\t"
                             "vmovups 384(%0), %%zmm6\n\tvmovups 448(%0), %%zmm7" ::"r"(p + i)
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    else
        for (size_t i = 0; i < bytes; i += 64)
            __asm__ volatile("movups (%0), %%xmm0\n\tmovups 16(%0), %%xmm1\n\tmovups 32(%0), %%xmm2\n\t"
                             "movups 48(%0), %%xmm3" ::"r"(p + i)
                             : "xmm0", "xmm1", "xmm2", "xmm3");
}
#elif defined(__aarch64__)
#define VECTOR_PEAK(name, instruction, source)                                                                         \
    static void name(void *unused) {                                                                                   \
        (void)unused;                                                                                                  \
        __asm__ volatile(".arch armv8.6-a\n\tmov x9, %0\n1:\n\t" instruction " v0.4s, " source "\n\t" instruction      \
                         " v1.4s, " source "\n\t" instruction " v2.4s, " source "\n\t" instruction " v3.4s, " source   \
                         "\n\t" instruction " v4.4s, " source "\n\t" instruction " v5.4s, " source "\n\t" instruction  \
                         " v6.4s, " source "\n\t" instruction " v7.4s, " source "\n\t" instruction " v16.4s, " source  \
                         "\n\t" instruction " v17.4s, " source "\n\t" instruction " v18.4s, " source                   \
                         "\n\t" instruction " v19.4s, " source "\n\t"                                                  \
                         "subs x9, x9, #1\n\tb.ne 1b" ::"i"(PEAK_LOOPS)                                                \
                         : "x9", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19");    \
    }
VECTOR_PEAK(fma_neon, "fmla", "v20.4s, v20.4s")
VECTOR_PEAK(bytes_dotprod, "sdot", "v20.16b, v20.16b")
VECTOR_PEAK(bytes_i8mm, "smmla", "v20.16b, v20.16b")

static const peak float_peaks[] = {{"fmla", TN_CPU_NEON, PEAK_LOOPS * 12 * 8, fma_neon}};
static const peak byte_peaks[] = {{"sdot", TN_CPU_DOTPROD, PEAK_LOOPS * 12 * 32, bytes_dotprod},
                                  {"smmla", TN_CPU_I8MM, PEAK_LOOPS * 12 * 64, bytes_i8mm}};
static const peak half_peaks[] = {{"none", TN_CPU_LEVELS, 0, NULL}};

static inline void read_all(const char *p, size_t bytes, tn_cpu_level level) {
    (void)level;
    for (size_t i = 0; i < bytes; i += 64)
        __asm__ volatile("ldp q0, q1, [%0]\n\tldp q2, q3, [%0, #32]" ::"r"(p + i) : "v0", "v1", "v2", "v3");
}
#endif

#endif
