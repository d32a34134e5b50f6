/* Fuzzing the image decoders: any bytes must end in pixels or a refusal. */
#include <stdlib.h>
#include "image/image.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

typedef struct pieces {
    void *list[64];
    int count;
    size_t left;
} pieces;

static void *take(void *context, size_t size) {
    pieces *p = context;
    if (p->count == 64 || size > p->left) return NULL;
    p->left -= size;
    return p->list[p->count++] = malloc(size ? size : 1);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    pieces p = {.left = (size_t)64 << 20};
    tn_image_memory memory = {take, &p};
    tn_image image;
    char *copy = malloc(size ? size : 1); /* of exactly its size, so that a sanitizer sees what reads beyond it */
    if (size) memcpy(copy, data, size);
    if (copy) tn_image_decode((tn_string){copy, size}, &memory, &image);
    for (int i = 0; i < p.count; i++) free(p.list[i]);
    free(copy);
    return 0;
}
