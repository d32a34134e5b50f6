/* A table of 16 is four registers of bytes, of which those of an element are looked up one by one. One of 256 is read where it
 * lies. */
#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LOOKUP_LANES 4
#define LOOKUP_BITS 4

typedef struct book_4 {
    uint8x16x4_t bytes;
} book_4;
typedef const float *book_8;

static inline book_4 load_4(const float *table) {
    book_4 book;
    for (int i = 0; i < 4; i++) book.bytes.val[i] = vreinterpretq_u8_f32(vld1q_f32(table + 4 * i));
    return book;
}
static inline void put_4(float *y, const uint8_t *codes, const book_4 *book, bool high) {
    uint32_t four;
    memcpy(&four, codes, sizeof four);
    four = (high ? four >> 4 : four) & 0x0f0f0f0f;
    const uint8x16_t each = vreinterpretq_u8_u32(vdupq_n_u32(four << 2)); /* byte i: where element i begins */
    const uint8x16_t element = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
    const uint8x16_t byte = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
    vst1q_f32(y, vreinterpretq_f32_u8(vqtbl4q_u8(book->bytes, vaddq_u8(vqtbl1q_u8(each, element), byte))));
}

static inline book_8 load_8(const float *table) {
    return table;
}
static inline void put_8(float *y, const uint8_t *codes, const book_8 *book) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) y[i] = (*book)[codes[i]];
}

#define TN_LEVEL_OVERLAY tn_lookup_neon
#include "kernels/lookup_rows.h"
