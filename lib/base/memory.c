/* The default allocator and regions.
 *
 * A region is a list of blocks, the newest first; each block is at least BLOCK_BYTES, larger where one piece needs
 * it. Freed whole: nothing inside a region is ever freed alone. */
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#include <unistd.h>

#define BLOCK_BYTES (64u << 10)
#define TOUCH_BYTES (32u << 10)

void tn_ask_huge_pages(void *pointer, size_t size) {
#ifdef MADV_HUGEPAGE
    const uintptr_t start = ((uintptr_t)pointer + TN_HUGE_PAGE - 1) & ~((uintptr_t)TN_HUGE_PAGE - 1);
    const uintptr_t end = ((uintptr_t)pointer + size) & ~((uintptr_t)TN_HUGE_PAGE - 1);
    if (start < end) madvise((void *)start, end - start, MADV_HUGEPAGE);
#else
    (void)pointer, (void)size;
#endif
}

/* What is larger than huge pages begins with one, and consists of them as far as it fills them. */
static void *default_alloc(void *context, size_t size, size_t alignment) {
    (void)context;
    void *pointer = NULL;
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    if (size >= TN_HUGE_PAGE && alignment < TN_HUGE_PAGE) alignment = TN_HUGE_PAGE;
    if (posix_memalign(&pointer, alignment, size ? size : 1) != 0) return NULL;
    tn_ask_huge_pages(pointer, size);
    return pointer;
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

typedef struct bounded {
    tn_allocator allocator; /* whose context this is */
    const tn_allocator *parent;
    size_t used, limit;
} bounded;

static void *bounded_alloc(void *context, size_t size, size_t alignment) {
    bounded *b = context;
    if (size > b->limit || b->used > b->limit - size) return NULL;
    void *pointer = b->parent->alloc(b->parent->context, size, alignment);
    if (pointer) b->used += size;
    return pointer;
}

static void bounded_free(void *context, void *pointer, size_t size) {
    bounded *b = context;
    b->used -= size;
    b->parent->free(b->parent->context, pointer, size);
}

tn_allocator *tn_bounded_create(const tn_allocator *parent, size_t limit) {
    bounded *b = tn_alloc(parent, sizeof *b);
    if (!b) return NULL;
    if (!parent) parent = &default_allocator;
    *b = (bounded){{sizeof(tn_allocator), b, bounded_alloc, bounded_free}, parent, sizeof *b, limit};
    return &b->allocator;
}

void tn_bounded_destroy(const tn_allocator *allocator) {
    if (!allocator) return;
    bounded *b = allocator->context;
    tn_free(b->parent, b, sizeof *b);
}

const tn_allocator *tn_bounded_parent(const tn_allocator *allocator) {
    const bounded *b = allocator->context;
    return b->parent;
}

void *tn_alloc(const tn_allocator *allocator, size_t size) {
    if (!allocator) allocator = &default_allocator;
    void *pointer = size <= PTRDIFF_MAX ? allocator->alloc(allocator->context, size ? size : 1, 64) : NULL;
    if (pointer) return pointer;
    const bounded *b = allocator->alloc == bounded_alloc ? allocator->context : NULL;
    if (b)
        tn_fail(TN_E_MEMORY, "%zu bytes more than the %zu in use would pass the limit of %zu", size, b->used, b->limit);
    else
        tn_fail(TN_E_MEMORY, "out of memory: %zu bytes asked for", size);
    return NULL;
}

void *tn_alloc_touched(const tn_allocator *allocator, size_t size) {
    void *pointer = tn_alloc(allocator, size);
    while (allocator && allocator->alloc == bounded_alloc) allocator = tn_bounded_parent(allocator);
    if (allocator && allocator != &default_allocator) return pointer; /* which may lie in a file */
#ifdef MADV_POPULATE_WRITE
    const uintptr_t page = 4096, start = ((uintptr_t)pointer + page - 1) & ~(page - 1);
    if (pointer && size >= TOUCH_BYTES)
        madvise((void *)start, ((uintptr_t)pointer + size - start) & ~(page - 1), MADV_POPULATE_WRITE);
#endif
    return pointer;
}

bool tn_memory_is_ample(size_t size) {
    const long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 && size / (size_t)sysconf(_SC_PAGESIZE) < (size_t)pages / 4;
}

/* In huge pages, where the system has them for files, so that less is done for each. Nothing here can fail the caller: what
 * is not read now is read later. */
void tn_read_ahead(tn_string part, bool wait) {
    const size_t skip = (uintptr_t)part.data % (size_t)sysconf(_SC_PAGESIZE);
    void *first = (void *)((uintptr_t)part.data - skip);
    if (!part.size || !tn_memory_is_ample(part.size)) return;
#ifdef MADV_HUGEPAGE
    madvise(first, part.size + skip, MADV_HUGEPAGE);
#endif
#ifdef MADV_POPULATE_READ /* Linux 5.14 */
    if (wait && madvise(first, part.size + skip, MADV_POPULATE_READ) == 0) return;
#else
    (void)wait;
#endif
    madvise(first, part.size + skip, MADV_WILLNEED);
}

void *tn_alloc_zero(const tn_allocator *allocator, size_t size) {
    void *pointer = tn_alloc_touched(allocator, size);
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
};

tn_region *tn_region_create(const tn_allocator *allocator) {
    tn_region *region = tn_alloc_zero(allocator, sizeof *region);
    if (!region) return NULL;
    region->allocator = allocator;
    return region;
}

static void free_blocks(tn_region *region, const block *keep) {
    for (block *b = region->blocks, *next; b && b != keep; b = next) {
        next = b->next;
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

void *tn_region_take(tn_region *region, size_t size) {
    size_t alignment = size >= 64 ? 64 : 16;
    block *b = region->blocks;
    size_t start = b ? (b->used + alignment - 1) & ~(alignment - 1) : 0;
    if (!b || start > b->size || size > b->size - start) {
        size_t need;
        if (!tn_add_size(size, 64, &need)) need = SIZE_MAX;
        need = TN_MAX(need, (size_t)BLOCK_BYTES);
        b = need > BLOCK_BYTES ? tn_alloc_touched(region->allocator, need) : tn_alloc(region->allocator, need);
        if (!b) return NULL;
        *b = (block){region->blocks, need, 64};
        region->blocks = b;
        start = 64;
    }
    b->used = start + size;
    return (char *)b + start;
}

void *tn_region_alloc(tn_region *region, size_t size) {
    void *taken = tn_region_take(region, size);
    return taken ? memset(taken, 0, size) : NULL;
}

void *tn_region_array(tn_region *region, size_t count, size_t size) {
    size_t bytes;
    if (!tn_mul_size(count, size, &bytes)) {
        tn_fail(TN_E_MEMORY, "out of memory: %zu elements of %zu bytes", count, size);
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
    char first[256]; /* enough for most: one time through vsnprintf */
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int n = vsnprintf(first, sizeof first, format, arguments);
    va_end(arguments);
    char *text = NULL;
    if (n >= 0 && (size_t)n < sizeof first)
        text = tn_region_strndup(region, first, (size_t)n);
    else if (n >= 0 && (text = tn_region_alloc(region, (size_t)n + 1)))
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
