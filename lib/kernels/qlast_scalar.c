/* The portable kernels on channels-last bytes, which define the result. */
#include "kernels/qlast.h"
#include <math.h>

#define QL_LANES 1
#define QL_I int32_t
#define QL_F float

static inline int32_t ql_load_i(const int32_t *p) {
    return *p;
}
static inline float ql_load_f(const float *p) {
    return *p;
}
static inline int32_t ql_set_i(int32_t v) {
    return v;
}
static inline float ql_set_f(float v) {
    return v;
}
static inline int32_t ql_bytes(const uint8_t *p) {
    return *p;
}
static inline int32_t ql_add_i(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}
static inline int32_t ql_mul_i(int32_t a, int32_t b) {
    return a * b;
}
static inline float ql_to_f(int32_t v) {
    return (float)v;
}
static inline int32_t ql_to_i(float v) {
    return (int32_t)__builtin_rintf(v);
}
static inline float ql_add(float a, float b) {
    return a + b;
}
static inline float ql_mul(float a, float b) {
    return a * b;
}
static inline float ql_fma(float a, float b, float c) {
    return fmaf(a, b, c);
}
static inline float ql_max(float v, float bound) {
    return v > bound ? v : bound;
}
static inline float ql_min(float v, float bound) {
    return v < bound ? v : bound;
}
static inline void ql_store(uint8_t *y, int32_t v, size_t n) {
    (void)n;
    *y = (uint8_t)v;
}

static inline float ql_most(float v) {
    return v < 0 ? -v : v >= 0 ? v : INFINITY;
}
static inline uint8_t limit(int32_t v, int32_t zero, int32_t low, int32_t high) {
    v = v < low - zero ? low - zero : v > high - zero ? high - zero : v;
    return (uint8_t)(v + zero);
}
static inline void ql_store4(uint8_t *y, const int32_t *v, int32_t zero, int32_t low, int32_t high, size_t n) {
    for (size_t i = 0; i < 4 && i < n; i++) y[i] = limit(v[i], zero, low, high);
}

static void qlook_up(uint8_t *y, const uint8_t *x, size_t n, const uint8_t *table) {
    for (size_t i = 0; i < n; i++) y[i] = table[x[i]];
}

/* One channel in each of four accumulators. */
#define QD_BLOCK 4
#define QD_GROUP 1
#define QD_SIZE 2
typedef struct {
    uint8_t v[4];
} qd_bytes;
#define QD_X qd_bytes

static inline qd_bytes qd_load(const uint8_t *p, size_t n) {
    qd_bytes all = {{0}};
    for (size_t i = 0; i < 4 && i < n; i++) all.v[i] = p[i];
    return all;
}
static inline void qd_add(int32_t *acc, const qd_bytes *x, const char *w) {
    int16_t by[4];
    __builtin_memcpy(by, w, sizeof by);
    for (size_t i = 0; i < 4; i++) acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)(x->v[i] * by[i]));
}
static inline qd_bytes qd_max(qd_bytes a, qd_bytes b) {
    for (size_t i = 0; i < 4; i++) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}
static inline void qd_put(uint8_t *y, qd_bytes x, size_t n) {
    for (size_t i = 0; i < 4 && i < n; i++) y[i] = x.v[i];
}
static inline void qd_store(uint8_t *y, const int32_t *v, int32_t zero, int32_t low, int32_t high, size_t n) {
    ql_store4(y, v, zero, low, high, n);
}

#include "kernels/qlast_rows.h"

void tn_qlast_scalar(tn_kernels *table) {
    TN_QLAST_ROWS(table);
}
