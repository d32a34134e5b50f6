/* Weights that share values, as tn_graph_cluster leaves them: a Gather out of a codebook by codes that a Cast widens. Looked up
 * here in one go: folding would run the Cast and the Gather, which make much of little, and leaves that to the runs where a
 * weight is large. What is made is at most 8 times as large as the codes. */
#include "passes/match.h"
#include "passes/passes.h"
#include "passes/rows.h"

/* False if a code is none of the book's: the Gather will say so. Bytes of two codes are looked up as they are. */
static bool look_up(const tn_tensor *book, const tn_tensor *codes, float *out) {
    const uint8_t *from = codes->data;
    const size_t count = (size_t)tn_count(codes), entries = (size_t)book->dims[0];
    float all[256] = {0}, pair[256][2];
    bool seen[256] = {0};
    memcpy(all, book->data, TN_MIN(entries, TN_COUNT(all)) * sizeof *all);
    if (codes->dtype == TN_UINT8) {
        for (size_t i = 0; i < count; i++) {
            seen[from[i]] = true;
            out[i] = all[from[i]];
        }
        for (size_t c = entries; c < TN_COUNT(seen); c++)
            if (seen[c]) return false;
        return true;
    }
    for (size_t c = 0; c < TN_COUNT(pair); c++) {
        pair[c][0] = all[c & 15];
        pair[c][1] = all[c >> 4];
    }
    for (size_t i = 0; i < count / 2; i++) {
        seen[from[i]] = true;
        memcpy(out + 2 * i, pair[from[i]], sizeof *pair);
    }
    if (count % 2) {
        const uint8_t last = from[count / 2] & 15;
        seen[last] = true;
        out[count - 1] = all[last];
    }
    for (size_t c = 0; c < TN_COUNT(seen); c++)
        if (seen[c] && ((c & 15) >= entries || c >> 4 >= entries)) return false;
    return true;
}

static tn_status match_lookup(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    tn_node *node = &graph->nodes[n];
    if (!tn_match_is(node, "", "Gather") || tn_attr_int(node, "axis", 0) != 0) return TN_OK;
    const tn_tensor *book = tn_match_floats(graph, node->in[0]);
    const tn_node *cast = tn_match_producer(m, node->in[1], "Cast");
    const tn_tensor *codes = cast ? graph->values[cast->in[0]].constant : NULL;
    if (!book || book->rank != 1 || !codes || !tn_tensor_is_dense(codes) || tn_count(codes) == 0 ||
        (codes->dtype != TN_UINT8 && codes->dtype != TN_UINT4))
        return TN_OK;
    const tn_dtype to = (tn_dtype)tn_attr_int(cast, "to", TN_UNDEFINED);
    if (to != TN_INT32 && to != TN_INT64) return TN_OK; /* which hold every code */
    float *floats = tn_region_take(graph->region, (size_t)tn_count(codes) * sizeof *floats);
    tn_tensor *made = floats ? tn_graph_tensor(graph, TN_FLOAT32, codes->rank, codes->dims, floats) : NULL;
    if (!made) return TN_E_MEMORY;
    if (!look_up(book, codes, floats)) return TN_OK;
    tn_graph_value *value = &graph->values[node->out[0]];
    value->constant = made;
    tn_type_tensor(&value->type, TN_FLOAT32, made->rank, made->dims);
    node->dead = true;
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_codebook(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_lookup, changes);
}
