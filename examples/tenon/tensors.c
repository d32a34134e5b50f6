/* Tensors on the command line: read from files, made up, shown; and the files that they go to. */
#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

void file_name(char *text, size_t size, const char *name) {
    size_t n = 0;
    for (const char *p = name; *p && n + 8 < size && n < 200; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        bool kept = plain || (n && strchr("-_.", *p));
        text[n++] = kept ? *p : '_';
    }
    if (!n) text[n++] = '_';
    text[n] = 0;
}

bool file_read(const char *path, void **out_data, size_t *out_size) {
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    char *data = NULL;
    size_t size = 0;
    bool good = file >= 0 && fstat(file, &info) == 0;
    if (good && !S_ISREG(info.st_mode)) {
        complain("%s is no regular file", path);
        goto done;
    }
    if (good) data = malloc((size_t)info.st_size + 1);
    while (good && data && size < (size_t)info.st_size) {
        ssize_t n = read(file, data + size, (size_t)info.st_size - size);
        good = n > 0 || (n < 0 && errno == EINTR);
        if (n > 0) size += (size_t)n;
    }
    if (good && data) {
        close(file);
        *out_data = data;
        *out_size = size;
        return true;
    }
    complain("%s: %s", path, errno ? strerror(errno) : "it became shorter while it was read");
done:
    free(data);
    if (file >= 0) close(file);
    return false;
}

static void partial_name(char *text, size_t size, const char *path) {
    snprintf(text, size, "%s.part%ld", path, (long)getpid());
}

FILE *file_create(const char *path) {
    char part[4200];
    partial_name(part, sizeof part, path);
    FILE *file = strlen(path) < 4096 ? fopen(part, "wb") : NULL;
    if (!file) complain("%s cannot be written: %s", path, strerror(errno));
    return file;
}

bool file_commit(FILE *file, const char *path) {
    char part[4200];
    partial_name(part, sizeof part, path);
    bool good = !ferror(file);
    good = fclose(file) == 0 && good;
    good = good && rename(part, path) == 0;
    if (good) return true;
    complain("%s cannot be written: %s", path, strerror(errno));
    unlink(part);
    return false;
}

/* One element of 4 or 2 bits a byte. */
static bool is_narrow(tn_dtype dtype) {
    size_t bits = tn_dtype_bits(dtype);
    return bits && bits < 8;
}

static bool is_signed_narrow(tn_dtype dtype) {
    return dtype == TN_INT4 || dtype == TN_INT2;
}

bool tensor_become(tn_tensor **t, tn_dtype wanted) {
    tn_dtype dtype = tn_tensor_dtype(*t);
    tn_tensor *made;
    bool pack = is_narrow(wanted) && dtype == (is_signed_narrow(wanted) ? TN_INT8 : TN_UINT8);
    bool unpack = is_narrow(dtype) && wanted == (is_signed_narrow(dtype) ? TN_INT8 : TN_UINT8);
    if (!pack && !unpack) return true;
    tn_status status = tn_tensor_create(wanted, tn_tensor_rank(*t), tn_tensor_dims(*t), NULL, &made);
    if (status != TN_OK) return complain_status("tensor", status);
    unsigned bits = (unsigned)tn_dtype_bits(pack ? wanted : dtype), each = 8 / bits, mask = (1u << bits) - 1;
    const unsigned char *in = tn_tensor_const_data(*t);
    unsigned char *out = tn_tensor_data(made);
    for (int64_t i = 0; i < tn_tensor_count(*t); i++) {
        unsigned shift = (unsigned)(i % each) * bits;
        if (pack) {
            out[i / each] |= (unsigned char)((in[i] & mask) << shift);
        } else {
            unsigned value = in[i / each] >> shift & mask;
            bool negative = is_signed_narrow(dtype) && value >> (bits - 1);
            out[i] = (unsigned char)(negative ? value | ~mask : value);
        }
    }
    tn_tensor_destroy(*t);
    *t = made;
    return true;
}

static bool told(const char *path, tn_status status) {
    return status == TN_OK || complain_status(path, status);
}

/* name NULL: the first array. */
static bool load_npz(const char *path, const char *name, tn_dtype wanted, tn_tensor **out) {
    tn_npz *npz;
    int index = 0;
    if (!told(path, tn_npz_open(path, &npz))) return false;
    while (name && index < tn_npz_count(npz) && strcmp(tn_npz_name(npz, index), name) != 0) index++;
    bool found = index < tn_npz_count(npz);
    bool good = found && told(path, tn_npz_array(npz, index, wanted, out));
    if (!found) complain("%s has no array '%s'", path, name ? name : "");
    tn_npz_close(npz);
    return good;
}

