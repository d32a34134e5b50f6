/* The rows of recurrent.inc for one level. Included by recurrent_<level>.c after the level's vec header;
 * TN_LEVEL_OVERLAY is the function's name. */
#include "kernels/kernels.h"
#include "kernels/math.h"

static inline vf load_part(const float *p, size_t n) {
    return n >= VF_WIDTH ? vf_load(p) : vf_load_n(p, n);
}
static inline void store_part(float *p, vf x, size_t n) {
    if (n >= VF_WIDTH)
        vf_store(p, x);
    else
        vf_store_n(p, x, n);
}

static void lstm_cell_f32(size_t n, const float *gates, float *c, float *h) {
    for (size_t i = 0; i < n; i += VF_WIDTH) {
        size_t left = n - i;
        vf input = vf_sigmoid(load_part(gates + i, left)), output = vf_sigmoid(load_part(gates + n + i, left));
        vf forget = vf_sigmoid(load_part(gates + 2 * n + i, left)), cell = vf_tanh(load_part(gates + 3 * n + i, left));
        cell = vf_add(vf_mul(forget, load_part(c + i, left)), vf_mul(input, cell));
        store_part(c + i, cell, left);
        store_part(h + i, vf_mul(output, vf_tanh(cell)), left);
    }
}

static void blend_f32(size_t n, float *y, const float *z, const float *a, const float *b) {
    for (size_t i = 0; i < n; i += VF_WIDTH) {
        size_t left = n - i;
        vf gate = load_part(z + i, left), from = load_part(a + i, left), to = load_part(b + i, left);
        store_part(y + i, vf_add(vf_mul(vf_sub(vf_set(1), gate), from), vf_mul(gate, to)), left);
    }
}

void TN_LEVEL_OVERLAY(tn_kernels *table) {
#undef TN_KERNEL
#define TN_KERNEL(name, parameters) table->name = name;
#include "kernels/recurrent.inc"
#undef TN_KERNEL
}
