/* Scaled dot-product attention in float32: Y = softmax(scale Q K^T, capped, masked) V, head by head. What the attention
 * operators of all domains share. (Vaswani et al., arXiv 1706.03762; grouped heads: Ainslie et al., arXiv 2305.13245.)
 *
 * A task is a block of one head's queries; its scores stay in a buffer of the thread, so that the full matrix of
 * scores never exists (unless it is asked for). */
#ifndef TN_ATTENTION_CORE_H
#define TN_ATTENTION_CORE_H

#include "graph/op.h"
#include "kernels/product.h"

typedef struct tn_attention {
    /* To set before tn_attention_prepare. kv_heads divides heads: each serves heads / kv_heads of them. */
    int64_t batch, heads, kv_heads, queries, keys, width, v_width;
    float scale;
    float softcap; /* 0: none; else scores become softcap * tanh(score / softcap) */
    bool causal;   /* query i sees keys up to `offset` + i */
    int64_t offset;
    /* Set by it. */
    int64_t block, blocks, units, units_per_task;
    tn_product scores[2], values[2]; /* of a whole block, and of the last one */
    size_t thread_bytes;
} tn_attention;

/* Where [batch, head, row, width] lies: distances in floats; the width is contiguous. */
typedef struct tn_heads {
    float *data;
    size_t batch, head, row;
} tn_heads;

enum { TN_WEIGHTS_SCORES, TN_WEIGHTS_CAPPED, TN_WEIGHTS_MASKED, TN_WEIGHTS_SOFTMAX };

typedef struct tn_attention_call {
    tn_heads q, k, v, y;
    /* Additive float32, or bool whose false takes a key out; NULL: none. Strides in elements, 0 where it broadcasts, of
     * batch, head, query; keys are contiguous, or one serves all (key_stride 0). Keys from mask_keys on are taken out. */
    const void *mask;
    bool mask_is_bool;
    int64_t mask_stride[3], key_stride, mask_keys;
    const int64_t *key_counts; /* of each batch; NULL: all */
    float *weights;            /* [batch, heads, queries, keys]; NULL: not wanted */
    int weights_kind;
} tn_attention_call;

/* Adds to call->scratch what tn_attention_run needs. */
tn_status tn_attention_prepare(tn_prepare *call, tn_attention *attention);
/* scratch: what prepare added. */
void tn_attention_run(const tn_run *run, const tn_attention *attention, const tn_attention_call *call, void *scratch);
/* Strides of a mask that broadcasts to [batch, heads, queries, keys or less]; fails if it does not. */
tn_status tn_attention_mask(const tn_attention *attention, const tn_tensor *mask, tn_attention_call *call);

#endif
