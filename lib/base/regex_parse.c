/* Regular expressions: the text in RE2's syntax into a tree, by recursive descent. */
#include "base/regex_tree.h"
#include "base/unicode.h"

enum { MAX_DEPTH = 200, MAX_REPEAT = 1000 };

typedef struct parser {
    tn_region *region;
    const char *at, *end;
    bool fold, multiline, dot_all;
    int depth;
    regex_array *ranges;
} parser;

static tn_status bad(const parser *p, const char *what) {
    return tn_fail(TN_E_FORMAT, "regular expression: %s before its last %d bytes", what, (int)(p->end - p->at));
}

static bool take(parser *p, const char *text) {
    size_t n = strlen(text);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, text, n) != 0) return false;
    p->at += n;
    return true;
}

static tn_status add_range(parser *p, uint32_t first, uint32_t last) {
    uint32_t *range = tn_regex_append(p->region, p->ranges, 2 * sizeof *range);
    if (!range) return TN_E_MEMORY;
    range[0] = first;
    range[1] = last;
    return TN_OK;
}

/* Sets by name, as pairs of first and last, in order. Perl's come first, by their letter. */
static const struct {
    const char *name, *pairs;
} sets[] = {
    {"d", "09"},           {"s", "\t\n\f\r  "}, {"w", "09AZ__az"},   {"alnum", "09AZaz"},
    {"alpha", "AZaz"},     {"ascii", NULL},     {"blank", "\t\t  "}, {"cntrl", "\001\037\177\177"},
    {"digit", "09"},       {"graph", "!~"},     {"lower", "az"},     {"print", " ~"},
    {"punct", "!/:@[`{~"}, {"space", "\t\r  "}, {"upper", "AZ"},     {"word", "09AZ__az"},
    {"xdigit", "09AFaf"},
};

static tn_status add_set(parser *p, size_t index, bool negate) {
    const char *s = sets[index].pairs;
    uint32_t next = 0;
    if (!s) return negate ? add_range(p, 128, TN_UNICODE_LAST) : add_range(p, 0, 127);
    /* "cntrl" begins at 0, which the text of pairs cannot say. */
    bool from_zero = strcmp(sets[index].name, "cntrl") == 0;
    for (; *s; s += 2, from_zero = false) {
        uint32_t first = from_zero ? 0 : (uint8_t)s[0], last = (uint8_t)s[1];
        if (!negate)
            TN_TRY(add_range(p, first, last));
        else if (first > next)
            TN_TRY(add_range(p, next, first - 1));
        next = last + 1;
    }
    return negate ? add_range(p, next, TN_UNICODE_LAST) : TN_OK;
}

static int digit(char c, int base) {
    int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
    return d < base ? d : -1;
}

/* What follows a backslash and stands for one character. */
static tn_status parse_escape(parser *p, uint32_t *out) {
    static const char names[] = "aftnrv", codes[] = "\a\f\t\n\r\v";
    if (p->at == p->end) return bad(p, "a lone backslash stands");
    char c = *p->at++;
    const char *named = c ? strchr(names, c) : NULL;
    uint32_t code = 0;
    if (named) {
        code = (uint8_t)codes[named - names];
    } else if (c == 'x') {
        bool braces = take(p, "{");
        int digits = 0;
        for (; p->at < p->end && digit(*p->at, 16) >= 0 && digits < (braces ? 8 : 2); digits++)
            code = code * 16 + (uint32_t)digit(*p->at++, 16);
        if (braces ? !digits || !take(p, "}") : digits != 2) return bad(p, "a wrong \\x stands");
        if (code > TN_UNICODE_LAST) return bad(p, "a code above 10FFFF stands");
    } else if (digit(c, 8) >= 0) {
        if (c != '0' && (p->at == p->end || digit(*p->at, 8) < 0)) return bad(p, "a back-reference stands");
        code = (uint32_t)digit(c, 8);
        for (int i = 0; i < 2 && p->at < p->end && digit(*p->at, 8) >= 0; i++)
            code = code * 8 + (uint32_t)digit(*p->at++, 8);
    } else if ((uint8_t)c < 128 && c != '_' && digit(c, 10) < 0 && !((c | 32) >= 'a' && (c | 32) <= 'z')) {
        code = (uint8_t)c;
    } else {
        return bad(p, "an unknown escape stands");
    }
    *out = code;
    return TN_OK;
}

/* \d \D \s \S \w \W: adds the set and says so. */
static tn_status parse_perl_set(parser *p, bool *out_found) {
    *out_found = false;
    if (p->end - p->at < 2 || p->at[0] != '\\') return TN_OK;
    for (size_t i = 0; i < 3; i++) {
        if ((p->at[1] | 32) != sets[i].name[0]) continue;
        *out_found = true;
        bool negate = p->at[1] < 'a';
        p->at += 2;
        return add_set(p, i, negate);
    }
    return TN_OK;
}

