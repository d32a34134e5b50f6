/* Packed weights, made once a model and shared by its sessions; and, where the host names a folder, by all processes that
 * have the model: see pack_share.c. */
#include "exec/packs.h"
#include <sys/mman.h>
#include <unistd.h>

tn_status tn_packs_create(const tn_allocator *allocator, tn_weights_place weights, tn_string file,
                          tn_packs **out_packs) {
    tn_packs *packs = tn_alloc_zero(allocator, sizeof *packs);
    *out_packs = packs;
    if (!packs) return TN_E_MEMORY;
    packs->allocator = allocator;
    packs->weights = weights;
    packs->file = file;
    packs->region = tn_region_create(allocator);
    pthread_mutex_init(&packs->lock, NULL);
    if (packs->region) return TN_OK;
    tn_packs_destroy(packs);
    *out_packs = NULL;
    return TN_E_MEMORY;
}

void tn_packs_destroy(tn_packs *packs) {
    if (!packs) return;
    for (tn_pack *p = packs->first; p; p = p->next) {
        if (p->memory == TN_PACK_ALLOCATED) tn_free(packs->allocator, p->packed, p->allocated);
        if (p->memory == TN_PACK_PAGES) munmap(p->packed, p->allocated);
    }
    for (tn_mapped_packs *f = packs->share ? packs->share->files : NULL; f; f = f->next) munmap(f->address, f->bytes);
    tn_region_destroy(packs->region);
    pthread_mutex_destroy(&packs->lock);
    tn_free(packs->allocator, packs, sizeof *packs);
}

void tn_packs_bytes(tn_packs *packs, size_t *out_bytes, size_t *out_mapped) {
    *out_mapped = 0;
    pthread_mutex_lock(&packs->lock);
    *out_bytes = packs->bytes;
    for (const tn_pack *p = packs->first; p; p = p->next) *out_mapped += p->mapped ? p->bytes : 0;
    pthread_mutex_unlock(&packs->lock);
}

const tn_allocator *tn_packs_allocator(const tn_packs *packs) {
    return packs->allocator;
}

static tn_pack *find_pack(const tn_packs *packs, const void *data, const char *layout, size_t bytes) {
    for (tn_pack *p = packs->first; p; p = p->next)
        if (p->data == data && p->bytes == bytes && strcmp(p->layout, layout) == 0) return p;
    return NULL;
}

/* From so many bytes on the default allocator would map pages as well, which are zeros already. */
#define PAGES_FROM (256u << 10)

/* Zeroed. Pages of their own can make room for those of a file. */
static bool find_memory(tn_packs *packs, tn_pack *p) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    p->allocated = p->bytes;
    if (packs->share ? p->bytes < TN_PACK_FILE_LARGE : packs->allocator || p->bytes < PAGES_FROM) {
        p->packed = tn_alloc_zero(packs->allocator, p->bytes);
        return p->packed != NULL;
    }
    if (!tn_add_size(p->bytes, page - 1, &p->allocated)) p->allocated = SIZE_MAX;
    p->allocated = p->allocated / page * page;
    void *pages = mmap(NULL, p->allocated, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        tn_fail(TN_E_MEMORY, "out of memory: %zu bytes asked for", p->bytes);
        return false;
    }
    tn_ask_huge_pages(pages, p->allocated);
#ifdef MADV_POPULATE_WRITE
    madvise(pages, p->allocated, MADV_POPULATE_WRITE);
#endif
    p->memory = TN_PACK_PAGES;
    p->packed = pages;
    return true;
}

tn_pack *tn_packs_add(tn_packs *packs, const void *data, const char *layout, size_t bytes, void *memory,
                      size_t allocated) {
    tn_pack *p = tn_region_alloc(packs->region, sizeof *p);
    if (!p) return NULL;
    *p = (tn_pack){.data = data, .bytes = bytes, .packed = memory, .allocated = allocated};
    p->layout = tn_region_strdup(packs->region, layout);
    if (!p->layout || (!memory && !find_memory(packs, p))) return NULL;
    if (memory && !allocated) {
        p->memory = TN_PACK_IN_FILE;
        p->mapped = true;
    }
    p->next = packs->first;
    packs->first = p;
    packs->bytes += p->memory == TN_PACK_IN_FILE ? bytes : p->allocated;
    return p;
}

