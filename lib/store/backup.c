/* Writing backups: see tenon/backup.h. The index, the log and what is trusted are read together, with the lock held, and
 * make the state; blobs do not change, and are copied afterwards, while others work. */
#include "store/backup.h"
#include "base/deflate.h"
#include "base/output.h"
#include "model/file.h"
#include "store/parts.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { SMALL = TN_BACKUP_PIECE + (64 << 10) }; /* more than a piece ever becomes */

typedef struct writer {
    tn_store *store;
    tn_output output;
    tn_backup before; /* of options.since; zeros */
    bool compress;
    json_t *parts, *needed, *held; /* the last two: digests as members */
    json_t *texts;                 /* small files by name, as they were with the lock held */
    uint8_t *piece, *small;        /* of a part, and deflated */
    size_t small_used;
    bool small_full;
} writer;

/* ---- the state ---- */

static tn_status keep_file(writer *w, const char *name) {
    char *text;
    size_t size;
    TN_TRY(tn_store_read(w->store, name, TN_STORE_INDEX_BYTES, &text, &size));
    json_t *copy = json_stringn_nocheck(text, size);
    tn_store_free_text(text, size);
    return json_object_set_new(w->texts, name, copy) == 0 ? TN_OK : tn_fail(TN_E_MEMORY, "no memory for '%s'", name);
}

static tn_status keep_trust(const tn_store *s, const char *name, void *context) {
    char path[300];
    (void)s;
    snprintf(path, sizeof path, "trust/%s", name);
    return keep_file(context, path);
}

static tn_status note_blob(tn_parts *p, const char *digest, const uint64_t *size) {
    writer *w = p->context;
    (void)size;
    if (json_object_get(w->needed, digest)) return TN_OK;
    return json_object_set_new(w->needed, digest, json_true()) == 0 ? TN_OK : tn_fail(TN_E_MEMORY, "no memory");
}

static tn_status give_up(tn_parts *p, tn_status status) {
    return tn_fail_context(status, "nothing is backed up of '%s' while it is damaged (tn_store_repair)",
                           p->store->path);
}

static tn_status read_state(writer *w) {
    tn_parts parts = {w->store, note_blob, give_up, w};
    TN_TRY(keep_file(w, "index.json"));
    TN_TRY(keep_file(w, "audit.log"));
    if (faccessat(w->store->folder, "trust", F_OK, 0) == 0)
        TN_TRY(tn_store_each_file(w->store, "trust", keep_trust, w));
    return tn_parts_each_entry(&parts);
}

/* A store that cannot be written to has nobody who writes to it. */
static tn_status take_state(writer *w) {
    tn_store *s = w->store;
    tn_status status = s->lock >= 0 ? tn_change_begin(s) : tn_index_read(s);
    if (status != TN_OK) return status;
    status = read_state(w);
    tn_change_end(s);
    return status;
}

/* ---- parts ---- */

static void put_small(void *context, const void *data, size_t size) {
    writer *w = context;
    w->small_full = w->small_full || size > SMALL - w->small_used;
    if (w->small_full) return;
    memcpy(w->small + w->small_used, data, size);
    w->small_used += size;
}

static tn_status deflate_piece(writer *w, size_t size) {
    tn_deflater d;
    w->small_used = 0;
    w->small_full = false;
    TN_TRY(tn_deflate_open(&d, put_small, w));
    tn_deflate_piece(&d, w->piece, size);
    TN_TRY(tn_deflate_close(&d));
    return w->small_full ? tn_fail(TN_E_INTERNAL, "a piece grows by being deflated") : TN_OK;
}

typedef struct part {
    uint64_t offset, length;
    tn_sha256 stored;
    bool deflated;
} part;

static void put(writer *w, part *p, const void *data, size_t size) {
    tn_output_write(&w->output, data, size);
    tn_sha256_update(&p->stored, data, size);
}

/* The first piece decides whether the part is deflated: weights mostly gain nothing. */
static tn_status put_piece(writer *w, part *p, size_t size) {
    uint8_t head[4];
    if (w->compress && (!p->length || p->deflated)) {
        TN_TRY(deflate_piece(w, size));
        if (!p->length) p->deflated = w->small_used + sizeof head < size;
    }
    p->length += size;
    if (p->deflated) {
        tn_put_little(head, sizeof head, w->small_used);
        put(w, p, head, sizeof head);
        put(w, p, w->small, w->small_used);
    } else {
        put(w, p, w->piece, size);
    }
    return w->output.status;
}