static uint32_t next_code(parser *p) {
    uint32_t code;
    p->at += tn_utf8_decode(p->at, (size_t)(p->end - p->at), &code);
    return code;
}

static tn_status parse_class_code(parser *p, uint32_t *out) {
    if (take(p, "\\")) return parse_escape(p, out);
    if (p->at == p->end) return bad(p, "a class without ] stands");
    *out = next_code(p);
    return TN_OK;
}

/* [:alpha:] or [:^alpha:] */
static tn_status parse_posix_set(parser *p, bool *out_found) {
    const char *start = p->at;
    *out_found = false;
    if (!take(p, "[:")) return TN_OK;
    bool negate = take(p, "^");
    for (size_t i = 3; i < TN_COUNT(sets); i++) {
        const char *name = p->at;
        if (take(p, sets[i].name) && take(p, ":]")) {
            *out_found = true;
            return add_set(p, i, negate);
        }
        p->at = name;
    }
    p->at = start;
    return TN_OK;
}

static tn_status parse_class(parser *p, regex_node *n) {
    n->negate = take(p, "^");
    for (bool first = true; first || !take(p, "]"); first = false) {
        bool set;
        uint32_t low, high;
        TN_TRY(parse_perl_set(p, &set));
        if (!set) TN_TRY(parse_posix_set(p, &set));
        if (set) continue;
        TN_TRY(parse_class_code(p, &low));
        high = low;
        if (p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            TN_TRY(parse_class_code(p, &high));
            if (high < low) return bad(p, "a range from high to low stands");
        }
        TN_TRY(add_range(p, low, high));
    }
    return TN_OK;
}

static regex_node *new_node(parser *p, regex_kind kind) {
    regex_node *n = tn_region_alloc(p->region, sizeof *n);
    if (n) *n = (regex_node){.kind = kind, .fold = p->fold};
    return n;
}

/* A class of the ranges that come from here on. */
static tn_status new_class(parser *p, regex_node **out) {
    *out = new_node(p, CLASS);
    if (!*out) return TN_E_MEMORY;
    (*out)->a = p->ranges->count;
    return TN_OK;
}

static tn_status parse_choice(parser *p, regex_node **out);

static tn_status parse_flags(parser *p, bool *out_group) {
    for (bool value = true; p->at < p->end; p->at++) {
        switch (*p->at) {
        case 'i': p->fold = value; break;
        case 'm': p->multiline = value; break;
        case 's': p->dot_all = value; break;
        case 'U': break; /* which match is taken makes no difference here */
        case '-': value = false; break;
        case ':':
        case ')': *out_group = *p->at++ == ':'; return TN_OK;
        default: return bad(p, "an unknown flag stands");
        }
    }
    return bad(p, "a group without ) stands");
}

static tn_status parse_group(parser *p, regex_node **out) {
    bool fold = p->fold, multiline = p->multiline, dot_all = p->dot_all, group = true;
    if (take(p, "?P<") || take(p, "?<")) {
        const char *name = p->at;
        while (p->at < p->end && *p->at != '>') p->at++;
        if (p->at == name || !take(p, ">")) return bad(p, "a wrong group name stands");
    } else if (take(p, "?")) {
        TN_TRY(parse_flags(p, &group));
        if (!group) { /* the flags hold until the group around this ends */
            *out = new_node(p, EMPTY);
            return *out ? TN_OK : TN_E_MEMORY;
        }
    }
    if (++p->depth > MAX_DEPTH) return tn_fail(TN_E_LIMIT, "regular expression: more than %d groups deep", MAX_DEPTH);
    TN_TRY(parse_choice(p, out));
    if (!take(p, ")")) return bad(p, "a group without ) stands");
    p->depth--;
    p->fold = fold;
    p->multiline = multiline;
    p->dot_all = dot_all;
    return TN_OK;
}

static tn_status parse_assertion(parser *p, regex_node **out) {
    static const struct {
        const char *text;
        regex_assertion one_line, lines;
    } rows[] = {{"^", TEXT_START, LINE_START}, {"$", TEXT_END, LINE_END},     {"\\A", TEXT_START, TEXT_START},
                {"\\z", TEXT_END, TEXT_END},   {"\\b", WORD_EDGE, WORD_EDGE}, {"\\B", NO_WORD_EDGE, NO_WORD_EDGE}};
    *out = NULL;
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        if (!take(p, rows[i].text)) continue;
        *out = new_node(p, ASSERT);
        if (!*out) return TN_E_MEMORY;
        (*out)->a = p->multiline ? rows[i].lines : rows[i].one_line;
        break;
    }
    return TN_OK;
}