void *tn_packs_aligned(tn_packs *packs, const tn_tensor *constant, void *copy, size_t copy_bytes) {
    size_t bytes = tn_dtype_bytes(constant->dtype, tn_count(constant));
    pthread_mutex_lock(&packs->lock);
    tn_pack *p = find_pack(packs, constant->data, "aligned", bytes);
    if (!p) {
        p = tn_packs_add(packs, constant->data, "aligned", bytes, copy, copy_bytes);
        if (p && !copy) memcpy(p->packed, constant->data, bytes);
    }
    pthread_mutex_unlock(&packs->lock);
    return p ? p->packed : NULL;
}

/* Finds or makes it. */
static tn_pack *get_pack(tn_packs *packs, const void *origin, const tn_tensor *value, const char *layout, size_t bytes,
                         void (*make)(void *dst, const void *context), const void *context) {
    tn_pack_row name = {0};
    tn_pack *p = find_pack(packs, origin, layout, bytes);
    if (!p && packs->share) {
        name = tn_packs_name(packs, origin, value, layout);
        p = tn_packs_take(packs, origin, layout, bytes, &name);
    }
    if (p) return p;
    p = tn_packs_add(packs, origin, layout, bytes, NULL, 0);
    if (!p) return NULL;
    make(p->packed, context);
    p->fresh = packs->share && bytes;
    p->name = name;
    p->name.layout.data = p->layout;
    return p;
}

/* From so many uses on, packing weights anew costs some hundredths of a run. */
#define IN_PLACE_USES 96

static bool lies_in(tn_string file, const void *data) {
    return (uintptr_t)data - (uintptr_t)file.data < file.size;
}

/* Panels are made of a matrix in an order that a disk is slow in, so that it is read before, in the file's order. A single
 * use goes through it in that order, and waits for no more than it needs, unless the host wants all to be there first. */
static void read_whole(const tn_packs *packs, const tn_tensor *weights) {
    if (lies_in(packs->file, weights->data) && tn_memory_is_ample(packs->file.size))
        tn_read_ahead((tn_string){weights->data, tn_dtype_bytes(weights->dtype, tn_count(weights))}, true);
}

bool tn_prepare_in_place(const tn_prepare *call, int in, size_t uses) {
    const tn_packs *packs = call->host->packs;
    if (!packs || packs->weights == TN_WEIGHTS_PACKED) return false;
    const bool wanted =
        packs->weights == TN_WEIGHTS_IN_PLACE ||
        (uses >= IN_PLACE_USES && !packs->share && call->host->origin && lies_in(packs->file, call->host->origin[in]));
    if ((uses == 1 ? call->host->ready : wanted) && call->value[in]) read_whole(packs, call->value[in]);
    return wanted;
}

tn_status tn_prepare_pack(tn_prepare *call, int in, const char *layout, size_t bytes,
                          void (*make)(void *dst, const void *context), const void *context, const void **out_packed) {
    tn_packs *packs = call->host->packs;
    const tn_tensor *value = call->value[in];
    if (!value) return tn_fail(TN_E_INTERNAL, "input %d is packed but its contents are not known", in);
    const void *origin = call->host->origin ? call->host->origin[in] : value->data;
    if (call->host->packed) call->host->packed[in] = true;
    if (!packs || !call->host->immutable || !call->host->immutable[in]) {
        void *packed = tn_prepare_alloc(call, bytes);
        if (!packed) return TN_E_MEMORY;
        make(packed, context);
        *out_packed = packed;
        return TN_OK;
    }
    pthread_mutex_lock(&packs->lock);
    const tn_pack *p = get_pack(packs, origin, value, layout, bytes, make, context);
    pthread_mutex_unlock(&packs->lock);
    if (!p) return TN_E_MEMORY;
    *out_packed = p->packed;
    return TN_OK;
}
