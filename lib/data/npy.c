/* NumPy's .npy: a magic word, a header that is a Python dictionary in text, the elements.
 * Source: numpy.lib.format, versions 1.0 to 3.0. The header is data from outside: it is scanned, never evaluated, and
 * the number of elements that it claims must be the number that the file has. */
#include "data/npy.h"
#include <unistd.h>
#include "data/source.h"

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

static uint32_t code_point(const unsigned char *p, char order) {
    uint32_t c;
    memcpy(&c, p, 4);
    return order == '=' || order == HOST_ORDER ? c : __builtin_bswap32(c);
}

static tn_status wrap_strings(const header *h, const unsigned char *data, int64_t count, tn_string *strings, char *next,
                              tn_tensor **out) {
    size_t unit = h->kind == 'U' ? 4 : 1, width = (size_t)h->width;
    for (int64_t i = 0; i < count; i++, data += width * unit) {
        size_t length = width;
        while (length && memcmp(data + (length - 1) * unit, "\0\0\0", unit) == 0) length--;
        strings[i].data = next;
        if (unit == 1) memcpy(next, data, length), next += length;
        for (size_t k = 0; unit == 4 && k < length; k++) next += put_utf8(code_point(data + 4 * k, h->order), next);
        strings[i].size = (size_t)(next - strings[i].data);
    }
    tn_tensor *view;
    TN_TRY(tn_tensor_wrap(TN_STRING, h->rank, h->dims, NULL, strings, (size_t)count * sizeof *strings, &view));
    tn_status status = tn_tensor_clone(view, NULL, out);
    tn_tensor_destroy(view);
    return status;
}