static tn_status parse_atom(parser *p, regex_node **out) {
    bool set;
    uint32_t code;
    TN_TRY(parse_assertion(p, out));
    if (*out) return TN_OK;
    if (take(p, "(")) return parse_group(p, out);
    TN_TRY(new_class(p, out));
    regex_node *n = *out;
    TN_TRY(parse_perl_set(p, &set));
    if (!set) {
        if (*p->at == '*' || *p->at == '+' || *p->at == '?') return bad(p, "a repetition of nothing stands");
        if (take(p, "[")) {
            TN_TRY(parse_class(p, n));
        } else if (take(p, ".")) {
            if (!p->dot_all) TN_TRY(add_range(p, 0, '\n' - 1));
            TN_TRY(add_range(p, p->dot_all ? 0 : '\n' + 1, TN_UNICODE_LAST));
            n->fold = false;
        } else {
            if (take(p, "\\"))
                TN_TRY(parse_escape(p, &code));
            else
                code = next_code(p);
            TN_TRY(add_range(p, code, code));
        }
    }
    n->b = p->ranges->count - n->a;
    return TN_OK;
}

static bool parse_number(parser *p, uint32_t *out) {
    uint32_t value = 0;
    const char *start = p->at;
    for (; p->at < p->end && digit(*p->at, 10) >= 0; p->at++)
        if (value <= MAX_REPEAT) value = value * 10 + (uint32_t)digit(*p->at, 10);
    *out = value;
    return p->at > start;
}

/* {3} {3,} {3,5}; anything else after a brace is plain text. */
static bool parse_count(parser *p, uint32_t *least, uint32_t *most) {
    const char *start = p->at;
    if (take(p, "{") && parse_number(p, least)) {
        *most = *least;
        if (take(p, ",") && !parse_number(p, most)) *most = UINT32_MAX;
        if (take(p, "}")) return true;
    }
    p->at = start;
    return false;
}

static tn_status parse_repeat(parser *p, regex_node **atom) {
    uint32_t least = 0, most = UINT32_MAX;
    if (take(p, "+"))
        least = 1;
    else if (take(p, "?"))
        most = 1;
    else if (!take(p, "*") && !parse_count(p, &least, &most))
        return TN_OK;
    if (least > MAX_REPEAT || (most != UINT32_MAX && (most > MAX_REPEAT || most < least)))
        return bad(p, "a repetition above 1000 or from high to low stands");
    take(p, "?"); /* the shortest match or the longest: the same for whole strings */
    if (p->at < p->end && (*p->at == '*' || *p->at == '+' || *p->at == '?'))
        return bad(p, "a repetition of a repetition stands");
    regex_node *n = new_node(p, REPEAT);
    if (!n) return TN_E_MEMORY;
    n->a = least;
    n->b = most;
    n->child = *atom;
    *atom = n;
    return TN_OK;
}

static tn_status parse_sequence(parser *p, regex_node **out) {
    regex_node *n = *out = new_node(p, SEQUENCE), **tail;
    if (!n) return TN_E_MEMORY;
    tail = &n->child;
    bool literal = false; /* between \Q and \E */
    while (p->at < p->end && (literal || (*p->at != '|' && *p->at != ')'))) {
        if (take(p, literal ? "\\E" : "\\Q")) {
            literal = !literal;
            continue;
        }
        if (literal) {
            uint32_t code = next_code(p);
            TN_TRY(new_class(p, tail));
            TN_TRY(add_range(p, code, code));
            (*tail)->b = 1;
            if (take(p, "\\E")) literal = false;
        } else {
            TN_TRY(parse_atom(p, tail));
        }
        if (!literal) TN_TRY(parse_repeat(p, tail));
        tail = &(*tail)->next;
    }
    return TN_OK;
}

static tn_status parse_choice(parser *p, regex_node **out) {
    regex_node *n = *out = new_node(p, CHOICE);
    if (!n) return TN_E_MEMORY;
    regex_node **tail = &n->child;
    do {
        TN_TRY(parse_sequence(p, tail));
        tail = &(*tail)->next;
    } while (take(p, "|"));
    return TN_OK;
}

tn_status tn_regex_parse(tn_region *region, const char *pattern, size_t size, regex_array *ranges,
                         regex_node **out_tree) {
    parser p = {.region = region, .at = pattern, .end = pattern + size, .ranges = ranges};
    TN_TRY(parse_choice(&p, out_tree));
    return p.at == p.end ? TN_OK : bad(&p, "a ) without its group stands");
}
