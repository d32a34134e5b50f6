/* Packing for the kernels on channels-last bytes. See qlast.h. */
#include "kernels/qlast.h"
#include <string.h>

static const tn_qdepth_layout layouts[TN_CPU_LEVELS] = {
    [TN_CPU_SCALAR] = {4, 1, 2},  [TN_CPU_AVX2] = {32, 2, 2}, [TN_CPU_AVXVNNI] = {32, 2, 2},
    [TN_CPU_AVX512] = {64, 2, 2}, [TN_CPU_VNNI] = {64, 4, 1}, [TN_CPU_BF16] = {64, 4, 1},
    [TN_CPU_AMX] = {64, 4, 1},    [TN_CPU_NEON] = {16, 1, 2}, [TN_CPU_DOTPROD] = {16, 1, 2},
    [TN_CPU_I8MM] = {16, 1, 2},
};

const tn_qdepth_layout *tn_qdepth_layout_of(const tn_kernels *kernels) {
    return &layouts[kernels->level];
}

size_t tn_qdepth_channels(const tn_qdepth_layout *layout, size_t channels) {
    size_t block = (size_t)layout->block;
    return (channels + block - 1) / block * block;
}

size_t tn_qdepth_w_bytes(const tn_qdepth_layout *layout, size_t channels, size_t taps) {
    size_t group = (size_t)layout->group;
    return tn_qdepth_channels(layout, channels) * ((taps + group - 1) / group * group) * (size_t)layout->size;
}

/* Where a channel of a block lies. */
static size_t place(const tn_qdepth_layout *layout, size_t channel) {
    size_t lanes = (size_t)layout->block / 16;
    return channel % 16 / 4 * lanes * 4 + channel / 16 * 4 + channel % 4;
}

void tn_qdepth_pack_w(const tn_qdepth_layout *layout, void *dst, const int8_t *w, size_t channels, size_t taps) {
    size_t block = (size_t)layout->block, group = (size_t)layout->group, groups = (taps + group - 1) / group;
    memset(dst, 0, tn_qdepth_w_bytes(layout, channels, taps));
    for (size_t c = 0; c < channels; c++)
        for (size_t t = 0; t < taps; t++) {
            size_t at = ((c / block * groups + t / group) * block + place(layout, c % block)) * group + t % group;
            if (layout->size == 1)
                ((int8_t *)dst)[at] = w[c * taps + t];
            else
                ((int16_t *)dst)[at] = w[c * taps + t];
        }
}

void tn_qdepth_pack_row(const tn_qdepth_layout *layout, void *dst, const void *row, size_t channels) {
    size_t block = (size_t)layout->block;
    memset(dst, 0, tn_qdepth_channels(layout, channels) * 4);
    for (size_t c = 0; c < channels; c++)
        memcpy((char *)dst + (c / block * block + place(layout, c % block)) * 4, (const char *)row + c * 4, 4);
}
