/* Weights that share values, as tn_graph_cluster leaves them: a Gather out of a codebook by codes that a Cast widens, or out of
 * several that lie one behind the other, by codes to which an Add brings where the codebook of their output begins. Looked up
 * here in one go: folding would run the Cast and the Gather, which make much of little, and leaves that to the runs where a
 * weight is large. What is made is at most 8 times as large as the codes. */
#include "base/half.h"
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

/* Likewise, out of a codebook for each place along one axis of the codes. */
static bool look_up_from(const tn_tensor *book, const tn_tensor *codes, const tn_tensor *starts, float *out) {
    const size_t count = (size_t)tn_count(codes);
    const int32_t *start = starts->data;
    size_t inner = 1, axis = 0, outputs = (size_t)tn_count(starts);
    for (int i = 0; i < codes->rank; i++)
        if (starts->dims[i] == (int64_t)outputs && starts->dims[i] != 1) axis = (size_t)i;
    for (int i = (int)axis + 1; i < codes->rank; i++) inner *= (size_t)codes->dims[i];
    for (size_t i = 0; i < count; i++) {
        const int64_t code = codes->dtype == TN_UINT8 ? ((const uint8_t *)codes->data)[i]
                                                      : (int64_t)tn_packed_get(codes->data, 4, (int64_t)i);
        const int64_t at = code + start[i / inner % outputs];
        if (at < 0 || at >= book->dims[0]) return false;
        out[i] = ((const float *)book->data)[at];
    }
    return true;
}

/* Constants that Add can bring to each code along one axis: int32, of the codes' rank, and of its extent on that axis alone. */
static bool are_starts(const tn_tensor *t, const tn_tensor *codes) {
    int extents = 0;
    if (!t || t->dtype != TN_INT32 || t->rank != codes->rank || !tn_tensor_is_dense(t)) return false;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] != 1 && t->dims[i] != codes->dims[i]) return false;
        extents += t->dims[i] != 1;
    }
    return extents <= 1;
}

static tn_status match_lookup(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    tn_node *node = &graph->nodes[n];
    if (!tn_match_is(node, "", "Gather") || tn_attr_int(node, "axis", 0) != 0) return TN_OK;
    const tn_tensor *book = tn_match_floats(graph, node->in[0]);
    const tn_node *add = tn_match_producer(m, node->in[1], "Add");
    const tn_node *cast = tn_match_producer(m, add ? add->in[0] : node->in[1], "Cast");
    const tn_tensor *codes = cast ? graph->values[cast->in[0]].constant : NULL;
    const tn_tensor *starts = add ? graph->values[add->in[1]].constant : NULL;
    if (!book || book->rank != 1 || !codes || !tn_tensor_is_dense(codes) || tn_count(codes) == 0 ||
        (codes->dtype != TN_UINT8 && codes->dtype != TN_UINT4))
        return TN_OK;
    const tn_dtype to = (tn_dtype)tn_attr_int(cast, "to", TN_UNDEFINED);
    if (to != TN_INT32 && (to != TN_INT64 || add)) return TN_OK; /* which hold every code */
    if (add && !are_starts(starts, codes)) return TN_OK;
    float *floats = tn_region_take(graph->region, (size_t)tn_count(codes) * sizeof *floats);
    tn_tensor *made = floats ? tn_graph_tensor(graph, TN_FLOAT32, codes->rank, codes->dims, floats) : NULL;
    if (!made) return TN_E_MEMORY;
    if (add ? !look_up_from(book, codes, starts, floats) : !look_up(book, codes, floats)) return TN_OK;
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
