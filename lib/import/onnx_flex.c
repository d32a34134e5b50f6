/* FlexAttention of ai.onnx.preview: attention whose scores and probabilities subgraphs may change as a whole. It becomes
 * the products, the Softmax and the subgraphs' nodes that its description spells out, for fusion to look at like any
 * others.
 *
 * Where several heads of queries share one of keys, the queries of a group count as one head's, so that nothing is
 * repeated: [B, Hq, L, E] is [B, Hkv, Hq / Hkv * L, E] to the products. */
#include <math.h>
#include "import/lift.h"
#include "import/onnx.h"

/* With the last two axes exchanged. */
static int transpose(tn_lift *lift, int value) {
    static const int64_t perm[] = {0, 1, 3, 2};
    tn_attr attr = {.name = "perm", .kind = TN_ATTR_INTS, .count = 4, .ints = perm};
    return tn_lift_add(lift, "Transpose", 1, &value, 1, &attr);
}

/* The root of the scale, which both factors get; of Q's dtype. */
static int root_of_scale(tn_lift *lift, int q) {
    int root;
    if (tn_node_attr(&lift->node, "scale")) {
        root = tn_lift_scalar(lift, TN_FLOAT32, sqrtf(tn_attr_float(&lift->node, "scale", 1)));
    } else {
        int head_size = tn_lift_cast(lift, tn_lift_dims(lift, q, 3, 4), TN_FLOAT32);
        root = tn_lift_one(lift, "Sqrt", tn_lift_one(lift, "Reciprocal", tn_lift_one(lift, "Sqrt", head_size)));
    }
    return tn_lift_two(lift, "CastLike", root, q);
}

static tn_status apply_body(tn_lift *lift, const char *name, int count, const tn_pending_body *bodies, int *value) {
    for (int i = 0; i < count && lift->status == TN_OK; i++) {
        if (strcmp(bodies[i].attr.name, name) != 0) continue;
        if (bodies[i].origin->graph != lift->graph)
            return tn_fail(TN_E_UNSUPPORTED, "a subgraph that is a function's argument and used in another subgraph");
        return tn_onnx_inline(bodies[i].origin, name, bodies[i].message, *value, value);
    }
    return lift->status;
}

/* Whether queries and keys have the same number of heads; fails where one is no multiple of the other. */
static tn_status compare_heads(const tn_lift *lift, bool *same) {
    const tn_type *q = &lift->graph->values[lift->node.in[0]].type, *k = &lift->graph->values[lift->node.in[1]].type;
    *same = false;
    for (int i = 0; i < 3; i++)
        if (tn_lift_rank(lift, i) >= 0 && tn_lift_rank(lift, i) != 4)
            return tn_fail(TN_E_SHAPE, "input %d has %d dimensions; expected 4", i, tn_lift_rank(lift, i));
    if (q->rank < 0 || k->rank < 0) return TN_OK;
    int64_t queries = q->dims[1], keys = k->dims[1];
    *same = queries == keys && queries != -1;
    if (queries < 0 || keys < 0 || queries == keys || (keys && queries % keys == 0)) return TN_OK;
    return tn_fail(TN_E_SHAPE, "%lld heads of queries are no multiple of %lld heads of keys", (long long)queries,
                   (long long)keys);
}

tn_status tn_onnx_flex_attention(tn_lift *lift, int body_count, const tn_pending_body *bodies) {
    const tn_node *node = &lift->node;
    bool same_heads;
    if (node->in_count != 3 || node->out_count != 1 || node->in[0] < 0 || node->in[1] < 0 || node->in[2] < 0 ||
        node->out[0] < 0)
        return tn_fail(TN_E_FORMAT, "it needs three inputs and one output");
    TN_TRY(compare_heads(lift, &same_heads));
    int q = node->in[0], k = node->in[1], v = node->in[2];
    tn_dtype wide = tn_lift_dtype(lift, 0) == TN_FLOAT64 ? TN_FLOAT64 : TN_FLOAT32;
    tn_dtype precision = (tn_dtype)tn_attr_int(node, "softmax_precision", wide);
    int root = root_of_scale(lift, q), any = tn_lift_ints(lift, 1, (int64_t[]){-1});
    int batch = tn_lift_dims(lift, q, 0, 1), heads = tn_lift_dims(lift, k, 1, 2), rows = tn_lift_dims(lift, q, 0, 3);
    int columns = tn_lift_dims(lift, k, 2, 3), left = tn_lift_two(lift, "Mul", q, root),
        right = tn_lift_two(lift, "Mul", k, root);
    if (!same_heads) left = tn_lift_reshape(lift, left, 4, (int[]){batch, heads, any, tn_lift_dims(lift, q, 3, 4)});
    int scores = tn_lift_two(lift, "MatMul", left, transpose(lift, right));
    if (!same_heads) scores = tn_lift_reshape(lift, scores, 2, (int[]){rows, columns});
    scores = tn_lift_cast(lift, scores, precision);
    TN_TRY(apply_body(lift, "score_mod", body_count, bodies, &scores));
    int shares = tn_lift_add(lift, "Softmax", 1, &scores, 1, &(tn_attr){.name = "axis", .kind = TN_ATTR_INT, .i = -1});
    TN_TRY(apply_body(lift, "prob_mod", body_count, bodies, &shares));
    if (!same_heads) shares = tn_lift_reshape(lift, shares, 4, (int[]){batch, heads, any, columns});
    int result = tn_lift_two(lift, "MatMul", shares, tn_lift_cast(lift, v, precision));
    if (!same_heads) result = tn_lift_reshape(lift, result, 2, (int[]){rows, tn_lift_dims(lift, v, 3, 4)});
    return tn_lift_add_to(lift, "CastLike", 2, (int[]){result, v}, node->out[0], 0, NULL);
}
