/* The tree between a regular expression's text and its program. */
#ifndef TN_REGEX_TREE_H
#define TN_REGEX_TREE_H

#include "base/regex.h"

typedef enum regex_kind { CLASS, SPLIT, JUMP, ASSERT, MATCH, EMPTY, SEQUENCE, CHOICE, REPEAT } regex_kind;
typedef enum regex_assertion { TEXT_START, TEXT_END, LINE_START, LINE_END, WORD_EDGE, NO_WORD_EDGE } regex_assertion;

typedef struct regex_node {
    regex_kind kind;
    bool negate, fold;
    uint32_t a, b; /* CLASS: first range and how many; ASSERT: which; REPEAT: least and most, UINT32_MAX: no end */
    struct regex_node *child; /* first of a list */
    struct regex_node *next;  /* sibling */
} regex_node;

/* An array in a region that grows. */
typedef struct regex_array {
    void *items;
    uint32_t count, capacity;
} regex_array;

/* Room for one more; NULL on failure. */
void *tn_regex_append(tn_region *region, regex_array *array, size_t size);
tn_status tn_regex_parse(tn_region *region, const char *pattern, size_t size, regex_array *ranges,
                         regex_node **out_tree);

#endif
