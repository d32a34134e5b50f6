/* Regular expressions in RE2's syntax, for matching whole strings and for finding what matches in them.
 *
 * An expression becomes a program for a machine that follows all alternatives at once (Thompson 1968; Cox, "Regular
 * Expression Matching: the Virtual Machine Approach", 2009), so time is at most program size times text length whatever
 * the expression is. Text is UTF-8. What groups match is not kept.
 *
 * Left out of RE2's syntax: Unicode classes (\pL, \p{Greek}) and \C; both are refused. Case is folded by simple
 * mappings. */
#ifndef TN_REGEX_H
#define TN_REGEX_H

#include "base/base.h"

typedef struct tn_regex_step {
    uint8_t kind;
    bool negate, fold;
    uint32_t a, b;
} tn_regex_step;

typedef struct tn_regex {
    const tn_regex_step *steps;
    const uint32_t (*ranges)[2]; /* first and last code point */
    uint32_t step_count, range_count;
} tn_regex;

/* Compiles into the region. Fails with a sentence on bad syntax or a program of over 100000 steps. */
tn_status tn_regex_compile(tn_region *region, const char *pattern, size_t size, tn_regex *out_regex);
/* Bytes of memory, aligned to 8, that a match needs. */
size_t tn_regex_scratch(const tn_regex *regex);
bool tn_regex_match_all(const tn_regex *regex, const char *text, size_t size, void *scratch);
/* The first match at `from` or behind it, the longest of those that begin there: text[*start, *end). */
bool tn_regex_find(const tn_regex *regex, const char *text, size_t size, size_t from, void *scratch, size_t *start,
                   size_t *end);

#endif
