/* Strings that outlive what they were copied from. */
#ifndef TN_OPS_STRINGS_H
#define TN_OPS_STRINGS_H

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

#endif
