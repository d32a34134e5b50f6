/* Which kernels run here: finds out once what the CPU and its system can do, and makes one table a level.
 *
 * A table of a level has the entries of all files up to that level that the machine has. The operating system must save
 * the wide registers (XCR0), or the level is left out even where the CPU has it; __builtin_cpu_supports checks both. */
#include "kernels/kernels.h"
#include "kernels/tiles.h"
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
#ifndef HWCAP2_I8MM
#define HWCAP2_I8MM (1 << 13)
#endif
#endif

static const char *const names[TN_CPU_LEVELS] = {"scalar", "avx2", "avxvnni", "avx512",  "vnni",
                                                 "bf16",   "amx",  "neon",    "dotprod", "i8mm"};

static tn_kernels tables[TN_CPU_LEVELS], fast_tables[TN_CPU_LEVELS];
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
    /* Leaf 7, part 1: bit 4 is AVX-VNNI, bit 5 AVX512_BF16; part 0: AMX. Names that not every compiler knows. */
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) a = 0;
    present[TN_CPU_AVXVNNI] = present[TN_CPU_AVX2] && (a >> 4 & 1);
    present[TN_CPU_BF16] = present[TN_CPU_VNNI] && (a >> 5 & 1);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) d = 0;
    const unsigned amx = 1u << 22 | 1u << 24 | 1u << 25; /* bfloat16, tiles, bytes */
    present[TN_CPU_AMX] = present[TN_CPU_BF16] && (d & amx) == amx && tn_amx_supported();
#elif defined(__aarch64__)
    present[TN_CPU_NEON] = true;
    present[TN_CPU_DOTPROD] = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    present[TN_CPU_I8MM] = present[TN_CPU_DOTPROD] && (getauxval(AT_HWCAP2) & HWCAP2_I8MM);
#endif
}

static void make_tables(void) {
    detect();
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        if (!present[level]) continue;
        best = (tn_cpu_level)level;
        tables[level].level = (tn_cpu_level)level;
        for (const tn_kernel_file *file = tn_kernel_files; file->overlay; file++)
            if (file->level <= (tn_cpu_level)level && present[file->level]) file->overlay(&tables[level]);
        fast_tables[level] = tables[level];
        tables[level].bf16_products = false;
    }
    const char *wish = getenv("TENON_CPU");
    for (int level = 0; wish && level < TN_CPU_LEVELS; level++)
        if (present[level] && strcmp(wish, names[level]) == 0) best = (tn_cpu_level)level;
}

const tn_kernels *tn_kernels_at(tn_cpu_level level) {
    pthread_once(&once, make_tables);
    if ((unsigned)level >= TN_CPU_LEVELS || !present[level]) return NULL;
    return level != TN_CPU_AMX || tn_amx_permitted() ? &tables[level] : NULL;
}

const tn_kernels *tn_kernels_best(void) {
    pthread_once(&once, make_tables);
    const tn_kernels *table = tn_kernels_at(best);
    return table ? table : &tables[TN_CPU_BF16]; /* only tiles may be refused */
}

const tn_kernels *tn_kernels_fast(const tn_kernels *table) {
    return &fast_tables[table->level];
}

const char *tn_cpu_level_name(tn_cpu_level level) {
    return (unsigned)level < TN_CPU_LEVELS ? names[level] : "unknown";
}
