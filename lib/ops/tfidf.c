/* TfIdfVectorizer: counts the n-grams of a pool in each row of tokens.
 *
 * The pool becomes a trie whose edges are one hash table: (node, token number) to node. Tokens (integers or strings) are
 * numbered by another, so a row's tokens are looked up once each however many n-grams they stand in. */
#include "graph/op.h"

typedef struct token_slot {
    tn_string text;
    int64_t value;
    int32_t number; /* 0: empty slot */
} token_slot;

typedef struct edge_slot {
    int32_t node, token, to; /* to 0: empty slot */
} edge_slot;

typedef struct state {
    enum { TF, IDF, TFIDF } mode;
    int64_t least, most, skips, columns;
    size_t tokens, edges; /* slots: powers of two, at least twice what is in them */
    token_slot *token;
    edge_slot *edge;
    int32_t *gram;         /* of node: the n-gram that ends there, -1 for none */
    const int64_t *column; /* of n-gram */
    int32_t node_count, token_count;
    const float *weights; /* of n-gram; NULL: all 1 */
} state;

static const int64_t *required_ints(const tn_node *node, const char *name, size_t *count) {
    const int64_t *values = tn_attr_ints(node, name, count);
    if (!values) tn_fail(TN_E_FORMAT, "attribute %s is missing or empty", name);
    return values;
}

static tn_status infer(tn_infer *call) {
    static const tn_dtype strings[] = {TN_STRING, TN_UNDEFINED}, integers[] = {TN_INT32, TN_INT64, TN_UNDEFINED};
    size_t count, weights;
    const tn_type *in = call->in[0];
    const int64_t *indexes = required_ints(call->node, "ngram_indexes", &count);
    if (!indexes) return TN_E_FORMAT;
    const tn_attr *text = tn_node_attr(call->node, "pool_strings");
    TN_TRY(tn_infer_dtype(call, 0, text ? strings : integers));
    int64_t columns = 0, least = tn_attr_int(call->node, "min_gram_length", 0),
            most = tn_attr_int(call->node, "max_gram_length", 0);
    for (size_t i = 0; i < count; i++) {
        if (indexes[i] < 0 || indexes[i] >= INT32_MAX)
            return tn_fail(TN_E_INVALID, "ngram_indexes[%zu] is %lld, which is no column", i, (long long)indexes[i]);
        columns = TN_MAX(columns, indexes[i] + 1);
    }
    if (least < 1 || most < least || tn_attr_int(call->node, "max_skip_count", 0) < 0)
        return tn_fail(TN_E_INVALID,
                       "n-grams of %lld to %lld tokens and %lld skips; expected 1 <= least <= most, skips >= 0",
                       (long long)least, (long long)most, (long long)tn_attr_int(call->node, "max_skip_count", 0));
    const char *mode = tn_attr_text(call->node, "mode", "");
    if (strcmp(mode, "TF") != 0 && strcmp(mode, "IDF") != 0 && strcmp(mode, "TFIDF") != 0)
        return tn_fail(TN_E_INVALID, "attribute mode is '%s', not TF, IDF or TFIDF", mode);
    if (tn_attr_floats(call->node, "weights", &weights) && weights && weights != count)
        return tn_fail(TN_E_INVALID, "%zu weights for %zu n-grams", weights, count);
    if (in->rank < 0) return tn_infer_out(call, 0, TN_FLOAT32, -1, NULL);
    if (in->rank > 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [C] or [N, C]");
    int64_t dims[] = {in->rank == 2 ? in->dims[0] : columns, columns};
    return tn_infer_out(call, 0, TN_FLOAT32, in->rank == 2 ? 2 : 1, dims);
}

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint64_t hash_token(tn_string text, int64_t value) {
    uint64_t h = 0xCBF29CE484222325u;
    if (!text.data) return mix((uint64_t)value);
    for (size_t i = 0; i < text.size; i++) h = (h ^ (uint8_t)text.data[i]) * 0x100000001B3u;
    return mix(h);
}

/* Strings have text.data set, integers only a value. */
static token_slot *find_token(const state *s, tn_string text, int64_t value) {
    for (size_t i = hash_token(text, value);; i++) {
        token_slot *slot = &s->token[i & (s->tokens - 1)];
        if (!slot->number) return slot;
        if (text.data ? slot->text.size == text.size && memcmp(slot->text.data, text.data, text.size) == 0
                      : slot->value == value)
            return slot;
    }
}

static edge_slot *find_edge(const state *s, int32_t node, int32_t token) {
    for (size_t i = mix((uint64_t)node << 32 | (uint32_t)token);; i++) {
        edge_slot *slot = &s->edge[i & (s->edges - 1)];
        if (!slot->to || (slot->node == node && slot->token == token)) return slot;
    }
}

static void add_gram(state *s, const tn_string *text, const int64_t *value, int64_t size, int32_t gram) {
    int32_t node = 0;
    for (int64_t i = 0; i < size; i++) {
        tn_string string = text ? (tn_string){text[i].data ? text[i].data : "", text[i].size} : (tn_string){NULL, 0};
        token_slot *token = find_token(s, string, value ? value[i] : 0);
        if (!token->number) *token = (token_slot){string, value ? value[i] : 0, ++s->token_count};
        edge_slot *edge = find_edge(s, node, token->number);
        if (!edge->to) {
            *edge = (edge_slot){node, token->number, s->node_count++};
            s->gram[edge->to] = -1;
        }
        node = edge->to;
    }
    s->gram[node] = gram;
}

static size_t slots_for(size_t count) {
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    return slots;
}

/* Goes through the pool: n-grams of size 1 from counts[0] on, of size 2 from counts[1] on... */
static tn_status add_pool(state *s, const tn_node *node, const tn_string *text, const int64_t *value, size_t pool) {
    size_t count, grams;
    const int64_t *starts = required_ints(node, "ngram_counts", &count);
    s->column = required_ints(node, "ngram_indexes", &grams);
    if (!starts || !s->column) return TN_E_FORMAT;
    size_t gram = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t size = (int64_t)i + 1, at = starts[i], end = i + 1 < count ? starts[i + 1] : (int64_t)pool;
        if (at < 0 || end < at || end > (int64_t)pool || (end - at) % size != 0)
            return tn_fail(TN_E_INVALID, "ngram_counts[%zu] gives %lld-grams from %lld to %lld of a pool of %zu", i,
                           (long long)size, (long long)at, (long long)end, pool);
        for (; at < end; at += size, gram++) {
            if (gram >= grams)
                return tn_fail(TN_E_INVALID, "the pool has more n-grams than the %zu ngram_indexes", grams);
            if (size >= s->least && size <= s->most)
                add_gram(s, text ? text + at : NULL, value ? value + at : NULL, size, (int32_t)gram);
        }
    }
    return TN_OK;
}

