/* Packed weights that processes share.
 *
 * A file (pack_file.h) holds those of one model, for one library, CPU level and precision. What is looked for is taken from
 * it. What is not found is made, and once a plan is ready goes into a new file with all that the old one had, under a lock,
 * so that of many processes one writes. Then the pages of the file take the place of those that it was made in, at the same
 * addresses and with the same bytes: whoever reads there, sessions on other threads included, notices nothing.
 *
 * A packed weight is named by what it was packed from: an offset among the model file's weights, which the model's digest
 * stands for, or, for what passes computed, a checksum of it. So nothing hangs on passes doing the same each time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "base/checksum.h"
#include "exec/packs.h"

#define LOCK_TRIES 200 /* of 5 ms each, while another process writes */
/* Of what some models pack for each size of their inputs, there is no end. */
#define MOST_WRITTEN 8                                   /* files by one process for a model */
#define MOST_BYTES(weights) (4 * (weights) + (1u << 20)) /* of a file */

tn_status tn_packs_share(tn_packs *packs, const tn_graph *graph, const tn_kernels *kernels, const char *folder) {
    const tn_graph *root = graph->root;
    struct stat info;
    if (!root->digest)
        return tn_fail(TN_E_UNSUPPORTED, "packed weights are kept for model files (.tenon) alone, whose digest names "
                                         "them: leave packed_folder out, or convert the model");
    if (stat(folder, &info) != 0) return tn_fail(TN_E_IO, "packed_folder '%s': %s", folder, strerror(errno));
    if (!S_ISDIR(info.st_mode)) return tn_fail(TN_E_IO, "packed_folder '%s' is not a folder", folder);
    tn_pack_share *s = tn_region_alloc(packs->region, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const char *level = tn_cpu_level_name(kernels->level), *precision = kernels->bf16_products ? "-fast" : "";
    const char *colon = strchr(root->digest, ':');
    s->graph = graph;
    s->verified = !root->weights_digest;
    s->folder = tn_region_strdup(packs->region, folder);
    s->path = tn_region_printf(packs->region, "%s/%s-%s%s.packed", folder, colon ? colon + 1 : root->digest, level,
                               precision);
    const char *key = tn_region_printf(packs->region, "%s %s %s%s", tn_sources, root->digest, level, precision);
    if (!s->folder || !s->path || !key) return TN_E_MEMORY;
    tn_sha256_of(key, strlen(key), s->key);
    packs->share = s;
    return TN_OK;
}

/* Opens the file, if it is one that only its owner writes to, who must be this user or root; -1: there is none. */
static int open_file(const tn_pack_share *s, struct stat *info) {
    int file = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) return -1;
    if (fstat(file, info) == 0 && S_ISREG(info->st_mode) && (info->st_uid == geteuid() || info->st_uid == 0) &&
        !(info->st_mode & (S_IWGRP | S_IWOTH)) && info->st_size > 0)
        return file;
    close(file);
    return -1;
}

static bool is_newest(const tn_pack_share *s, const struct stat *info) {
    return s->files && s->files->number == info->st_ino && s->files->device == info->st_dev;
}

