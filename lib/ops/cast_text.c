/* Numbers as text. See cast_text.h. The C library's conversions are right to the last bit but follow the locale, so they
 * run under the "C" locale, which costs no allocation. */
#include "ops/cast_text.h"
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static bool reads_back(tn_dtype dtype, const char *text, double x) {
    uint64_t narrow = 0;
    tn_set_double(dtype, &narrow, 0, strtod(text, NULL));
    return tn_get_double(dtype, &narrow, 0) == x;
}

static size_t float_to_text(tn_dtype dtype, double x, char *text) {
    if (isnan(x)) return (size_t)sprintf(text, "NaN");
    if (isinf(x)) return (size_t)sprintf(text, x < 0 ? "-INF" : "INF");
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = c ? uselocale(c) : (locale_t)0;
    int digits = 1;
    do {
        snprintf(text, TN_NUMBER_TEXT, "%.*e", digits - 1, x);
    } while (!reads_back(dtype, text, x) && ++digits <= 17);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (x == 0 || (exponent >= -4 && exponent < 16))
        snprintf(text, TN_NUMBER_TEXT, "%.*f", TN_MAX(digits - 1 - exponent, 1), x);
    if (c) {
        uselocale(before);
        freelocale(c);
    }
    return strlen(text);
}

size_t tn_number_to_text(tn_dtype dtype, const void *data, int64_t i, char text[TN_NUMBER_TEXT]) {
    if (tn_dtype_is_float(dtype)) return float_to_text(dtype, tn_get_double(dtype, data, i), text);
    int64_t x = tn_get_int(dtype, data, i);
    return (size_t)(dtype == TN_UINT64 ? snprintf(text, TN_NUMBER_TEXT, "%" PRIu64, (uint64_t)x)
                                       : snprintf(text, TN_NUMBER_TEXT, "%" PRId64, x));
}

size_t tn_double_to_text(double x, char text[TN_NUMBER_TEXT]) {
    size_t n = float_to_text(TN_FLOAT64, x, text);
    if (n > 2 && strcmp(text + n - 2, ".0") == 0) text[n -= 2] = 0;
    return n;
}

/* A whole number in all of the text, or false. */
static bool parse_integer(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    *out = text[strspn(text, " \t\r\n")] == '-' ? strtoll(text, &end, 10) : (int64_t)strtoull(text, &end, 10);
    return end != text && end[strspn(end, " \t\r\n")] == 0 && errno == 0;
}

static bool parse_float(const char *text, double *out) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *end;
    *out = c ? strtod_l(text, &end, c) : strtod(text, &end);
    if (c) freelocale(c);
    return end != text && end[strspn(end, " \t\r\n")] == 0;
}

tn_status tn_number_from_text(tn_dtype dtype, void *data, int64_t i, tn_string text, tn_narrowing narrowing) {
    char copy[TN_NUMBER_TEXT];
    size_t size = TN_MIN(text.size, sizeof copy - 1);
    int64_t integer;
    double real;
    if (size) memcpy(copy, text.data, size);
    copy[size] = 0;
    if (size < text.size || strlen(copy) < size)
        return tn_fail(TN_E_INVALID, "the string '%.40s' of %zu bytes is no number", copy, text.size);
    if (!tn_dtype_is_float(dtype) && parse_integer(copy, &integer))
        tn_write_ints(dtype, data, i, 1, &integer, narrowing);
    else if (parse_float(copy, &real))
        tn_write_doubles(dtype, data, i, 1, &real, narrowing);
    else
        return tn_fail(TN_E_INVALID, "the string '%.40s' is no number; expected one like 12, -0.5 or 1e-3", copy);
    return TN_OK;
}
