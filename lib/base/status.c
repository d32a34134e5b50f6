/* The thread's error sentence. One fixed buffer a thread, so that failing never allocates. */
#include "base/base.h"
#include <stdio.h>

#define SENTENCE_BYTES 2048

static _Thread_local char sentence[SENTENCE_BYTES];

const char *tn_status_text(tn_status status) {
    switch (status) {
#define TN_X(name, number, text)                                                                                       \
    case name: return text;
        TN_STATUS_MAP(TN_X)
#undef TN_X
    }
    return "unknown status";
}

const char *tn_last_error(void) {
    return sentence;
}

tn_status tn_fail(tn_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return status;
}

tn_status tn_fail_context(tn_status status, const char *format, ...) {
    char old[SENTENCE_BYTES];
    memcpy(old, sentence, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (n >= 0 && (size_t)n < sizeof sentence - 3)
        snprintf(sentence + n, sizeof sentence - (size_t)n, ": %.*s", (int)(sizeof sentence - (size_t)n - 3), old);
    return status;
}
