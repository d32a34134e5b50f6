/* Fuzzing .npy and .npz: any bytes are refused with a sentence, or make arrays whose every byte is there. */
#include <stdlib.h>
#include <string.h>
#include <tenon/media.h>
#include "data/npy.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void look(tn_status status, tn_tensor *t) {
    unsigned sum = 0;
    if (status != TN_OK && (t || !*tn_last_error())) abort();
    if (status != TN_OK) return;
    if (tn_tensor_dtype(t) == TN_STRING) {
        const tn_string *texts = tn_tensor_const_data(t);
        for (int64_t i = 0; i < tn_tensor_count(t); i++)
            for (size_t k = 0; k < texts[i].size; k++) sum += (unsigned char)texts[i].data[k];
    } else {
        const unsigned char *bytes = tn_tensor_const_data(t);
        for (size_t i = 0; i < tn_tensor_bytes(t); i++) sum += bytes[i];
    }
    volatile unsigned kept = sum;
    (void)kept;
    tn_tensor_destroy(t);
}

/* All elements, some at a time. */
static void look_in_pieces(const unsigned char *data, size_t size) {
    unsigned char piece[7 * 16];
    tn_npy npy;
    if (tn_npy_open_memory(data, size, "fuzz.npy", &npy) != TN_OK) {
        if (!*tn_last_error()) abort();
        return;
    }
    int64_t left = npy.dtype != TN_STRING;
    for (int i = 0; i < npy.rank; i++) left *= npy.dims[i];
    for (int64_t n; left; left -= n) {
        n = left < 7 ? left : 7;
        if (tn_npy_read(&npy, n, piece) != TN_OK) abort();
    }
    tn_npy_close(&npy);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_tensor *t;
    tn_npz *npz;
    unsigned char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    tn_status status = tn_npy_parse(copy, size, "fuzz.npy", TN_BFLOAT16, &t);
    look(status, t);
    look_in_pieces(copy, size);
    if (tn_npz_open_memory(copy, size, "fuzz.npz", &npz) == TN_OK) {
        for (int i = 0; i < tn_npz_count(npz) && i < 4; i++) {
            if (!tn_npz_name(npz, i)) abort();
            status = tn_npz_array(npz, i, TN_UNDEFINED, &t);
            look(status, t);
        }
        tn_npz_close(npz);
    } else if (!*tn_last_error()) {
        abort();
    }
    free(copy);
    return 0;
}
