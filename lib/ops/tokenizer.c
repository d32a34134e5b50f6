/* Tokenizer of com.microsoft, which scikit-learn's text vectorizers become: each string of [C] or [N, C] is cut into
 * tokens, [C, D] or [N, C, D], where D is the most that one string has and shorter rows end in pad_value.
 *
 * Tokens are what matches `tokenexp`; or what is left between matches of each of `separators` in turn; or, with the one
 * separator "", single characters. Matches are the longest. Those of fewer than mincharnum characters do not count. With
 * `mark` each row begins with STX and ends with ETX. */
#include "base/unicode.h"
#include "ops/strings.h"

enum { MOST_SEPARATORS = 64 };

typedef struct tokenizer {
    bool mark, characters, separate;
    size_t least; /* characters of a token */
    tn_string pad;
    int count;
    tn_regex *expressions;
} tokenizer;

static tn_status infer(tn_infer *call) {
    static const tn_dtype allowed[] = {TN_STRING, TN_UNDEFINED};
    const tn_attr *expression = tn_node_attr(call->node, "tokenexp"),
                  *separators = tn_node_attr(call->node, "separators");
    const tn_type *in = call->in[0];
    int64_t dims[3] = {-1, -1, -1}, least = tn_attr_int(call->node, "mincharnum", 0);
    TN_TRY(tn_infer_dtype(call, 0, allowed));
    if (least < 1) return tn_fail(TN_E_INVALID, "mincharnum is %lld; expected at least 1", (long long)least);
    if (!tn_node_attr(call->node, "pad_value")) return tn_fail(TN_E_INVALID, "attribute pad_value is missing");
    bool one = expression && expression->kind == TN_ATTR_STRING && expression->s.size;
    bool several = separators && separators->kind == TN_ATTR_STRINGS && separators->count;
    if (one == several) return tn_fail(TN_E_INVALID, "expected one of the attributes tokenexp and separators");
    if (several && separators->count > MOST_SEPARATORS)
        return tn_fail(TN_E_LIMIT, "there are %zu separators; at most %d are supported", separators->count,
                       MOST_SEPARATORS);
    if (in->rank < 0) return tn_infer_out(call, 0, TN_STRING, -1, NULL);
    if (in->rank != 1 && in->rank != 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [C] or [N, C]");
    for (int i = 0; i < in->rank; i++) dims[i] = in->dims[i];
    return tn_infer_out(call, 0, TN_STRING, in->rank + 1, dims);
}

static tn_status prepare(tn_prepare *call) {
    tokenizer *t = call->state = tn_prepare_alloc(call, sizeof *t);
    if (!t) return TN_E_MEMORY;
    const tn_attr *expression = tn_node_attr(call->node, "tokenexp"), *pad = tn_node_attr(call->node, "pad_value");
    const tn_attr *separators = tn_node_attr(call->node, "separators");
    t->mark = tn_attr_int(call->node, "mark", 0) != 0;
    t->least = (size_t)tn_attr_int(call->node, "mincharnum", 1);
    if (pad->kind == TN_ATTR_STRING) t->pad = pad->s;
    t->separate = !(expression && expression->kind == TN_ATTR_STRING && expression->s.size);
    const tn_string *patterns = t->separate ? separators->strings : &expression->s;
    t->count = t->separate ? (int)separators->count : 1;
    t->characters = t->separate && t->count == 1 && patterns[0].size == 0;
    if (t->characters) return TN_OK;
    t->expressions = tn_prepare_alloc(call, (size_t)t->count * sizeof *t->expressions);
    if (!t->expressions) return TN_E_MEMORY;
    for (int i = 0; i < t->count; i++) {
        if (patterns[i].size == 0) return tn_fail(TN_E_INVALID, "separator %d is empty, which is for a list of one", i);
        TN_TRY(tn_keep_regex(call, patterns[i], &t->expressions[i]));
        call->scratch = TN_MAX(call->scratch, tn_regex_scratch(&t->expressions[i]));
    }
    return TN_OK;
}

/* Where tokens go. */
typedef struct sink {
    const tokenizer *t;
    void *scratch;
    tn_string *to; /* NULL: they are counted */
    int64_t count;
} sink;

static void take(sink *s, tn_string token) {
    size_t characters = 0;
    uint32_t code;
    for (size_t at = 0; at < token.size && characters < s->t->least; characters++)
        at += tn_utf8_decode(token.data + at, token.size - at, &code);
    if (characters < s->t->least) return;
    if (s->to) *s->to++ = token;
    s->count++;
}

/* Finds a match that is not empty at *from or behind it. */
static bool next_match(const sink *s, int which, tn_string text, size_t from, size_t *start, size_t *end) {
    uint32_t code;
    while (from < text.size) {
        if (!tn_regex_find(&s->t->expressions[which], text.data, text.size, from, s->scratch, start, end)) return false;
        if (*end > *start) return true;
        if (*end >= text.size) return false;
        from = *end + tn_utf8_decode(text.data + *end, text.size - *end, &code);
    }
    return false;
}

static void separate(sink *s, int which, tn_string text) {
    size_t from = 0, start, end;
    if (which == s->t->count) {
        take(s, text);
        return;
    }
    for (; next_match(s, which, text, from, &start, &end); from = end)
        separate(s, which + 1, (tn_string){text.data + from, start - from});
    separate(s, which + 1, (tn_string){text.data + from, text.size - from});
}

static void cut(sink *s, tn_string text) {
    size_t at = 0, start, end;
    uint32_t code;
    if (s->t->characters)
        for (size_t width; at < text.size; at += width) {
            width = tn_utf8_decode(text.data + at, text.size - at, &code);
            take(s, (tn_string){text.data + at, width});
        }
    else if (s->t->separate)
        separate(s, 0, text);
    else
        for (; next_match(s, 0, text, at, &start, &end); at = end) take(s, (tn_string){text.data + start, end - start});
}

static tn_status run(tn_run *call) {
    const tokenizer *t = call->state;
    const tn_tensor *in = tn_in(call, 0);
    const tn_string *x = in->data;
    int64_t n = tn_count(in), longest = 0, dims[3] = {0};
    sink s = {.t = t, .scratch = call->scratch};
    for (int64_t i = 0; i < n; i++, longest = TN_MAX(longest, s.count)) s.count = 0, cut(&s, x[i]);
    if (t->mark && n) longest += 2;
    for (int i = 0; i < in->rank; i++) dims[i] = in->dims[i];
    dims[in->rank] = longest;
    TN_TRY(tn_run_output(call, 0, TN_STRING, in->rank + 1, dims));
    tn_tensor *out = tn_out(call, 0);
    tn_string *y = out ? out->data : NULL;
    for (int64_t i = 0; y && i < n; i++, y += longest) {
        s.to = y;
        if (t->mark) *s.to++ = (tn_string){"\x02", 1};
        cut(&s, x[i]);
        if (t->mark) *s.to++ = (tn_string){"\x03", 1};
        while (s.to < y + longest) *s.to++ = t->pad;
    }
    return TN_OK;
}

const tn_op tn_ops_tokenizer[] = {
    {.domain = "com.microsoft",
     .name = "Tokenizer",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
