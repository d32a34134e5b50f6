/* MultiHeadAttention and Attention of com.microsoft, and what they share: heads in several layouts, biases, masks of
 * integers, keys and values of the past. The work is in attention_core.c.
 *
 * Masks of integers hide by adding mask_filter_value, which is not infinite: a row of which all is hidden attends to
 * everything alike, as in ONNX Runtime. */
#ifndef TN_OPS_ATTENTION_HEADS_H
#define TN_OPS_ATTENTION_HEADS_H

#include "ops/attention_core.h"
#include "ops/matmul.h"

typedef struct tn_heads {
    tn_attention core;
    tn_attention_layout from[3]; /* of Q, K and V as they come */
    tn_attention_join join[2];
    bool biased[3], joined[2];
    int mask_in, bias_in; /* inputs: the integer mask, what is added to scores; -1: none */
    int mask_rank;
    size_t mask_count;
    size_t own; /* scratch of the core (and of a product) comes first, then that of this */
    const tn_matmul *product;
    size_t product_scratch;
} tn_heads;

static inline size_t tn_heads_length(const tn_heads *h, int which) {
    return which ? h->join[0].length : h->core.q_length;
}
static inline size_t tn_heads_size(const tn_heads *h, int which) {
    return which == 2 ? h->core.v_size : h->core.size;
}

/* Fails unless input `in` has these dims; -1 is any. */
tn_status tn_heads_expect(const tn_infer *call, int in, int rank, const int64_t *dims);
/* Checks the integer mask and what is added to scores, if they are there; dims as in tn_type. */
tn_status tn_heads_check_masks(const tn_infer *call, int mask, int bias, int64_t batch, int64_t heads_count,
                               int64_t length, int64_t total);
void tn_heads_set_masks(tn_prepare *call, tn_heads *h, int mask, int bias);
/* Once all but the core's last members, `joined` and `own` are there. first_present: the output of keys of past and new. */
tn_status tn_heads_prepare(tn_prepare *call, tn_heads *h, int first_present);
/* qkv: where the three start; past and present: those of keys and values, NULL: none. scratch: at h->own. */
void tn_heads_run(const tn_run *call, const tn_heads *h, const float *const *qkv, const float *bias,
                  const float *const *past, float *const *present, uint8_t *at);

#endif
