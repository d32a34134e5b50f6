/* Scaled dot-product attention: what all attention operators run on.
 *
 *     y[b, h] = softmax(cap(q[b, h] * k[b, g]^T * scale) + masks) * v[b, g],  g = h / (heads / kv_heads)
 *
 * Operands lie anywhere: [batch, heads, length, size] and [batch, length, heads * size] differ in strides alone. A task
 * takes a block of rows of q of one head: their scores are in its scratch memory at once, so that no matrix of
 * q_length x kv_length ever exists unless it is asked for. Rows that see nothing give zeros. */
#ifndef TN_OPS_ATTENTION_CORE_H
#define TN_OPS_ATTENTION_CORE_H

#include "graph/op.h"
#include "kernels/product.h"

/* Where element (b, h, row, i) lies: b * batch + h * head + row * row + i. */
typedef struct tn_attention_layout {
    size_t batch, head, row;
} tn_attention_layout;

/* Added to scores: float32 numbers as they are; bool and int32: 0 where it is above 0, else `filter`. Columns from
 * `columns` on are hidden. */
typedef struct tn_attention_mask {
    tn_dtype dtype;                           /* TN_UNDEFINED: no mask */
    size_t batch, head, row, column, columns; /* strides, 0 where it broadcasts; column is 0 or 1 */
    float filter;
} tn_attention_mask;

typedef enum tn_attention_stage {
    TN_SCORES_SCALED,
    TN_SCORES_CAPPED,
    TN_SCORES_MASKED,
    TN_SCORES_SOFTMAX
} tn_attention_stage;

typedef struct tn_attention {
    size_t batch, heads, kv_heads, q_length, kv_length, size, v_size;
    tn_attention_layout q, k, v, y;
    float scale, softcap;
    bool causal; /* row i sees columns up to i + past */
    size_t past;
    size_t window; /* and no more than the last `window` of them; 0: all */
    tn_attention_mask mask[2];
    tn_attention_stage stage; /* of the scores that are asked for */
    size_t rows;              /* in a task */
    bool packed;              /* k and v are packed once for all blocks of rows */
    size_t k_bytes, v_bytes, thread_bytes;
} tn_attention;

typedef struct tn_attention_call {
    const float *q, *k, *v;
    float *y;
    const void *mask[2];
    const int32_t *lengths; /* [batch]: columns that are there, the rest is hidden; NULL: all */
    const int32_t *past;    /* [batch]: in place of `past`; NULL: the same for all */
    const float *sinks;     /* [heads]: a score that takes its share and has no value; NULL: none */
    float *scores;          /* [batch, heads, q_length, kv_length] or NULL */
} tn_attention_call;

/* Fills in the last members from the others and adds what run needs to call->scratch. */
tn_status tn_attention_prepare(tn_prepare *call, tn_attention *a);
void tn_attention_run(const tn_attention *a, const tn_run *run, const tn_attention_call *call, void *scratch);

/* Keys or values of the past and new ones together: to[batch, heads, past + length, size]. past[batch, heads, past, size]
 * may be NULL if there are none. */
typedef struct tn_attention_join {
    size_t batch, heads, past, length, size;
    tn_attention_layout fresh;
} tn_attention_join;
void tn_attention_join_run(const tn_attention_join *j, const float *past, const float *fresh, float *to);

static inline tn_attention_layout tn_attention_heads_first(size_t heads, size_t length, size_t size) {
    return (tn_attention_layout){heads * length * size, length * size, size};
}
static inline tn_attention_layout tn_attention_rows_first(size_t heads, size_t length, size_t size) {
    return (tn_attention_layout){heads * length * size, size, heads * size};
}

#endif
