/* NumPy's .npy: a magic word, a header that is a Python dictionary in text, the elements.
 * Source: numpy.lib.format, versions 1.0 to 3.0. The header is data from outside: it is scanned, never evaluated, and
 * the number of elements that it claims must be the number that the file has. */
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

typedef struct header {
    char order, kind;
    uint64_t width; /* bytes of an element; characters of a U */
    bool fortran;
    int rank;
    int64_t dims[TN_MAX_RANK];
} header;

static bool skip(const char **p, const char *end, char wanted) {
    while (*p < end && (**p == ' ' || **p == '\n' || **p == '\t')) ++*p;
    if (*p == end || **p != wanted) return false;
    ++*p;
    return true;
}

/* A word in quotes, without them. */
static bool quoted(const char **p, const char *end, char *out, size_t size) {
    char quote = skip(p, end, '\'') ? '\'' : '"';
    if (quote == '"' && !skip(p, end, '"')) return false;
    size_t n = 0;
    while (*p < end && **p != quote && n + 1 < size) out[n++] = *(*p)++;
    out[n] = 0;
    return skip(p, end, quote);
}

static bool number(const char **p, const char *end, uint64_t *out) {
    const char *start = *p;
    for (*out = 0; *p < end && **p >= '0' && **p <= '9'; ++*p)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t)(**p - '0'), out))
            return false;
    return *p > start && *out <= INT64_MAX;
}

static bool shape(const char **p, const char *end, header *h) {
    if (!skip(p, end, '(')) return false;
    for (h->rank = 0; !skip(p, end, ')'); h->rank++) {
        uint64_t dim;
        if (h->rank == TN_MAX_RANK || !number(p, end, &dim)) return false;
        h->dims[h->rank] = (int64_t)dim;
        if (!skip(p, end, ',') && (*p == end || **p != ')')) return false;
        while (*p < end && **p == ' ') ++*p;
    }
    return true;
}

static bool parse_header(const char *p, const char *end, header *h) {
    unsigned seen = 0;
    char word[32];
    if (!skip(&p, end, '{')) return false;
    while (!skip(&p, end, '}')) {
        if (!quoted(&p, end, word, sizeof word) || !skip(&p, end, ':')) return false;
        while (p < end && *p == ' ') p++;
        if (strcmp(word, "descr") == 0) {
            if (!quoted(&p, end, word, sizeof word) || strlen(word) < 3) return false;
            const char *digits = word + 2, *stop = word + strlen(word);
            h->order = word[0];
            h->kind = word[1];
            if (!strchr("<>|=", h->order) || !number(&digits, stop, &h->width) || digits != stop) return false;
            seen |= 1;
        } else if (strcmp(word, "fortran_order") == 0) {
            h->fortran = end - p >= 4 && memcmp(p, "True", 4) == 0;
            if (!h->fortran && (end - p < 5 || memcmp(p, "False", 5) != 0)) return false;
            p += h->fortran ? 4 : 5;
            seen |= 2;
        } else if (strcmp(word, "shape") == 0) {
            if (!shape(&p, end, h)) return false;
            seen |= 4;
        } else {
            return false;
        }
        skip(&p, end, ',');
    }
    return seen == 7;
}

static size_t put_utf8(uint32_t c, char *out) {
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i; i--, c >>= 6) out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)(0xf00u >> length | c); /* 110xxxxx, 1110xxxx, 11110xxx */
    return length;
}

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

static uint32_t code_point(const unsigned char *p, char order) {
    uint32_t c;
    memcpy(&c, p, 4);
    return order == '=' || order == HOST_ORDER ? c : __builtin_bswap32(c);
}

/* Fixed-width text (S, U) as strings, the zeros at their ends dropped. `count` of them are in the file. */
static tn_status parse_strings(const header *h, const unsigned char *data, int64_t count, tn_tensor **out) {
    size_t unit = h->kind == 'U' ? 4 : 1, width = (size_t)h->width;
    tn_string *strings = tool_alloc((size_t)count, sizeof *strings);
    char *bytes = tool_alloc((size_t)count * width, unit), *next = bytes;
    for (int64_t i = 0; i < count; i++, data += width * unit) {
        size_t length = width;
        while (length && memcmp(data + (length - 1) * unit, "\0\0\0", unit) == 0) length--;
        strings[i].data = next;
        if (unit == 1) memcpy(next, data, length), next += length;
        for (size_t k = 0; unit == 4 && k < length; k++) next += put_utf8(code_point(data + 4 * k, h->order), next);
        strings[i].size = (size_t)(next - strings[i].data);
    }
    tn_tensor *view = NULL;
    tn_status status =
        tn_tensor_wrap(TN_STRING, h->rank, h->dims, NULL, strings, (size_t)count * sizeof *strings, &view);
    if (status == TN_OK) status = tn_tensor_clone(view, NULL, out);
    tn_tensor_destroy(view);
    free(strings);
    free(bytes);
    return status;
}

