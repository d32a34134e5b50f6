/* What every part of the library leans on: failing with a sentence, memory, checked sizes, regions.
 *
 * Idea: code below lib/base never prints, aborts or allocates by itself; it fails through tn_fail, which keeps the
 * sentence for the thread and returns the code, so that `return tn_fail(TN_E_SHAPE, ...)` is the one way to fail. */
#ifndef TN_BASE_H
#define TN_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tenon/memory.h>
#include <tenon/status.h>
#include <tenon/tensor.h>

#define TN_TRY(expression)                                                                                             \
    do {                                                                                                               \
        tn_status tn_try_status = (expression);                                                                        \
        if (tn_try_status != TN_OK) return tn_try_status;                                                              \
    } while (0)

#define TN_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TN_MIN(a, b) ((a) < (b) ? (a) : (b))
#define TN_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Keeps the sentence for tn_last_error and returns `status`. */
tn_status tn_fail(tn_status status, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
/* Puts "prefix: " before this thread's sentence and returns `status`: how a caller adds the file, node or operator. */
tn_status tn_fail_context(tn_status status, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* Memory, 64-byte aligned; NULL with a sentence when there is none. An allocator of NULL is the default one. */
void *tn_alloc(const tn_allocator *allocator, size_t size);
void *tn_alloc_zero(const tn_allocator *allocator, size_t size);
/* For memory that is about to be written whole. Where the kernel can, its pages come all at once, in a third less time
 * than one by one as they are touched, which is most of the time of preparing a large model. */
void *tn_alloc_touched(const tn_allocator *allocator, size_t size);
/* Asks the system for huge pages in [pointer, pointer + size), as far as whole ones lie in it: weights and arenas are gone
 * through from end to end, and with small pages address translation, and prefetchers that stop at a page's end, hold that
 * up. Where there are none nothing happens. */
#define TN_HUGE_PAGE ((size_t)2 << 20)
void tn_ask_huge_pages(void *pointer, size_t size);
void tn_free(const tn_allocator *allocator, void *pointer, size_t size);
/* Whether the machine has several times so much, so that it may be filled before it is needed. */
bool tn_memory_is_ample(size_t size);
/* Has the system read that part of a mapped file, in its order, from now on; where it can, `wait` is until it has been
 * read. What would take most of the machine's memory is read when it is needed. */
void tn_read_ahead(tn_string part, bool wait);
/* An allocator over another that has no more than `limit` bytes out at once. Not for use by two threads at once. */
tn_allocator *tn_bounded_create(const tn_allocator *parent, size_t limit);
void tn_bounded_destroy(const tn_allocator *bounded); /* accepts NULL */
const tn_allocator *tn_bounded_parent(const tn_allocator *bounded);

/* Checked arithmetic: false on overflow, and then *out is untouched. */
static inline bool tn_mul_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool tn_add_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool tn_string_equal(tn_string a, tn_string b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
static inline tn_string tn_string_of(const char *text) {
    return (tn_string){text, strlen(text)};
}

/* Whether a list with commas between (NULL: an empty one) has the name, or the beginning of it and a star. */
bool tn_listed(const char *list, const char *name);
/* Whether HOST[:PORT] is this machine, by the name alone. */
bool tn_host_is_here(const char *host);

/* Nanoseconds of a clock that only goes forth. */
uint64_t tn_now(void);

/* A region: memory that is given back all at once. Graphs, plans and imports live in one each.
 * Not for use by two threads at once. */
typedef struct tn_region tn_region;
tn_region *tn_region_create(const tn_allocator *allocator);
void tn_region_destroy(tn_region *region);
/* Forgets all that was allocated, keeps the first block for reuse. */
void tn_region_reset(tn_region *region);
/* Zeroed; aligned to 64 bytes from 64 bytes on, to 16 below. NULL with a sentence on failure. */
void *tn_region_alloc(tn_region *region, size_t size);
/* Likewise, but with whatever was there: for what is written whole. */
void *tn_region_take(tn_region *region, size_t size);
void *tn_region_array(tn_region *region, size_t count, size_t size);
char *tn_region_strndup(tn_region *region, const char *text, size_t length);
char *tn_region_strdup(tn_region *region, const char *text);
char *tn_region_printf(tn_region *region, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
