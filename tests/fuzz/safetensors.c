/* Fuzzing the reader of safetensors files: any bytes end in tensors, each within the file or a copy, or in a sentence. */
#include <stdlib.h>
#include <string.h>
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_safetensors *f;
    /* Behind a length of its own the header may be any; the first 8 bytes seldom are one. */
    for (int framed = 0; framed < 2; framed++) {
        size_t head = framed ? size / 2 : 0;
        uint64_t length = head;
        unsigned char *bytes = malloc(size + 8);
        if (!bytes) return 0;
        memcpy(bytes, &length, 8);
        memcpy(bytes + (framed ? 8 : 0), data, size);
        if (tn_safetensors_parse((tn_string){(char *)bytes, size + (framed ? 8 : 0)}, &f) == TN_OK) {
            volatile unsigned char sum = 0;
            for (int i = 0; i < tn_safetensors_count(f); i++) {
                const tn_tensor *t = tn_safetensors_tensor(f, i);
                const unsigned char *e = tn_tensor_const_data(t);
                for (size_t b = 0; b < tn_tensor_bytes(t); b++) sum = (unsigned char)(sum + e[b]);
                if (tn_safetensors_find(f, tn_safetensors_name(f, i)) != i || !tn_tensor_is_aligned(t)) abort();
            }
            tn_safetensors_metadata(f, "format");
            tn_safetensors_close(f);
        }
        free(bytes);
    }
    return 0;
}
