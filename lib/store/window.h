/* Times of the week at which a host changes versions; see tn_window_look in tenon/subscription.h. */
#ifndef TN_STORE_WINDOW_H
#define TN_STORE_WINDOW_H

#include <tenon/subscription.h>
#include "base/base.h"

enum { TN_WINDOW_TIMES = 32 };

typedef struct tn_window_time {
    unsigned days;  /* bit 0: Sunday */
    int start, end; /* minutes of the day; what ends before it starts ends on the next day */
    bool utc;
} tn_window_time;

typedef struct tn_window {
    tn_window_time times[TN_WINDOW_TIMES];
    int count; /* 0: always open */
} tn_window;

/* text: NULL: always open. */
tn_status tn_window_read(const char *text, tn_window *out);
bool tn_window_is_open(const tn_window *window, int64_t time);
/* When it is open next, from `time` on. */
int64_t tn_window_opens(const tn_window *window, int64_t time);

#endif