static tn_status prepare(tn_prepare *call) {
    const tn_node *node = call->node;
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    size_t pool = 0, weights = 0;
    if (!s) return TN_E_MEMORY;
    const tn_attr *text = tn_node_attr(node, "pool_strings");
    const int64_t *value = text ? NULL : tn_attr_ints(node, "pool_int64s", &pool);
    if (text && (text->kind != TN_ATTR_STRINGS || tn_node_attr(node, "pool_int64s")))
        return tn_fail(TN_E_FORMAT, "expected either pool_strings or pool_int64s");
    if (text) pool = text->count;
    if (pool > INT32_MAX / 4) return tn_fail(TN_E_LIMIT, "a pool of %zu tokens is too large", pool);
    const char *mode = tn_attr_text(node, "mode", "");
    s->mode = strcmp(mode, "TF") == 0 ? TF : strcmp(mode, "IDF") == 0 ? IDF : TFIDF;
    s->least = tn_attr_int(node, "min_gram_length", 1);
    s->most = tn_attr_int(node, "max_gram_length", 1);
    s->skips = tn_attr_int(node, "max_skip_count", 0);
    s->columns = call->out[0].dims[call->out[0].rank - 1];
    const float *w = tn_attr_floats(node, "weights", &weights);
    s->weights = weights ? w : NULL;
    s->tokens = s->edges = slots_for(pool);
    s->token = tn_prepare_alloc(call, s->tokens * sizeof *s->token);
    s->edge = tn_prepare_alloc(call, s->edges * sizeof *s->edge);
    s->gram = tn_prepare_alloc(call, (pool + 1) * sizeof *s->gram);
    if (!s->token || !s->edge || !s->gram) return TN_E_MEMORY;
    s->node_count = 1;
    s->gram[0] = -1;
    const tn_type *in = call->in[0];
    call->scratch = (size_t)(in->rank ? in->dims[in->rank - 1] : 1) * sizeof(int32_t);
    return add_pool(s, node, text ? text->strings : NULL, value, pool);
}

static void count(const state *s, int32_t gram, float *y) {
    float weight = s->weights && s->mode != TF ? s->weights[gram] : 1, *to = &y[s->column[gram]];
    *to = s->mode == IDF ? weight : *to + weight;
}

static void count_row(const state *s, const int32_t *token, int64_t n, float *y) {
    int64_t least = s->least;
    for (int64_t step = 1; step - 1 <= s->skips && step <= TN_MAX(n, 1); step++) {
        for (int64_t start = 0; start < n; start++) {
            if (start + step * (least - 1) >= n) break;
            int32_t node = 0;
            int64_t size = 1;
            for (int64_t i = start; i < n && size <= s->most && token[i]; i += step, size++) {
                node = find_edge(s, node, token[i])->to;
                if (!node) break;
                if (size >= least && s->gram[node] >= 0) count(s, s->gram[node], y);
            }
        }
        /* Single tokens are the same whatever is skipped: they count once. */
        if (least == 1 && ++least > s->most) break;
    }
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *in = tn_in(call, 0);
    int64_t n = in->rank ? in->dims[in->rank - 1] : 1, rows = in->rank == 2 ? in->dims[0] : 1;
    int32_t *token = call->scratch;
    float *y = tn_out(call, 0)->data;
    memset(y, 0, (size_t)(rows * s->columns) * sizeof *y);
    for (int64_t r = 0; r < rows; r++, y += s->columns) {
        for (int64_t i = 0; i < n; i++) {
            int64_t at = r * n + i;
            if (in->dtype == TN_STRING) {
                tn_string text = ((const tn_string *)in->data)[at];
                token[i] = find_token(s, (tn_string){text.data ? text.data : "", text.size}, 0)->number;
            } else {
                int64_t value =
                    in->dtype == TN_INT32 ? ((const int32_t *)in->data)[at] : ((const int64_t *)in->data)[at];
                token[i] = find_token(s, (tn_string){NULL, 0}, value)->number;
            }
        }
        count_row(s, token, n, y);
    }
    return TN_OK;
}

const tn_op tn_ops_tfidf[] = {
    {.domain = "",
     .name = "TfIdfVectorizer",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
