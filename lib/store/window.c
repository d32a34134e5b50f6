/* Reading times of the week, and telling whether it is one: see window.h. What counts is the clock on the wall, so that a
 * time that is left out in spring is not there, and one that comes twice in autumn is there twice. */
#include "store/window.h"
#include <time.h>

enum { MINUTE = 60, DAY = 24 * 60, LOOK_AHEAD = 15 * DAY };

static const char *const day_names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

static void skip_spaces(const char **at) {
    while (**at == ' ') ++*at;
}

static bool read_day(const char **at, int *out) {
    for (int i = 0; i < 7; i++) {
        if (strncmp(*at, day_names[i], 3) != 0) continue;
        *at += 3;
        *out = i;
        return true;
    }
    return false;
}

/* "Mon-Fri,Sun"; all of them if there is none. */
static bool read_days(const char **at, unsigned *out) {
    int first, last;
    *out = **at >= '0' && **at <= '9' ? 0x7f : 0;
    if (*out) return true;
    do {
        if (!read_day(at, &first)) return false;
        last = first;
        if (**at == '-' && (++*at, !read_day(at, &last))) return false;
        for (int day = first;; day = (day + 1) % 7) {
            *out |= 1u << day;
            if (day == last) break;
        }
    } while (**at == ',' && ++*at);
    return **at == ' ';
}

static bool read_two(const char **at, int *out) {
    const char *s = *at;
    if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9') return false;
    *out = 10 * (s[0] - '0') + s[1] - '0';
    *at += 2;
    return true;
}

static bool read_minute(const char **at, int *out) {
    int hour, minute;
    if (!read_two(at, &hour) || **at != ':') return false;
    ++*at;
    if (!read_two(at, &minute)) return false;
    *out = 60 * hour + minute;
    return minute < 60 && *out <= DAY;
}

static bool read_time(const char **at, tn_window_time *out) {
    skip_spaces(at);
    if (!read_days(at, &out->days)) return false;
    skip_spaces(at);
    if (!read_minute(at, &out->start) || **at != '-') return false;
    ++*at;
    if (!read_minute(at, &out->end) || out->start == DAY || out->start == out->end) return false;
    skip_spaces(at);
    out->utc = strncmp(*at, "UTC", 3) == 0;
    if (out->utc) *at += 3;
    skip_spaces(at);
    return **at == ';' || !**at;
}

tn_status tn_window_read(const char *text, tn_window *out) {
    *out = (tn_window){0};
    for (const char *at = text; at; at = *at ? at + 1 : NULL) {
        if (out->count == TN_WINDOW_TIMES)
            return tn_fail(TN_E_LIMIT, "a window of more than %d times", TN_WINDOW_TIMES);
        if (!read_time(&at, &out->times[out->count++]))
            return tn_fail(
                TN_E_INVALID,
                "'%.200s' is no window: expected such as \"Mon-Fri 22:00-05:00; Sat,Sun 00:00-24:00 UTC\", and "
                "not what begins with '%.40s'",
                text, at);
    }
    tzset();
    return TN_OK;
}

static bool holds(const tn_window_time *t, const struct tm *now) {
    const int minute = 60 * now->tm_hour + now->tm_min;
    const bool today = t->days >> now->tm_wday & 1, yesterday = t->days >> (now->tm_wday + 6) % 7 & 1;
    if (t->start < t->end) return today && t->start <= minute && minute < t->end;
    return (today && minute >= t->start) || (yesterday && minute < t->end);
}

bool tn_window_is_open(const tn_window *window, int64_t time) {
    const time_t seconds = (time_t)time;
    struct tm utc, local;
    if (!window->count) return true;
    if (!gmtime_r(&seconds, &utc) || !localtime_r(&seconds, &local)) return false;
    for (int i = 0; i < window->count; i++)
        if (holds(&window->times[i], window->times[i].utc ? &utc : &local)) return true;
    return false;
}

int64_t tn_window_opens(const tn_window *window, int64_t time) {
    if (tn_window_is_open(window, time)) return time;
    time -= (time % MINUTE + MINUTE) % MINUTE;
    for (int i = 0; i < LOOK_AHEAD && !tn_window_is_open(window, time); i++) time += MINUTE;
    return time;
}

tn_status tn_window_look(const char *text, int64_t time, bool *out_open, int64_t *out_opens) {
    tn_window window;
    *out_open = false;
    if (time < -((int64_t)1 << 46) || time > (int64_t)1 << 46 || (int64_t)(time_t)time != time)
        return tn_fail(TN_E_LIMIT, "%lld seconds are no time of this machine", (long long)time);
    TN_TRY(tn_window_read(text, &window));
    *out_open = tn_window_is_open(&window, time);
    if (out_opens) *out_opens = tn_window_opens(&window, time);
    return TN_OK;
}