static part begin_part(writer *w) {
    part p = {.offset = w->output.position};
    tn_sha256_init(&p.stored);
    return p;
}

static tn_status end_part(writer *w, part *p, const char *name) {
    uint8_t hash[TN_SHA256_BYTES];
    char digest[TN_STORE_DIGEST] = "sha256:";
    tn_sha256_final(&p->stored, hash);
    tn_sha256_text(hash, digest + 7);
    json_t *row = json_pack("{s:s,s:I,s:I,s:I,s:b,s:s}", "name", name, "offset", (json_int_t)p->offset, "stored",
                            (json_int_t)(w->output.position - p->offset), "length", (json_int_t)p->length, "deflated",
                            (int)p->deflated, "digest", digest);
    if (row && json_array_append_new(w->parts, row) == 0) return w->output.status;
    return tn_fail(TN_E_MEMORY, "no memory for a catalogue");
}

static tn_status put_text(writer *w, const char *name, const json_t *text) {
    const char *from = json_string_value(text);
    size_t size = json_string_length(text);
    part p = begin_part(w);
    while (size) {
        size_t n = TN_MIN(size, (size_t)TN_BACKUP_PIECE);
        memcpy(w->piece, from, n);
        TN_TRY(put_piece(w, &p, n));
        from += n;
        size -= n;
    }
    return end_part(w, &p, name);
}

/* As many bytes as there are, up to a whole piece. */
static tn_status read_piece(writer *w, int file, const char *name, size_t *out_size) {
    *out_size = 0;
    while (*out_size < TN_BACKUP_PIECE) {
        ssize_t n = read(file, w->piece + *out_size, TN_BACKUP_PIECE - *out_size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return tn_store_io_error(w->store, "read", name);
        if (n == 0) break;
        *out_size += (size_t)n;
    }
    return TN_OK;
}

static tn_status copy_blob(writer *w, int file, const char *digest, const char *name) {
    tn_digester *digester;
    char found[TN_STORE_DIGEST];
    size_t size;
    part p = begin_part(w);
    TN_TRY(tn_digester_create(&digester));
    tn_status status;
    while ((status = read_piece(w, file, name, &size)) == TN_OK && size) {
        tn_digester_add(digester, w->piece, size);
        status = put_piece(w, &p, size);
        if (status != TN_OK) break;
    }
    tn_digester_end(digester, found);
    if (status == TN_OK && strcmp(found, digest) != 0)
        status = tn_fail(TN_E_FORMAT, "'%s/%s' is damaged: its bytes have the digest %s", w->store->path, name, found);
    return status == TN_OK ? end_part(w, &p, name) : status;
}

static tn_status put_blob(writer *w, const char *digest) {
    char name[96];
    int file;
    uint64_t size;
    tn_blob_name(digest, name);
    tn_status status = tn_blob_open(w->store, digest, &file, &size);
    if (status == TN_E_NOT_FOUND)
        return tn_fail_context(status, "it was removed and collected while '%s' was backed up; try again",
                               w->store->path);
    if (status != TN_OK) return status;
    status = copy_blob(w, file, digest, name);
    close(file);
    return status;
}

/* ---- the whole ---- */

static bool is_held(const writer *w, const char *digest) {
    return json_object_get(w->held, digest) != NULL;
}

static tn_status put_parts(writer *w) {
    const char *name;
    json_t *value;
    json_object_foreach(w->texts, name, value) TN_TRY(put_text(w, name, value));
    json_object_foreach(w->needed, name, value) {
        if (is_held(w, name)) continue;
        TN_TRY(put_blob(w, name));
        if (json_object_set_new(w->held, name, json_true()) != 0) return tn_fail(TN_E_MEMORY, "no memory");
    }
    return TN_OK;
}

static json_t *names_of(json_t *object) {
    json_t *list = json_array(), *value;
    const char *name;
    json_object_foreach(object, name, value) if (list && json_array_append_new(list, json_string(name)) != 0) {
        json_decref(list);
        list = NULL;
    }
    return list;
}

static tn_status put_catalogue(writer *w) {
    uint8_t head[TN_BACKUP_HEADER] = {0};
    char now[32];
    bool first = !w->before.catalogue;
    json_int_t number = first ? 0 : json_integer_value(json_object_get(w->before.catalogue, "number")) + 1;
    tn_store_time_text(time(NULL), now);
    json_t *catalogue = json_pack("{s:I,s:s,s:O,s:o,s:o}", "number", number, "created", now, "parts", w->parts,
                                  "needed", names_of(w->needed), "held", names_of(w->held));
    if (catalogue && !first) json_object_set_new(catalogue, "previous", json_string(w->before.digest));
    char *text = catalogue ? tn_json_dump(catalogue) : NULL;
    json_decref(catalogue);
    if (!text) return tn_fail(TN_E_MEMORY, "no memory for a catalogue");
    size_t size = strlen(text);
    tn_status status =
        size <= TN_BACKUP_CATALOGUE_BYTES
            ? TN_OK
            : tn_fail(TN_E_LIMIT, "a catalogue of %zu bytes; at most %u are read", size, TN_BACKUP_CATALOGUE_BYTES);
    tn_sha256 hash;
    tn_output_write(&w->output, text, size);
    memcpy(head, tn_backup_magic, sizeof tn_backup_magic);
    tn_put_little(head + 8, 2, TN_BACKUP_MAJOR);
    tn_put_little(head + 10, 2, TN_BACKUP_MINOR);
    tn_put_little(head + 16, 8, w->output.position);
    tn_put_little(head + 24, 8, size);
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, head, 32);
    tn_sha256_update(&hash, text, size);
    tn_sha256_final(&hash, head + 32);
    tn_output_patch(&w->output, 0, head, sizeof head);
    free(text);
    return status;
}

