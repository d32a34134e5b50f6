/* The default allocator and regions.
 *
 * A region is a list of blocks, the newest first; each block is at least BLOCK_BYTES, larger where one piece needs
 * it. Freed whole: nothing inside a region is ever freed alone. */
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_BYTES (64u << 10)

static void *default_alloc(void *context, size_t size, size_t alignment) {
    (void)context;
    void *pointer = NULL;
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    return posix_memalign(&pointer, alignment, size ? size : 1) == 0 ? pointer : NULL;
}

static void default_free(void *context, void *pointer, size_t size) {
    (void)context;
    (void)size;
    free(pointer);
}

static const tn_allocator default_allocator = {sizeof(tn_allocator), NULL, default_alloc, default_free};

const tn_allocator *tn_allocator_default(void) {
    return &default_allocator;
}

void *tn_alloc(const tn_allocator *allocator, size_t size) {
    if (!allocator) allocator = &default_allocator;
    void *pointer = size <= PTRDIFF_MAX ? allocator->alloc(allocator->context, size ? size : 1, 64) : NULL;
    if (!pointer) tn_fail(TN_E_MEMORY, "out of memory: %zu bytes asked for", size);
    return pointer;
}

void *tn_alloc_zero(const tn_allocator *allocator, size_t size) {
    void *pointer = tn_alloc(allocator, size);
    if (pointer) memset(pointer, 0, size);
    return pointer;
}

void tn_free(const tn_allocator *allocator, void *pointer, size_t size) {
    if (!pointer) return;
    if (!allocator) allocator = &default_allocator;
    allocator->free(allocator->context, pointer, size ? size : 1);
}

typedef struct block {
    struct block *next;
    size_t size, used; /* both include this header, which takes 64 bytes */
} block;

struct tn_region {
    const tn_allocator *allocator;
    block *blocks;
    size_t bytes, limit;
};

tn_region *tn_region_create(const tn_allocator *allocator, size_t limit) {
    tn_region *region = tn_alloc_zero(allocator, sizeof *region);
    if (!region) return NULL;
    region->allocator = allocator;
    region->limit = limit;
    return region;
}

static void free_blocks(tn_region *region, const block *keep) {
    for (block *b = region->blocks, *next; b && b != keep; b = next) {
        next = b->next;
        region->bytes -= b->size;
        tn_free(region->allocator, b, b->size);
    }
}

void tn_region_destroy(tn_region *region) {
    if (!region) return;
    free_blocks(region, NULL);
    tn_free(region->allocator, region, sizeof *region);
}

void tn_region_reset(tn_region *region) {
    block *first = region->blocks;
    while (first && first->next) first = first->next;
    free_blocks(region, first);
    region->blocks = first;
    if (first) first->used = 64;
}

void *tn_region_alloc(tn_region *region, size_t size) {
    size_t alignment = size >= 64 ? 64 : 16;
    block *b = region->blocks;
    size_t start = b ? (b->used + alignment - 1) & ~(alignment - 1) : 0;
    if (!b || start > b->size || size > b->size - start) {
        size_t need;
        if (!tn_add_size(size, 64, &need)) need = SIZE_MAX;
        need = TN_MAX(need, (size_t)BLOCK_BYTES);
        if (region->limit && (need > region->limit || region->bytes > region->limit - need)) {
            tn_fail(TN_E_LIMIT, "limit exceeded: %zu bytes more than the %zu in use would pass the limit of %zu", size,
                    region->bytes, region->limit);
            return NULL;
        }
        b = tn_alloc(region->allocator, need);
        if (!b) return NULL;
        *b = (block){region->blocks, need, 64};
        region->blocks = b;
        region->bytes += need;
        start = 64;
    }
    b->used = start + size;
    return memset((char *)b + start, 0, size);
}

void *tn_region_array(tn_region *region, size_t count, size_t size) {
    size_t bytes;
    if (!tn_mul_size(count, size, &bytes)) {
        tn_fail(TN_E_LIMIT, "limit exceeded: %zu elements of %zu bytes", count, size);
        return NULL;
    }
    return tn_region_alloc(region, bytes);
}

char *tn_region_strndup(tn_region *region, const char *text, size_t length) {
    char *copy = length < SIZE_MAX ? tn_region_alloc(region, length + 1) : NULL;
    if (copy && length) memcpy(copy, text, length);
    return copy;
}

char *tn_region_strdup(tn_region *region, const char *text) {
    return tn_region_strndup(region, text, strlen(text));
}

char *tn_region_printf(tn_region *region, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = n >= 0 ? tn_region_alloc(region, (size_t)n + 1) : NULL;
    if (text) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