static void swap_bytes(unsigned char *data, size_t size, size_t unit) {
    for (size_t i = 0; unit > 1 && i + unit <= size; i += unit)
        for (size_t a = i, b = i + unit - 1; a < b; a++, b--) {
            unsigned char c = data[a];
            data[a] = data[b];
            data[b] = c;
        }
}

/* A tensor whose first dim moves fastest in memory, as a dense one. */
static tn_status from_fortran(const header *h, tn_tensor **t) {
    int64_t strides[TN_MAX_RANK], stride = 1;
    for (int i = 0; i < h->rank; i++) strides[i] = stride, stride *= h->dims[i];
    tn_tensor *view = NULL, *dense = NULL;
    tn_status status = tn_tensor_view(*t, h->rank, h->dims, strides, 0, &view);
    if (status == TN_OK) status = tn_tensor_clone(view, NULL, &dense);
    tn_tensor_destroy(view);
    tn_tensor_destroy(*t);
    *t = dense;
    return status;
}

bool npy_parse(const char *path, const unsigned char *data, size_t size, tn_dtype wanted, tn_tensor **out) {
    header h = {0};
    const char *wrong = "it is no .npy file";
    *out = NULL;
    if (size < 12 || memcmp(data, "\x93NUMPY", 6) != 0) goto refuse;
    size_t lead = data[6] == 1 ? 10 : 12;
    size_t length = data[8] | (size_t)data[9] << 8;
    if (lead == 12) length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    wrong = "its version is newer than 3";
    if (data[6] < 1 || data[6] > 3) goto refuse;
    wrong = "its header is damaged, or of a kind that has no tensor (objects, records, more than 8 dimensions)";
    if (length > size - lead || !parse_header((const char *)data + lead, (const char *)data + lead + length, &h))
        goto refuse;
    data += lead + length;
    size -= lead + length;
    tn_dtype dtype = h.kind == 'S' || h.kind == 'U' ? TN_STRING : TN_UNDEFINED;
    for (int i = 0; i < TYPES; i++)
        if (types[i].kind == h.kind && types[i].bytes == h.width) dtype = types[i].dtype;
    /* NumPy has no names for bfloat16 and float8 and calls them bytes. */
    if (h.kind == 'V' && dtype && tn_dtype_bits(wanted) == 8 * h.width) dtype = wanted;
    wrong = "its elements are of a type that tensors do not have";
    if (!dtype || !h.width) goto refuse;
    uint64_t element = h.kind == 'U' ? 4 * h.width : h.width, bytes = element;
    int64_t count = 1;
    bool fits = h.width <= SIZE_MAX / 8;
    for (int i = 0; i < h.rank; i++) fits = fits && !__builtin_mul_overflow(count, h.dims[i], &count);
    wrong = "its size is not what its shape says";
    if (!fits || __builtin_mul_overflow(element, (uint64_t)count, &bytes) || bytes != size) goto refuse;
    tn_status status;
    if (dtype == TN_STRING) {
        status = parse_strings(&h, data, count, out);
    } else {
        status = tn_tensor_create(dtype, h.rank, h.dims, NULL, out);
        if (status == TN_OK && size) memcpy(tn_tensor_data(*out), data, size);
        if (status == TN_OK && (h.order == '<' || h.order == '>') && h.order != HOST_ORDER)
            swap_bytes(tn_tensor_data(*out), size, (size_t)(h.kind == 'c' ? h.width / 2 : h.width));
    }
    if (status == TN_OK && h.fortran && h.rank > 1) status = from_fortran(&h, out);
    return status == TN_OK || complain_status(path, status);
refuse:
    complain("%s: %s", path, wrong);
    return false;
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
