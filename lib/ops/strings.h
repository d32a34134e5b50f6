/* Strings that outlive what they were copied from, and regular expressions that live as long as the plan. */
#ifndef TN_OPS_STRINGS_H
#define TN_OPS_STRINGS_H

#include "base/regex.h"
#include "graph/op.h"

/* Gives t's strings, if it has any, bytes that live until the session's next run. */
static inline tn_status tn_keep_strings(tn_run *call, tn_tensor *t) {
    tn_string *strings = t->dtype == TN_STRING ? t->data : NULL;
    for (int64_t i = 0, n = strings ? tn_count(t) : 0; i < n; i++) {
        char *text = tn_run_string(call, strings[i].size);
        if (!text) return TN_E_MEMORY;
        if (strings[i].size) memcpy(text, strings[i].data, strings[i].size);
        strings[i].data = text;
    }
    return TN_OK;
}

static inline tn_status tn_keep_regex(tn_prepare *call, tn_string pattern, tn_regex *out) {
    tn_region *region = tn_region_create(NULL);
    tn_regex made;
    tn_status status = region ? tn_regex_compile(region, pattern.data, pattern.size, &made) : TN_E_MEMORY;
    if (status == TN_OK) {
        size_t steps = made.step_count * sizeof *made.steps, ranges = made.range_count * sizeof *made.ranges;
        void *a = tn_prepare_alloc(call, steps), *b = tn_prepare_alloc(call, TN_MAX(ranges, (size_t)1));
        status = a && b ? TN_OK : TN_E_MEMORY;
        if (status == TN_OK) {
            memcpy(a, made.steps, steps);
            if (ranges) memcpy(b, made.ranges, ranges);
            *out = (tn_regex){a, b, made.step_count, made.range_count};
        }
    }
    tn_region_destroy(region);
    return status;
}

#endif
