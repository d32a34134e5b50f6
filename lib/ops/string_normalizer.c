/* StringNormalizer: drops stop words and changes case, by Unicode's simple case mappings in every locale. */
#include "base/unicode.h"
#include "graph/op.h"

typedef enum case_action { NONE, LOWER, UPPER } case_action;

typedef struct state {
    case_action action;
    bool case_sensitive;
    int64_t count;
    const tn_string *words; /* folded unless case counts */
} state;

static bool read_action(const tn_node *node, case_action *out) {
    static const char *const names[] = {"NONE", "LOWER", "UPPER"};
    const char *text = tn_attr_text(node, "case_change_action", "NONE");
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (case_action)i;
            return true;
        }
    return false;
}

static tn_status infer(tn_infer *call) {
    static const tn_dtype allowed[] = {TN_STRING, TN_UNDEFINED};
    case_action ignored;
    TN_TRY(tn_infer_dtype(call, 0, allowed));
    if (!read_action(call->node, &ignored))
        return tn_fail(TN_E_INVALID, "attribute case_change_action is '%s', not NONE, LOWER or UPPER",
                       tn_attr_text(call->node, "case_change_action", ""));
    const tn_type *in = call->in[0];
    if (in->rank < 0) return tn_infer_out(call, 0, TN_STRING, -1, NULL);
    bool fits = in->rank == 1 || (in->rank == 2 && in->dims[0] <= 1 && in->dims[0] != 0);
    if (!fits) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [C] or [1, C]");
    int64_t dims[] = {1, 1}, count = in->dims[in->rank - 1];
    const tn_attr *words = tn_node_attr(call->node, "stopwords");
    dims[in->rank - 1] = words && words->count ? -1 : count == 0 ? 1 : count;
    return tn_infer_out(call, 0, TN_STRING, in->rank, dims);
}

static uint32_t change(case_action action, uint32_t code) {
    return action == LOWER ? tn_unicode_lower(code) : action == UPPER ? tn_unicode_upper(code) : code;
}

static size_t changed_size(case_action action, tn_string s) {
    size_t size = 0, at = 0;
    char bytes[4];
    uint32_t code;
    while (at < s.size) {
        at += tn_utf8_decode(s.data + at, s.size - at, &code);
        size += tn_utf8_encode(change(action, code), bytes);
    }
    return size;
}

static void write_changed(case_action action, tn_string s, char *to) {
    size_t at = 0;
    uint32_t code;
    while (at < s.size) {
        at += tn_utf8_decode(s.data + at, s.size - at, &code);
        to += tn_utf8_encode(change(action, code), to);
    }
}

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    read_action(call->node, &s->action);
    s->case_sensitive = tn_attr_int(call->node, "is_case_sensitive", 0) != 0;
    const tn_attr *words = tn_node_attr(call->node, "stopwords");
    if (!words || words->kind != TN_ATTR_STRINGS) return TN_OK;
    tn_string *folded = tn_prepare_alloc(call, (words->count + 1) * sizeof *folded);
    if (!folded) return TN_E_MEMORY;
    for (size_t i = 0; i < words->count; i++) {
        folded[i] = words->strings[i];
        if (s->case_sensitive) continue;
        size_t size = changed_size(LOWER, words->strings[i]);
        char *text = tn_prepare_alloc(call, size + 1);
        if (!text) return TN_E_MEMORY;
        write_changed(LOWER, words->strings[i], text);
        folded[i] = (tn_string){text, size};
    }
    s->words = folded;
    s->count = (int64_t)words->count;
    return TN_OK;
}

/* Whether text, lowered if `fold`, is the word. */
static bool same(tn_string text, tn_string word, bool fold) {
    if (!fold) return text.size == word.size && (!text.size || memcmp(text.data, word.data, text.size) == 0);
    size_t a = 0, b = 0;
    uint32_t x, y;
    while (a < text.size && b < word.size) {
        a += tn_utf8_decode(text.data + a, text.size - a, &x);
        b += tn_utf8_decode(word.data + b, word.size - b, &y);
        if (tn_unicode_lower(x) != y) return false;
    }
    return a == text.size && b == word.size;
}

static bool is_stop_word(const state *s, tn_string text) {
    for (int64_t i = 0; i < s->count; i++)
        if (same(text, s->words[i], !s->case_sensitive)) return true;
    return false;
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *in = tn_in(call, 0);
    const tn_string *x = in->data;
    int64_t n = tn_count(in), kept = 0, dims[] = {1, 1};
    for (int64_t i = 0; i < n; i++) kept += !is_stop_word(s, x[i]);
    dims[in->rank - 1] = TN_MAX(kept, 1);
    tn_tensor *out = tn_out(call, 0);
    if (!out) return TN_OK;
    if (s->count) TN_TRY(tn_run_output(call, 0, TN_STRING, in->rank, dims));
    tn_string *y = out->data;
    if (!kept) y[0] = (tn_string){"", 0};
    for (int64_t i = 0; i < n; i++) {
        if (is_stop_word(s, x[i])) continue;
        *y = x[i];
        if (s->action != NONE) {
            size_t size = changed_size(s->action, x[i]);
            char *text = tn_run_string(call, size);
            if (!text) return TN_E_MEMORY;
            write_changed(s->action, x[i], text);
            *y = (tn_string){text, size};
        }
        y++;
    }
    return TN_OK;
}

const tn_op tn_ops_string_normalizer[] = {
    {.domain = "",
     .name = "StringNormalizer",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
