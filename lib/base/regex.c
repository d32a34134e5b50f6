/* Regular expressions: the tree into a program, and the machine that runs it. See regex.h. */
#include "base/regex_tree.h"
#include "base/unicode.h"

enum { MAX_STEPS = 100000, MAX_VISITS = 1000000 };

typedef struct program {
    tn_region *region;
    regex_array steps;
    uint32_t visits;
} program;

void *tn_regex_append(tn_region *region, regex_array *array, size_t size) {
    if (array->count == array->capacity) {
        uint32_t capacity = array->capacity ? array->capacity * 2 : 64;
        void *items = capacity > array->capacity ? tn_region_array(region, capacity, size) : NULL;
        if (!items) return NULL;
        if (array->count) memcpy(items, array->items, array->count * size);
        array->items = items;
        array->capacity = capacity;
    }
    return (char *)array->items + array->count++ * size;
}

static tn_regex_step *step_at(const program *p, uint32_t index) {
    return (tn_regex_step *)p->steps.items + index;
}

static tn_status emit_step(program *p, regex_kind kind, uint32_t *out_index) {
    if (p->steps.count >= MAX_STEPS)
        return tn_fail(TN_E_LIMIT, "regular expression: its program has more than %d steps", MAX_STEPS);
    *out_index = p->steps.count;
    tn_regex_step *step = tn_regex_append(p->region, &p->steps, sizeof *step);
    if (!step) return TN_E_MEMORY;
    *step = (tn_regex_step){.kind = (uint8_t)kind};
    return TN_OK;
}

static tn_status emit(program *p, const regex_node *n);

static tn_status emit_choice(program *p, const regex_node *n) {
    uint32_t split, jump, last = UINT32_MAX; /* jumps to the end are chained through their target until it is known */
    for (const regex_node *c = n->child; c; c = c->next) {
        if (!c->next) {
            TN_TRY(emit(p, c));
            break;
        }
        TN_TRY(emit_step(p, SPLIT, &split));
        step_at(p, split)->a = split + 1;
        TN_TRY(emit(p, c));
        TN_TRY(emit_step(p, JUMP, &jump));
        step_at(p, jump)->a = last;
        last = jump;
        step_at(p, split)->b = p->steps.count;
    }
    while (last != UINT32_MAX) {
        uint32_t before = step_at(p, last)->a;
        step_at(p, last)->a = p->steps.count;
        last = before;
    }
    return TN_OK;
}

static tn_status emit_repeat(program *p, const regex_node *n) {
    uint32_t split, jump, last = UINT32_MAX;
    for (uint32_t i = 0; i < n->a; i++) TN_TRY(emit(p, n->child));
    if (n->b == UINT32_MAX) {
        TN_TRY(emit_step(p, SPLIT, &split));
        TN_TRY(emit(p, n->child));
        TN_TRY(emit_step(p, JUMP, &jump));
        step_at(p, jump)->a = split;
        step_at(p, split)->a = split + 1;
        step_at(p, split)->b = p->steps.count;
        return TN_OK;
    }
    for (uint32_t i = n->a; i < n->b; i++) {
        TN_TRY(emit_step(p, SPLIT, &split));
        step_at(p, split)->a = split + 1;
        step_at(p, split)->b = last;
        last = split;
        TN_TRY(emit(p, n->child));
    }
    while (last != UINT32_MAX) {
        uint32_t before = step_at(p, last)->b;
        step_at(p, last)->b = p->steps.count;
        last = before;
    }
    return TN_OK;
}

static tn_status emit(program *p, const regex_node *n) {
    uint32_t at;
    if (++p->visits > MAX_VISITS) return tn_fail(TN_E_LIMIT, "regular expression: its repetitions nest too far");
    switch (n->kind) {
    case CLASS:
    case ASSERT:
        TN_TRY(emit_step(p, n->kind, &at));
        *step_at(p, at) = (tn_regex_step){(uint8_t)n->kind, n->negate, n->fold, n->a, n->b};
        return TN_OK;
    case SEQUENCE:
        for (const regex_node *c = n->child; c; c = c->next) TN_TRY(emit(p, c));
        return TN_OK;
    case CHOICE: return emit_choice(p, n);
    case REPEAT: return emit_repeat(p, n);
    default: return TN_OK;
    }
}

tn_status tn_regex_compile(tn_region *region, const char *pattern, size_t size, tn_regex *out_regex) {
    program p = {.region = region};
    regex_array ranges = {0};
    regex_node *tree;
    uint32_t at;
    TN_TRY(tn_regex_parse(region, pattern, size, &ranges, &tree));
    TN_TRY(emit(&p, tree));
    TN_TRY(emit_step(&p, MATCH, &at));
    *out_regex = (tn_regex){p.steps.items, (const uint32_t(*)[2])ranges.items, p.steps.count, ranges.count};
    return TN_OK;
}

/* The threads of the machine at one place of the text, and what it takes to find them. */
typedef struct machine {
    const tn_regex *regex;
    uint32_t *now, *then, *stack, *seen; /* seen[step] is the generation in which it was last put on a list */
    uint32_t generation;
} machine;

/* Four lists of steps (a stack takes two), and where each thread of two of them began. */
size_t tn_regex_scratch(const tn_regex *regex) {
    return (size_t)regex->step_count * 2 * sizeof(size_t) + (size_t)(5 * regex->step_count + 1) * sizeof(uint32_t);
}