/* Fixed-width text (S, U) as strings, the zeros at their ends dropped. `count` of them are in the file. */
static tn_status parse_strings(const header *h, const unsigned char *data, int64_t count, size_t bytes,
                               tn_tensor **out) {
    size_t size;
    if (!tn_mul_size((size_t)count, sizeof(tn_string), &size)) return tn_fail(TN_E_MEMORY, "out of memory");
    tn_string *strings = tn_alloc(NULL, size);
    char *text = tn_alloc(NULL, bytes); /* UTF-8 takes no more than UTF-32 */
    tn_status status = strings && text ? wrap_strings(h, data, count, strings, text, out) : TN_E_MEMORY;
    tn_free(NULL, strings, size);
    tn_free(NULL, text, bytes);
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

/* Bytes of a number that is not in the host's order; 0: it is. */
static size_t swapped(const header *h) {
    if ((h->order != '<' && h->order != '>') || h->order == HOST_ORDER) return 0;
    return (size_t)(h->kind == 'c' ? h->width / 2 : h->width);
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

/* The header's end; the bytes behind it are what its shape says. Of the size, `have` bytes are there. */
static const char *read_lead(const unsigned char *data, size_t have, size_t size, tn_dtype wanted, header *h,
                             size_t *out_start, tn_dtype *out_dtype, int64_t *out_count) {
    if (have < 12 || memcmp(data, "\x93NUMPY", 6) != 0) return "it is no .npy file";
    if (data[6] < 1 || data[6] > 3) return "its version is newer than 3";
    size_t lead = data[6] == 1 ? 10 : 12, length = data[8] | (size_t)data[9] << 8;
    if (lead == 12) length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (length > have - lead || !parse_header((const char *)data + lead, (const char *)data + lead + length, h))
        return "its header is damaged, or of a kind that has no tensor (objects, records, more than 8 dimensions)";
    tn_dtype dtype = h->kind == 'S' || h->kind == 'U' ? TN_STRING : TN_UNDEFINED;
    for (int i = 0; i < TYPES; i++)
        if (types[i].kind == h->kind && types[i].bytes == h->width) dtype = types[i].dtype;
    /* NumPy has no names for bfloat16 and float8 and calls them bytes. */
    if (h->kind == 'V' && dtype && tn_dtype_bits(wanted) == 8 * h->width) dtype = wanted;
    if (!dtype || !h->width) return "its elements are of a type that tensors do not have";
    uint64_t element = h->kind == 'U' ? 4 * h->width : h->width, bytes;
    int64_t count = 1;
    bool fits = h->width <= SIZE_MAX / 8;
    for (int i = 0; i < h->rank; i++) fits = fits && !__builtin_mul_overflow(count, h->dims[i], &count);
    if (!fits || __builtin_mul_overflow(element, (uint64_t)count, &bytes) || bytes != size - lead - length)
        return "its size is not what its shape says";
    *out_start = lead + length;
    *out_dtype = dtype;
    *out_count = count;
    return NULL;
}

tn_status tn_npy_parse(const void *data, size_t size, const char *name, tn_dtype wanted, tn_tensor **out) {
    const unsigned char *bytes = data;
    header h = {0};
    size_t start;
    tn_dtype dtype;
    int64_t count;
    *out = NULL;
    const char *wrong = read_lead(bytes, size, size, wanted, &h, &start, &dtype, &count);
    if (wrong) return tn_fail(TN_E_FORMAT, "%s: %s", name, wrong);
    bytes += start;
    size -= start;
    tn_status status;
    if (dtype == TN_STRING) {
        status = parse_strings(&h, bytes, count, size, out);
    } else {
        status = tn_tensor_create(dtype, h.rank, h.dims, NULL, out);
        if (status == TN_OK && size) memcpy(tn_tensor_data(*out), bytes, size);
        if (status == TN_OK) swap_bytes(tn_tensor_data(*out), size, swapped(&h));
    }
    if (status == TN_OK && h.fortran && h.rank > 1) status = from_fortran(&h, out);
    return status == TN_OK ? status : tn_fail_context(status, "%s", name);
}

tn_status tn_npy_load(const char *path, tn_dtype wanted, tn_tensor **out) {
    tn_string bytes;
    *out = NULL;
    TN_TRY(tn_file_whole(path, NULL, &bytes));
    tn_status status = tn_npy_parse(bytes.data, bytes.size, path, wanted, out);
    tn_free(NULL, (void *)bytes.data, bytes.size);
    return status;
}

/* ---- in pieces ---- */

/* The header of what has a tensor is shorter, whatever its version. */
enum { MOST_HEADER = 12 + 0xffff };

static tn_status begin(tn_npy *npy, const unsigned char *data, size_t have, size_t size, size_t *out_start) {
    header h = {0};
    int64_t count;
    const char *wrong = read_lead(data, have, size, TN_UNDEFINED, &h, out_start, &npy->dtype, &count);
    if (wrong) return tn_fail(TN_E_FORMAT, "%s: %s", npy->name, wrong);
    npy->rank = h.rank;
    memcpy(npy->dims, h.dims, sizeof h.dims);
    npy->fortran = h.fortran && h.rank > 1;
    npy->swapped = swapped(&h);
    return TN_OK;
}

tn_status tn_npy_open_memory(const void *data, size_t size, const char *name, tn_npy *out) {
    size_t start;
    *out = (tn_npy){.name = name, .file = -1};
    TN_TRY(begin(out, data, size, size, &start));
    out->memory = (const unsigned char *)data + start;
    return TN_OK;
}

tn_status tn_npy_open(const char *path, tn_npy *out) {
    size_t size, start;
    *out = (tn_npy){.name = path, .file = -1};
    unsigned char *head = tn_alloc(NULL, MOST_HEADER);
    tn_status status = head ? tn_file_open(path, &out->file, &size) : TN_E_MEMORY;
    const size_t have = status == TN_OK ? TN_MIN(size, (size_t)MOST_HEADER) : 0;
    if (status == TN_OK) status = tn_file_read(out->file, path, head, have);
    if (status == TN_OK) status = begin(out, head, have, size, &start);
    if (status == TN_OK && lseek(out->file, (off_t)start, SEEK_SET) < 0)
        status = tn_fail(TN_E_IO, "%s: it cannot be read from its middle", path);
    tn_free(NULL, head, MOST_HEADER);
    if (status != TN_OK) tn_npy_close(out);
    return status;
}

tn_status tn_npy_read(tn_npy *npy, int64_t count, void *out) {
    const size_t bytes = tn_dtype_bytes(npy->dtype, count);
    if (npy->file >= 0) {
        TN_TRY(tn_file_read(npy->file, npy->name, out, bytes));
    } else {
        memcpy(out, npy->memory, bytes);
        npy->memory += bytes;
    }
    swap_bytes(out, bytes, npy->swapped);
    return TN_OK;
}

void tn_npy_close(tn_npy *npy) {
    if (npy->file >= 0) close(npy->file);
    npy->file = -1;
}