/* path may be "file.npz:array". */
bool tensor_load(const char *path, tn_dtype wanted, tn_tensor **out) {
    const char *inside = strstr(path, ".npz:");
    bool good;
    *out = NULL;
    if (inside) {
        char *archive = strndup(path, (size_t)(inside + 4 - path));
        good = archive && load_npz(archive, inside + 5, wanted, out);
        free(archive);
    } else if (ends_with(path, ".npz")) {
        good = load_npz(path, NULL, wanted, out);
    } else if (ends_with(path, ".npy")) {
        good = told(path, tn_npy_load(path, wanted, out));
    } else if (ends_with(path, ".pb")) {
        tn_status status = tn_tensor_load_pb(path, out);
        good = status == TN_OK || complain_status(path, status);
    } else {
        complain("%s: tensors are read from .npy, .npz and .pb", path);
        good = false;
    }
    if (good) good = tensor_become(out, wanted);
    if (good) return true;
    tn_tensor_destroy(*out);
    *out = NULL;
    return false;
}

/* NumPy has no small integers: there they take a byte each. */
static bool save_npy(FILE *file, const tn_tensor *t) {
    tn_tensor *wide = NULL;
    tn_dtype dtype = tn_tensor_dtype(t);
    if (!is_narrow(dtype)) return npy_write(file, t);
    bool good = tn_tensor_clone(t, NULL, &wide) == TN_OK;
    good = good && tensor_become(&wide, is_signed_narrow(dtype) ? TN_INT8 : TN_UINT8) && npy_write(file, wide);
    tn_tensor_destroy(wide);
    return good;
}

bool tensor_save(const tn_tensor *t, const char *name, const char *path) {
    if (ends_with(path, ".pb")) {
        tn_status status = tn_tensor_save_pb(t, name, path);
        return status == TN_OK || complain_status(path, status);
    }
    FILE *file = file_create(path);
    if (!file) return false;
    save_npy(file, t);
    return file_commit(file, path);
}

bool tensor_zip(zip_writer *z, const tn_tensor *t, const char *name) {
    char *data = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&data, &size);
    bool good = memory && save_npy(memory, t);
    if (memory) good = fclose(memory) == 0 && good;
    good = good && zip_add(z, name, data, size);
    free(data);
    return good;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* IEEE binary16 of a small normal number, cut; values near 0 become 0. Enough for made-up contents. */
static uint16_t cut_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    int exponent = (int)(bits >> 23 & 255) - 127 + 15;
    uint32_t sign = bits >> 16 & 0x8000;
    if (exponent <= 0) return (uint16_t)sign;
    if (exponent >= 31) return (uint16_t)(sign | 0x7bff);
    return (uint16_t)(sign | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff));
}

bool tensor_random(const settings *s, uint64_t *state, tn_dtype dtype, int rank, const int64_t *dims, tn_tensor **out) {
    tn_status status = tn_tensor_create(dtype ? dtype : TN_FLOAT32, rank, dims, NULL, out);
    if (status != TN_OK) return complain_status("random input", status);
    void *data = tn_tensor_data(*out);
    size_t bytes = tn_tensor_bytes(*out), bits = tn_dtype_bits(tn_tensor_dtype(*out));
    int64_t count = tn_tensor_count(*out);
    double low = s->low, high = s->high > s->low ? s->high : s->low;
    /* Whole numbers are often indices, counts and masks: none are below 0, unless one number is asked for. */
    int64_t least = low > 0 || low == high ? (int64_t)low : 0, most = high > (double)least ? (int64_t)high : least;
    for (int64_t i = 0; i < count; i++) {
        uint64_t random = next_random(state);
        double real = low + (double)(random >> 11) / (double)(1ull << 53) * (high - low);
        int64_t whole = least + (int64_t)(random % (uint64_t)(most - least + 1));
        float single = (float)real;
        uint32_t word;
        memcpy(&word, &single, 4);
        switch (tn_tensor_dtype(*out)) {
        case TN_FLOAT32: ((float *)data)[i] = single; break;
        case TN_FLOAT64: ((double *)data)[i] = real; break;
        case TN_FLOAT16: ((uint16_t *)data)[i] = cut_to_half(single); break;
        case TN_BFLOAT16: ((uint16_t *)data)[i] = (uint16_t)(word >> 16); break;
        case TN_COMPLEX64: ((float *)data)[2 * i] = single; break;
        case TN_COMPLEX128: ((double *)data)[2 * i] = real; break;
        case TN_STRING: ((tn_string *)data)[i] = (tn_string){&"abcdefgh"[random % 8], 1}; break;
        case TN_BOOL: ((uint8_t *)data)[i] = low == high ? low != 0 : random & 1; break;
        default:
            if (bits == 64) ((int64_t *)data)[i] = whole;
            if (bits == 32) ((int32_t *)data)[i] = (int32_t)whole;
            if (bits == 16) ((int16_t *)data)[i] = (int16_t)whole;
            if (bits == 8) ((int8_t *)data)[i] = (int8_t)whole;
            /* Narrower: 0 or 1 in each place. */
            if (bits < 8 && (size_t)i < bytes) ((uint8_t *)data)[i] = random & (bits == 4 ? 0x11 : 0x55);
        }
    }
    return true;
}
