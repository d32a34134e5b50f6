/* Memory beyond a limit: files mapped into it. The kernel writes their pages back, and drops them, as it needs memory, so
 * that whoever reads and writes them need not know where they are.
 *
 * A file loses its name as soon as it is open, so that a killed process leaves none; its blocks are taken at once, so that a
 * full disk is told here, and not by a signal when a page is first written.
 *
 * The kernel reads more than the page that is touched, up to some MB: right for whom takes all in order, ruin for whom takes
 * some of each of many columns. So files begin without that, and who reads says how. */
#include "data/spill.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Smaller ones, as the blocks of regions, come from the heap: a process has 65530 mappings. */
#define PIECE_BYTES ((size_t)128 << 10)

struct tn_spilled {
    struct tn_spilled *next;
    char *at;
    size_t size;
};

static void *map_file(tn_spill *s, size_t size) {
    char name[4096];
    if (snprintf(name, sizeof name, "%s.data-XXXXXX", s->beside) >= (int)sizeof name) {
        s->error = ENAMETOOLONG;
        return MAP_FAILED;
    }
    const int file = mkstemp(name);
    if (file < 0) {
        s->error = errno;
        return MAP_FAILED;
    }
    void *at = MAP_FAILED;
    unlink(name);
    s->error = posix_fallocate(file, 0, (off_t)size);
    if (!s->error) at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (!s->error && at == MAP_FAILED) s->error = errno;
    if (at != MAP_FAILED) madvise(at, size, MADV_RANDOM);
    close(file);
    return at;
}

/* The latest piece is the first in the list, and is most often the first to go. */
static struct tn_spilled **find(tn_spill *s, const void *at) {
    struct tn_spilled **f = &s->files;
    while (*f && !((const char *)at >= (*f)->at && (const char *)at < (*f)->at + (*f)->size)) f = &(*f)->next;
    return f;
}

static void *in_file(tn_spill *s, size_t size) {
    struct tn_spilled *f = tn_alloc(NULL, sizeof *f);
    void *at = f ? map_file(s, size) : MAP_FAILED;
    if (at == MAP_FAILED) {
        tn_free(NULL, f, sizeof *f);
        return NULL;
    }
    *f = (struct tn_spilled){s->files, at, size};
    s->files = f;
    return at;
}

static void *spill_alloc(void *context, size_t size, size_t alignment) {
    tn_spill *s = context;
    const tn_allocator *heap = tn_allocator_default();
    if (size < PIECE_BYTES) return heap->alloc(heap->context, size, alignment);
    if (size > s->limit || s->used > s->limit - size) return in_file(s, size);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    s->used += size;
    return at;
}

static void spill_free(void *context, void *pointer, size_t size) {
    tn_spill *s = context;
    const tn_allocator *heap = tn_allocator_default();
    if (size < PIECE_BYTES) {
        heap->free(heap->context, pointer, size);
        return;
    }
    munmap(pointer, size);
    struct tn_spilled **f = find(s, pointer), *gone = *f;
    if (gone) {
        *f = gone->next;
        tn_free(NULL, gone, sizeof *gone);
    } else {
        s->used -= size;
    }
}

void tn_spill_init(tn_spill *s, const char *beside, size_t limit) {
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (!limit) limit = pages > 0 ? (size_t)pages / 2 * (size_t)page : SIZE_MAX;
    *s = (tn_spill){{sizeof(tn_allocator), s, spill_alloc, spill_free}, beside, 0, limit, 0, NULL};
}

bool tn_spill_has(const tn_spill *s, const void *at) {
    return *find((tn_spill *)s, at) != NULL;
}

void tn_spill_in_order(const tn_spill *s, const void *at, bool in_order) {
    const struct tn_spilled *only = at ? *find((tn_spill *)s, at) : NULL;
    for (const struct tn_spilled *f = at ? only : s->files; f; f = at ? NULL : f->next)
        madvise(f->at, f->size, in_order ? MADV_NORMAL : MADV_RANDOM);
}

static void advise(const void *at, size_t size, int advice) {
    const size_t skip = (uintptr_t)at % (size_t)sysconf(_SC_PAGESIZE);
    madvise((char *)at - skip, size + skip, advice);
}

void tn_spill_scan(const void *at, size_t size) {
    advise(at, size, MADV_NORMAL);
}

void tn_spill_ask(const void *at, size_t size) {
    advise(at, size, MADV_WILLNEED);
}
