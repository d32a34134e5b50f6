/* Text that grows in a region. See text.h. */
#include "base/text.h"
#include <math.h>
#include <stdio.h>

static void put(tn_text *t, const char *piece, size_t size) {
    if (t->failed) return;
    if (t->used + size + 1 > t->capacity) {
        size_t capacity = 2 * (t->used + size) + 4096;
        char *data = tn_region_alloc(t->region, capacity);
        t->failed = !data;
        if (!data) return;
        if (t->used) memcpy(data, t->data, t->used);
        t->data = data;
        t->capacity = capacity;
    }
    memcpy(t->data + t->used, piece, size);
    t->used += size;
    t->data[t->used] = 0;
}

void tn_put_text(tn_text *t, const char *piece) {
    put(t, piece, strlen(piece));
}

void tn_put_string(tn_text *t, const char *s) {
    char escaped[8];
    tn_put_text(t, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", c);
        else
            snprintf(escaped, sizeof escaped, c < 0x20 ? "\\u%04x" : "%c", c);
        tn_put_text(t, escaped);
    }
    tn_put_text(t, "\"");
}

void tn_put_number(tn_text *t, const char *key, double x) {
    char number[96];
    if (isfinite(x))
        snprintf(number, sizeof number, "\"%s\": %.10g", key, x);
    else
        snprintf(number, sizeof number, "\"%s\": null", key);
    tn_put_text(t, number);
}

void tn_put_format(tn_text *t, const char *format, ...) {
    char piece[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    tn_put_text(t, piece);
}

void tn_put_escaped(tn_text *t, const char *s) {
    static const char *const entities[] = {['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;"};
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < TN_COUNT(entities) && entities[c])
            tn_put_text(t, entities[c]);
        else
            put(t, s, 1);
    }
}