static void map_file(tn_packs *packs, int file, const struct stat *info) {
    tn_pack_share *s = packs->share;
    tn_mapped_packs *m = tn_region_alloc(packs->region, sizeof *m);
    void *data = m ? mmap(NULL, (size_t)info->st_size, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    if (data == MAP_FAILED) return;
    tn_string contents = {data, (size_t)info->st_size};
    if (tn_pack_file_read(contents, s->key, packs->region, &m->file) != TN_OK) {
        munmap(data, contents.size);
        return;
    }
    m->address = data;
    m->bytes = contents.size;
    m->device = info->st_dev;
    m->number = info->st_ino;
    m->next = s->files;
    s->files = m;
}

/* Maps the file that is there now, unless it is; returns it open, or -1 if there is none that serves. */
static int look_again(tn_packs *packs) {
    struct stat info;
    int file = open_file(packs->share, &info);
    if (file < 0) return -1;
    if (!is_newest(packs->share, &info)) map_file(packs, file, &info);
    if (is_newest(packs->share, &info)) return file;
    close(file);
    return -1;
}

tn_pack_row tn_packs_name(const tn_packs *packs, const void *origin, const tn_tensor *value, const char *layout) {
    const tn_string weights = packs->share->graph->root->weights;
    const uintptr_t at = (uintptr_t)origin, start = (uintptr_t)weights.data;
    const size_t bytes = tn_dtype_bytes(value->dtype, tn_count(value));
    tn_pack_row name = {.origin_bytes = bytes, .layout = tn_string_of(layout)};
    bool inside = at >= start && at - start <= weights.size && bytes <= weights.size - (at - start);
    name.origin = inside ? at - start : tn_checksum(value->data, bytes);
    name.kind = (inside ? TN_PACK_OF_WEIGHTS : TN_PACK_OF_CONTENTS) | (uint32_t)value->dtype << 8;
    return name;
}

static tn_pack_row *find_row(const tn_mapped_packs *m, const tn_pack_row *name, size_t bytes) {
    for (size_t i = 0; i < m->file.count; i++) {
        tn_pack_row *row = &m->file.rows[i];
        if (row->origin != name->origin || row->kind != name->kind || row->origin_bytes != name->origin_bytes ||
            row->bytes != bytes || !tn_string_equal(row->layout, name->layout))
            continue;
#ifdef MADV_POPULATE_READ
        if (row->bytes >= TN_PACK_FILE_LARGE && row->state == TN_PACK_UNCHECKED)
            madvise((char *)m->address + row->offset, row->bytes, MADV_POPULATE_READ);
#endif
        if (tn_pack_row_is_good(row)) return row;
    }
    return NULL;
}

tn_pack *tn_packs_take(tn_packs *packs, const void *origin, const char *layout, size_t bytes, const tn_pack_row *name) {
    if (!packs->share->looked) {
        int file = look_again(packs);
        if (file >= 0) close(file);
        packs->share->looked = true;
    }
    for (const tn_mapped_packs *m = packs->share->files; m; m = m->next) {
        const tn_pack_row *row = find_row(m, name, bytes);
        if (row) return tn_packs_add(packs, origin, layout, bytes, (char *)m->address + row->offset, 0);
    }
    return NULL;
}

/* ---- publishing ---- */

static size_t count_fresh(const tn_packs *packs) {
    size_t count = 0;
    for (const tn_pack *p = packs->first; p; p = p->next) count += p->fresh;
    return count;
}

/* What is in the newest file by now is read from there. */
static void adopt(tn_packs *packs) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int file = look_again(packs);
    if (file < 0) return;
    for (tn_pack *p = packs->first; p; p = p->next) {
        const tn_pack_row *row = p->fresh ? find_row(packs->share->files, &p->name, p->bytes) : NULL;
        if (!row || memcmp(row->data, p->packed, p->bytes) != 0) continue;
        p->fresh = false;
        if (p->memory != TN_PACK_PAGES || row->offset % page) continue;
        /* A failure (no more mappings allowed) comes before anything has changed. */
        p->mapped =
            mmap(p->packed, p->allocated, PROT_READ, MAP_SHARED | MAP_FIXED, file, (off_t)row->offset) != MAP_FAILED;
    }
    close(file);
}

/* Ours until it is closed; -1: not to be had, or no longer needed, since another wrote all that was fresh. The lock is the
 * folder's own, so that no more files lie about. */
static int lock_folder(tn_packs *packs) {
    tn_pack_share *s = packs->share;
    int folder = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->given_up = folder < 0;
    for (int tries = 0; folder >= 0 && flock(folder, LOCK_EX | LOCK_NB) != 0; tries++) {
        bool busy = errno == EWOULDBLOCK || errno == EINTR;
        s->given_up = !busy;
        if (busy && tries < LOCK_TRIES) {
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
            adopt(packs);
            if (count_fresh(packs)) continue;
        }
        close(folder);
        return -1;
    }
    return folder;
}

static bool verify_weights(tn_pack_share *s) {
    const tn_graph *root = s->graph->root;
    uint8_t digest[TN_SHA256_BYTES];
    if (!s->verified) {
        tn_sha256_of(root->weights.data, root->weights.size, digest);
        s->verified = memcmp(digest, root->weights_digest, sizeof digest) == 0;
    }
    return s->verified;
}

/* A new file: what the newest has, and what is fresh. */
static tn_status write_file(tn_packs *packs) {
    const tn_pack_file *old = packs->share->files ? &packs->share->files->file : NULL;
    uint64_t bytes = 0;
    size_t count = 0, most = count_fresh(packs) + (old ? old->count : 0);
    tn_pack_row *rows = tn_region_array(packs->region, most, sizeof *rows);
    if (!rows) return TN_E_MEMORY;
    for (size_t i = 0; old && i < old->count; i++)
        if (tn_pack_row_is_good(&old->rows[i])) rows[count++] = old->rows[i];
    for (const tn_pack *p = packs->first; p; p = p->next) {
        if (!p->fresh) continue;
        rows[count] = p->name;
        rows[count].data = p->packed;
        rows[count++].bytes = p->bytes;
    }
    for (size_t i = 0; i < count; i++) bytes += rows[i].bytes;
    if (++packs->share->written > MOST_WRITTEN || bytes > MOST_BYTES((uint64_t)packs->share->graph->root->weights.size))
        return tn_fail(TN_E_LIMIT, "enough packed weights are kept");
    return tn_pack_file_write(packs->share->path, packs->share->key, rows, count);
}

static void publish(tn_packs *packs) {
    tn_pack_share *s = packs->share;
    adopt(packs);
    int folder = count_fresh(packs) ? lock_folder(packs) : -1;
    if (folder < 0) return;
    adopt(packs);
    if (count_fresh(packs)) {
        s->given_up = !verify_weights(s) || write_file(packs) != TN_OK;
        if (!s->given_up) adopt(packs);
        s->given_up |= count_fresh(packs) > 0;
    }
    close(folder);
}

void tn_packs_publish(tn_packs *packs) {
    if (!packs->share) return;
    pthread_mutex_lock(&packs->lock);
    if (!packs->share->given_up && count_fresh(packs)) publish(packs);
    pthread_mutex_unlock(&packs->lock);
}
