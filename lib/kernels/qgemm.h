/* Operands of the 8-bit matrix products, as the kernels want them.
 *
 * a (left) lies in rows of k values, k padded with zeros to a multiple of `group`; b (right) in panels of `columns`
 * columns, each panel as [k / group][columns][group] bytes, columns and k padded with zeros. Where the instruction set
 * multiplies bytes (AVX2, VNNI, dot product) a is bytes as well, else it is widened to 16 bits.
 *
 * The kernels want one side unsigned and the other signed (`bytes_signed`: both signed). A side of the other
 * signedness is shifted by 128 when it is packed: q = v + shift, and its zero point moves along. With za and zb the
 * shifted zero points, and a and b the shifted values:
 *
 *     sum (a - za)(b - zb) = sum ab - za * colsum(b) - zb * rowsum(a) + k * za * zb */
#ifndef TN_QGEMM_H
#define TN_QGEMM_H

#include "kernels/kernels.h"

/* qconv_row takes columns in blocks of so many. */
#define TN_QCONV_BLOCK 32

typedef struct tn_qgemm_layout {
    int columns, group;
    int a_size;        /* bytes of an element of a */
    int rows;          /* that the product takes at a time: best in multiples of it */
    bool bytes_signed; /* both sides are signed bytes */
    bool words;        /* pairs of words multiply as fast as bytes: see kernels/qwinograd.h */
    bool saturates;    /* pairs of bytes saturate: panels are in the order of tn_qgemm_order */
} tn_qgemm_layout;

/* Left sides of products that lie in an image: `tiles` of `rows` rows each, at a[i], row_step bytes from one row to the next. A
 * row is `runs` runs of run_bytes, run_step apart, gone through `step` (of which run_bytes is a multiple) at a time. */
struct tn_qgemm_taps {
    size_t tiles, rows;
    const uint8_t *const *a;
    size_t row_step, runs, run_step, run_bytes, step;
};

const tn_qgemm_layout *tn_qgemm_layout_of(const tn_kernels *kernels);

static inline size_t tn_qgemm_k(const tn_qgemm_layout *layout, size_t k) {
    size_t group = (size_t)layout->group;
    return (k + group - 1) / group * group;
}
/* Bytes of packed operands; SIZE_MAX if that overflows. Where bytes saturate, panels of signed bytes are followed by their
 * orders. */
size_t tn_qgemm_a_bytes(const tn_qgemm_layout *layout, size_t m, size_t k);
size_t tn_qgemm_b_bytes(const tn_qgemm_layout *layout, size_t k, size_t n);

/* For who goes over all rows of a for some panels before the next ones: those are fetched while this goes on, by each product
 * as large a part as it has of the rows. panels, bytes: this product's. more: whether panels follow. */
static inline const void *tn_qgemm_next(const void *panels, size_t bytes, bool more, size_t row, size_t rows,
                                        size_t all_rows, size_t *out_bytes) {
    const size_t from = bytes / all_rows * row;
    *out_bytes = bytes / all_rows * rows;
    return more ? (const uint8_t *)panels + bytes + from : NULL;
}

/* What is to be added to values of a side so that they have the sign that the product wants: 0, 128 or -128. */
static inline int tn_qgemm_shift(bool has_sign, bool wants_sign) {
    return has_sign == wants_sign ? 0 : wants_sign ? -128 : 128;
}

/* Packs m rows of a, whose element (m, k) lies at m * m_stride + k * k_stride. a_signed: how the packed values are to be
 * read; flip: 0x80 where they are shifted. sums (NULL: unwanted): of each packed row. */
void tn_qgemm_pack_a(const tn_qgemm_layout *layout, void *dst, const uint8_t *a, size_t m_stride, size_t k_stride,
                     size_t m, size_t k, bool a_signed, uint8_t flip, int32_t *sums);
/* Packs n columns of b whose element (k, n) lies at k * k_stride + n * n_stride. sums: of each packed column. */
void tn_qgemm_pack_b(const tn_qgemm_layout *layout, void *dst, const uint8_t *b, size_t k_stride, size_t n_stride,
                     size_t k, size_t n, bool b_signed, uint8_t flip, int32_t *sums);

/* In which order the panel of packed b that has `column` holds its steps (a step: a group of each column). A product
 * with unsigned bytes can be added in 16 bits where values of one sign are at most 128 together, of both values of a pair
 * (k, k + 1; k even) and of both pairs if those of two steps are added. First stands the number of twos of steps that can
 * be added so; they lie first. Then, for each step, where it begins in k; and one more if it is wild: if it has pairs that
 * are beyond that alone. NULL where the kernels have no use for it. */
const uint32_t *tn_qgemm_order(const tn_qgemm_layout *layout, const void *packed, size_t k, size_t n, size_t column);

/* One group of b for n columns: dst[i * group + g] = g < live ? source[g][i * stride] ^ flip : 0. */
void tn_qgemm_interleave(const tn_qgemm_layout *layout, uint8_t *dst, const uint8_t *const *source, int live, size_t n,
                         size_t stride, uint8_t flip);

#endif
