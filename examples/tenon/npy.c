/* Writing NumPy's .npy: a magic word, a header that is a Python dictionary in text, the elements.
 * Source: numpy.lib.format, version 1.0. The library reads them: tenon/media.h. */
#include "files.h"
#include <stdlib.h>
#include <string.h>

static const struct {
    char kind;
    unsigned bytes;
    tn_dtype dtype;
} types[] = {{'b', 1, TN_BOOL},      {'i', 1, TN_INT8},        {'i', 2, TN_INT16},   {'i', 4, TN_INT32},
             {'i', 8, TN_INT64},     {'u', 1, TN_UINT8},       {'u', 2, TN_UINT16},  {'u', 4, TN_UINT32},
             {'u', 8, TN_UINT64},    {'f', 2, TN_FLOAT16},     {'f', 4, TN_FLOAT32}, {'f', 8, TN_FLOAT64},
             {'c', 8, TN_COMPLEX64}, {'c', 16, TN_COMPLEX128}, {'V', 1, TN_UINT8},   {'V', 2, TN_UINT16}};
enum { TYPES = sizeof types / sizeof types[0] };

#define HOST_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>')

/* Up to *out characters of UTF-8 as code points; SIZE_MAX if the text is no UTF-8. */
static size_t get_utf8(tn_string s, uint32_t *out) {
    size_t count = 0;
    for (size_t i = 0; i < s.size; count++) {
        unsigned char c = (unsigned char)s.data[i++];
        int more = c < 0x80                ? 0
                   : c >= 0xc2 && c < 0xe0 ? 1
                   : c >= 0xe0 && c < 0xf0 ? 2
                   : c >= 0xf0 && c < 0xf5 ? 3
                                           : -1;
        if (more < 0 || s.size - i < (size_t)more) return SIZE_MAX;
        uint32_t point = more ? c & (0x3fu >> more) : c;
        for (; more; more--, i++) {
            if (((unsigned char)s.data[i] & 0xc0) != 0x80) return SIZE_MAX;
            point = point << 6 | ((unsigned char)s.data[i] & 63);
        }
        if (out) out[count] = point;
    }
    return count;
}

/* The widest string; whether all are UTF-8 (then they are written as U, else as bytes). */
static bool survey(const tn_string *strings, int64_t count, size_t *out_width) {
    bool utf8 = true;
    size_t points = 1, bytes = 1;
    for (int64_t i = 0; i < count; i++) {
        size_t n = get_utf8(strings[i], NULL);
        utf8 = utf8 && n != SIZE_MAX;
        if (utf8 && n > points) points = n;
        if (strings[i].size > bytes) bytes = strings[i].size;
    }
    *out_width = utf8 ? points : bytes;
    return utf8;
}

static bool write_strings(FILE *file, const tn_string *strings, int64_t count, bool utf8, size_t width) {
    size_t unit = utf8 ? 4 : 1;
    bool good = true;
    for (int64_t i = 0; i < count && good; i++) {
        unsigned char *field = tool_alloc(width, unit);
        if (utf8)
            get_utf8(strings[i], (uint32_t *)field);
        else if (strings[i].size)
            memcpy(field, strings[i].data, strings[i].size);
        good = fwrite(field, width * unit, 1, file) == 1;
        free(field);
    }
    return good;
}

bool npy_write(FILE *file, const tn_tensor *t) {
    tn_dtype dtype = tn_tensor_dtype(t);
    size_t bytes = tn_tensor_bytes(t), width = tn_dtype_bits(dtype) / 8;
    const void *data = tn_tensor_const_data(t);
    bool utf8 = dtype == TN_STRING && survey(data, tn_tensor_count(t), &width);
    char kind = dtype == TN_STRING ? (utf8 ? 'U' : 'S') : 'V', text[512];
    for (int i = 0; i < TYPES; i++)
        if (types[i].dtype == dtype && types[i].kind != 'V') kind = types[i].kind;
    int n = snprintf(text, sizeof text, "{'descr': '%c%c%zu', 'fortran_order': False, 'shape': (",
                     kind == 'S' || (width == 1 && kind != 'U') ? '|' : HOST_ORDER, kind, width);
    for (int i = 0; i < tn_tensor_rank(t); i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%lld,%s", (long long)tn_tensor_dims(t)[i],
                      i + 1 < tn_tensor_rank(t) ? " " : "");
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    /* Spaces up to a multiple of 64, then the end of the line. */
    int length = (10 + n + 1 + 63) / 64 * 64 - 10;
    unsigned char lead[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    lead[8] = (unsigned char)length;
    lead[9] = (unsigned char)(length >> 8);
    bool good = fwrite(lead, sizeof lead, 1, file) == 1 && fprintf(file, "%-*s\n", length - 1, text) == length;
    if (dtype == TN_STRING) return good && write_strings(file, data, tn_tensor_count(t), utf8, width);
    return good && (!bytes || fwrite(data, bytes, 1, file) == 1);
}