static bool is_word(uint32_t c) {
    return c < 128 && (c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'));
}

/* before and after: the characters around this place, UINT32_MAX at the ends. */
static bool holds(uint32_t which, uint32_t before, uint32_t after) {
    switch (which) {
    case TEXT_START: return before == UINT32_MAX;
    case TEXT_END: return after == UINT32_MAX;
    case LINE_START: return before == UINT32_MAX || before == '\n';
    case LINE_END: return after == UINT32_MAX || after == '\n';
    case WORD_EDGE: return is_word(before) != is_word(after);
    default: return is_word(before) == is_word(after);
    }
}

/* Puts the steps that consume a character or match, reached from `step` without one, on the list. */
static uint32_t follow(machine *m, uint32_t step, uint32_t before, uint32_t after, uint32_t *list, uint32_t count) {
    uint32_t top = 0;
    m->stack[top++] = step;
    while (top) {
        uint32_t at = m->stack[--top];
        if (m->seen[at] == m->generation) continue;
        m->seen[at] = m->generation;
        const tn_regex_step *s = &m->regex->steps[at];
        if (s->kind == SPLIT) {
            m->stack[top++] = s->b;
            m->stack[top++] = s->a;
        } else if (s->kind == JUMP) {
            m->stack[top++] = s->a;
        } else if (s->kind != ASSERT) {
            list[count++] = at;
        } else if (holds(s->a, before, after)) {
            m->stack[top++] = at + 1;
        }
    }
    return count;
}

static bool in_ranges(const tn_regex *regex, const tn_regex_step *s, uint32_t code) {
    for (uint32_t i = s->a; i < s->a + s->b; i++)
        if (code >= regex->ranges[i][0] && code <= regex->ranges[i][1]) return true;
    return false;
}

static bool accepts(const tn_regex *regex, const tn_regex_step *s, uint32_t code) {
    bool in = in_ranges(regex, s, code);
    if (!in && s->fold) in = in_ranges(regex, s, tn_unicode_lower(code)) || in_ranges(regex, s, tn_unicode_upper(code));
    return in != s->negate;
}

static machine start_machine(const tn_regex *regex, void *memory) {
    uint32_t n = regex->step_count, *lists = memory;
    memset(lists + 4 * n + 1, 0, n * sizeof *lists);
    return (machine){regex, lists, lists + n, lists + 2 * n, lists + 4 * n + 1, 1};
}

static void next_generation(machine *m) {
    if (++m->generation) return;
    memset(m->seen, 0, m->regex->step_count * sizeof *m->seen); /* four thousand million characters on */
    m->generation = 1;
}

bool tn_regex_match_all(const tn_regex *regex, const char *text, size_t size, void *scratch) {
    uint32_t code = UINT32_MAX, count;
    machine m = start_machine(regex, scratch);
    size_t at = size ? tn_utf8_decode(text, size, &code) : 0;
    count = follow(&m, 0, UINT32_MAX, code, m.now, 0);
    while (code != UINT32_MAX && count) {
        uint32_t after = UINT32_MAX, next = 0;
        if (at < size) at += tn_utf8_decode(text + at, size - at, &after);
        next_generation(&m);
        for (uint32_t i = 0; i < count; i++) {
            const tn_regex_step *s = &regex->steps[m.now[i]];
            if (s->kind == CLASS && accepts(regex, s, code)) next = follow(&m, m.now[i] + 1, code, after, m.then, next);
        }
        uint32_t *swap = m.now;
        m.now = m.then;
        m.then = swap;
        count = next;
        code = after;
    }
    for (uint32_t i = 0; i < count; i++)
        if (regex->steps[m.now[i]].kind == MATCH) return true;
    return false;
}

/* The character that ends at `at`. */
static uint32_t code_before(const char *text, size_t at) {
    uint32_t code = UINT32_MAX;
    for (size_t n = 1; n <= 4 && n <= at; n++)
        if (tn_utf8_decode(text + at - n, n, &code) == n) return code;
    return code;
}

/* Threads are kept in the order of where they began, so that of two at the same step the earlier one stays. */
bool tn_regex_find(const tn_regex *regex, const char *text, size_t size, size_t from, void *scratch, size_t *start,
                   size_t *end) {
    size_t *began = scratch, *then_began = began + regex->step_count, at = from;
    machine m = start_machine(regex, then_began + regex->step_count);
    uint32_t before = from ? code_before(text, from) : UINT32_MAX, count = 0;
    bool found = false;
    for (;;) {
        uint32_t code = UINT32_MAX, after = UINT32_MAX, next = 0;
        size_t width = at < size ? tn_utf8_decode(text + at, size - at, &code) : 0;
        if (at + width < size) tn_utf8_decode(text + at + width, size - at - width, &after);
        if (!found) {
            uint32_t old = count;
            count = follow(&m, 0, before, code, m.now, count);
            for (uint32_t i = old; i < count; i++) began[i] = at;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (regex->steps[m.now[i]].kind != MATCH || (found && began[i] > *start)) continue;
            found = true;
            *start = began[i];
            *end = at;
            break;
        }
        if (code == UINT32_MAX) return found;
        next_generation(&m);
        for (uint32_t i = 0; i < count && !(found && began[i] > *start); i++) {
            const tn_regex_step *s = &regex->steps[m.now[i]];
            if (s->kind != CLASS || !accepts(regex, s, code)) continue;
            uint32_t old = next;
            next = follow(&m, m.now[i] + 1, code, after, m.then, next);
            for (uint32_t k = old; k < next; k++) then_began[k] = began[i];
        }
        if (found && next == 0) return true;
        uint32_t *swap = m.now;
        size_t *swap_began = began;
        m.now = m.then;
        m.then = swap;
        began = then_began;
        then_began = swap_began;
        count = next;
        before = code;
        at += width;
    }
}
