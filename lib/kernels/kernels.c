/* Which kernels run here: finds out once what the CPU and its system can do, and makes one table a level.
 *
 * A table of a level has the entries of all files up to that level. The operating system must save the wide registers
 * (XCR0), or the level is left out even where the CPU has it; __builtin_cpu_supports checks both. */
#include "kernels/kernels.h"
#include "kernels/registry.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#endif

static const char *const names[TN_CPU_LEVELS] = {"scalar", "avx2", "avx512", "vnni", "neon", "dotprod"};

static tn_kernels tables[TN_CPU_LEVELS];
static bool present[TN_CPU_LEVELS];
static tn_cpu_level best;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void detect(void) {
    present[TN_CPU_SCALAR] = true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    unsigned a = 0, b = 0, c = 0, d = 0; /* clang 14 does not know f16c by name */
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    present[TN_CPU_AVX2] = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
    present[TN_CPU_AVX512] = present[TN_CPU_AVX2] && __builtin_cpu_supports("avx512f") &&
                             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
    present[TN_CPU_VNNI] = present[TN_CPU_AVX512] && __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    present[TN_CPU_NEON] = true;
    present[TN_CPU_DOTPROD] = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
}

static void make_tables(void) {
    detect();
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        if (!present[level]) continue;
        best = (tn_cpu_level)level;
        tables[level].level = (tn_cpu_level)level;
        for (const tn_kernel_file *file = tn_kernel_files; file->overlay; file++)
            if (file->level <= (tn_cpu_level)level) file->overlay(&tables[level]);
    }
    const char *wish = getenv("TENON_CPU");
    for (int level = 0; wish && level < TN_CPU_LEVELS; level++)
        if (present[level] && strcmp(wish, names[level]) == 0) best = (tn_cpu_level)level;
}

const tn_kernels *tn_kernels_at(tn_cpu_level level) {
    pthread_once(&once, make_tables);
    return (unsigned)level < TN_CPU_LEVELS && present[level] ? &tables[level] : NULL;
}

const tn_kernels *tn_kernels_best(void) {
    pthread_once(&once, make_tables);
    return &tables[best];
}

const char *tn_cpu_level_name(tn_cpu_level level) {
    return (unsigned)level < TN_CPU_LEVELS ? names[level] : "unknown";
}
