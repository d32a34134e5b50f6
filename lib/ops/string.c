/* Strings: StringConcat, StringSplit, RegexFullMatch.
 *
 * A string's bytes live until the session's next run, so pieces of an input's strings are given out as they are. */
#include "ops/strings.h"

static const tn_dtype strings_only[] = {TN_STRING, TN_UNDEFINED};

static tn_status concat_infer(tn_infer *call) {
    int rank;
    int64_t dims[TN_MAX_RANK];
    TN_TRY(tn_infer_dtype(call, 0, strings_only));
    TN_TRY(tn_infer_dtype(call, 1, strings_only));
    TN_TRY(tn_infer_broadcast(call, 2, (int[]){0, 1}, &rank, dims));
    return tn_infer_out(call, 0, TN_STRING, rank, dims);
}

static tn_status concat_prepare(tn_prepare *call) {
    call->scratch = tn_dtype_bytes(TN_STRING, tn_type_count(&call->out[0]));
    return TN_OK;
}

/* The strings of t, broadcast to the shape of `like`. */
static void broadcast(const tn_tensor *like, const tn_tensor *t, tn_string *to) {
    int64_t strides[TN_MAX_RANK] = {0};
    int shift = like->rank - t->rank;
    for (int i = 0; i < t->rank; i++) strides[i + shift] = t->dims[i] == 1 ? 0 : t->strides[i];
    tn_copy_strided(like->rank, like->dims, sizeof *to, to, like->strides, t->data, strides);
}

static tn_status concat_run(tn_run *call) {
    tn_tensor *out = tn_out(call, 0);
    tn_string *y = out->data, *b = call->scratch;
    broadcast(out, tn_in(call, 0), y);
    broadcast(out, tn_in(call, 1), b);
    for (int64_t i = 0, n = tn_count(out); i < n; i++) {
        size_t size;
        if (b[i].size == 0) continue;
        if (y[i].size == 0) {
            y[i] = b[i];
            continue;
        }
        if (!tn_add_size(y[i].size, b[i].size, &size)) return tn_fail(TN_E_LIMIT, "a string is too long");
        char *text = tn_run_string(call, size);
        if (!text) return TN_E_MEMORY;
        memcpy(text, y[i].data, y[i].size);
        memcpy(text + y[i].size, b[i].data, b[i].size);
        y[i] = (tn_string){text, size};
    }
    return TN_OK;
}

typedef struct split_state {
    tn_string delimiter;
    int64_t most; /* pieces to cut off; INT64_MAX: all */
} split_state;

static tn_status split_infer(tn_infer *call) {
    int64_t dims[TN_MAX_RANK];
    TN_TRY(tn_infer_dtype(call, 0, strings_only));
    const tn_type *in = call->in[0];
    TN_TRY(tn_infer_out(call, 1, TN_INT64, in->rank, in->dims));
    if (in->rank < 0) return tn_infer_out(call, 0, TN_STRING, -1, NULL);
    if (in->rank >= TN_MAX_RANK)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected at most %d dimensions", TN_MAX_RANK - 1);
    memcpy(dims, in->dims, sizeof dims);
    dims[in->rank] = -1;
    return tn_infer_out(call, 0, TN_STRING, in->rank + 1, dims);
}

static tn_status split_prepare(tn_prepare *call) {
    split_state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const tn_attr *delimiter = tn_node_attr(call->node, "delimiter");
    if (delimiter && delimiter->kind == TN_ATTR_STRING) s->delimiter = delimiter->s;
    s->most = tn_attr_int(call->node, "maxsplit", INT64_MAX);
    if (s->most < 0) s->most = INT64_MAX;
    return TN_OK;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes the next piece off the front of *rest; false if there is none. `last`: it takes all that is left. Without a
 * delimiter runs of white space separate, and those at the ends do not count. */
static bool next_piece(const split_state *s, tn_string *rest, bool last, tn_string *piece) {
    const char *at = rest->data, *end;
    size_t n = s->delimiter.size;
    if (!at) return false; /* the piece before ended the string */
    end = at + rest->size;
    if (n == 0) {
        while (at < end && is_space(*at)) at++;
        if (at == end) return false;
    }
    const char *stop = at;
    if (last)
        stop = end;
    else if (n == 0)
        while (stop < end && !is_space(*stop)) stop++;
    else {
        stop = memmem(at, (size_t)(end - at), s->delimiter.data, n);
        if (!stop) stop = end, last = true;
    }
    *piece = (tn_string){at, (size_t)(stop - at)};
    *rest = last ? (tn_string){NULL, 0} : (tn_string){stop + n, (size_t)(end - stop) - n};
    return true;
}

static tn_status split_run(tn_run *call) {
    const split_state *s = call->state;
    const tn_tensor *in = tn_in(call, 0);
    tn_tensor *out = tn_out(call, 0), *counts = tn_out(call, 1);
    const tn_string *x = in->data;
    int64_t n = tn_count(in), longest = 0, dims[TN_MAX_RANK];
    tn_string piece;
    for (int64_t i = 0; i < n; i++) {
        tn_string rest = {x[i].data ? x[i].data : "", x[i].size};
        int64_t pieces = 0;
        while (next_piece(s, &rest, pieces == s->most, &piece)) pieces++;
        longest = TN_MAX(longest, pieces);
        if (counts) ((int64_t *)counts->data)[i] = pieces;
    }
    memcpy(dims, in->dims, sizeof dims);
    dims[in->rank] = longest;
    TN_TRY(tn_run_output(call, 0, TN_STRING, in->rank + 1, dims));
    tn_string *y = out ? out->data : NULL;
    for (int64_t i = 0; y && i < n; i++) {
        tn_string rest = {x[i].data ? x[i].data : "", x[i].size};
        int64_t pieces = 0;
        for (; next_piece(s, &rest, pieces == s->most, &piece); pieces++) *y++ = piece;
        for (; pieces < longest; pieces++) *y++ = (tn_string){"", 0};
    }
    return TN_OK;
}

static tn_status regex_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, strings_only));
    return tn_infer_out(call, 0, TN_BOOL, call->in[0]->rank, call->in[0]->dims);
}

static tn_status regex_prepare(tn_prepare *call) {
    const tn_attr *pattern = tn_node_attr(call->node, "pattern");
    if (!pattern || pattern->kind != TN_ATTR_STRING) return tn_fail(TN_E_FORMAT, "attribute pattern is missing");
    tn_regex *kept = call->state = tn_prepare_alloc(call, sizeof *kept);
    if (!kept) return TN_E_MEMORY;
    TN_TRY(tn_keep_regex(call, pattern->s, kept));
    call->scratch = tn_regex_scratch(kept);
    return TN_OK;
}

static tn_status regex_run(tn_run *call) {
    const tn_tensor *in = tn_in(call, 0);
    const tn_string *x = in->data;
    bool *y = tn_out(call, 0)->data;
    for (int64_t i = 0, n = tn_count(in); i < n; i++)
        y[i] = tn_regex_match_all(call->state, x[i].data, x[i].size, call->scratch);
    return TN_OK;
}

const tn_op tn_ops_string[] = {
    {.domain = "",
     .name = "StringConcat",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = concat_infer,
     .prepare = concat_prepare,
     .run = concat_run},
    {.domain = "",
     .name = "StringSplit",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 2,
     .infer = split_infer,
     .prepare = split_prepare,
     .run = split_run},
    {.domain = "",
     .name = "RegexFullMatch",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = regex_infer,
     .prepare = regex_prepare,
     .run = regex_run},
    {0},
};