static tn_status write_file(writer *w, const char *path) {
    static const uint8_t zeros[TN_BACKUP_HEADER];
    TN_TRY(tn_output_open(&w->output, path));
    tn_output_write(&w->output, zeros, sizeof zeros);
    tn_status status = put_parts(w);
    if (status == TN_OK) status = put_catalogue(w);
    if (status == TN_OK) return tn_output_commit(&w->output);
    tn_output_abort(&w->output);
    return status;
}

/* The earlier backup must be of this store: its log is the beginning of ours. */
static tn_status open_before(writer *w, const char *path) {
    TN_TRY(tn_backup_open(path, &w->before));
    const json_t *log = json_object_get(w->texts, "audit.log");
    TN_TRY(tn_backup_is_of(&w->before, json_string_value(log), json_string_length(log)));
    const char *digest;
    for (size_t i = 0; (digest = tn_backup_digest_at(&w->before, "held", i)); i++)
        if (json_object_set_new(w->held, digest, json_true()) != 0) return tn_fail(TN_E_MEMORY, "no memory");
    return TN_OK;
}

tn_status tn_store_backup(tn_store *s, const char *path, const tn_store_backup_options *options,
                          tn_backup_state *out_state) {
    tn_store_backup_options o = {.struct_size = sizeof o};
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    writer w = {.store = s,
                .compress = o.compress,
                .parts = json_array(),
                .needed = json_object(),
                .held = json_object(),
                .texts = json_object(),
                .piece = tn_alloc(NULL, TN_BACKUP_PIECE),
                .small = tn_alloc(NULL, SMALL)};
    bool good = w.parts && w.needed && w.held && w.texts && w.piece && w.small;
    tn_status status = good ? take_state(&w) : tn_fail(TN_E_MEMORY, "no memory for a backup");
    if (status == TN_OK && o.since) status = open_before(&w, o.since);
    if (status == TN_OK) status = write_file(&w, path);
    tn_backup_close(&w.before);
    json_decref(w.parts);
    json_decref(w.needed);
    json_decref(w.held);
    json_decref(w.texts);
    if (w.piece) tn_free(NULL, w.piece, TN_BACKUP_PIECE);
    if (w.small) tn_free(NULL, w.small, SMALL);
    tn_backup made;
    if (status != TN_OK || !out_state) return status;
    TN_TRY(tn_backup_open(path, &made));
    tn_backup_tell(&made, out_state);
    tn_backup_close(&made);
    return TN_OK;
}
