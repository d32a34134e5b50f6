/* Reading backups: see tenon/backup.h. All of it is hostile until its digest was found right, and after that no part may
 * lie outside of the file or have a name that leads out of a store. */
#include "store/backup.h"
#include "base/deflate.h"
#include "import/import.h"
#include "model/file.h"

const uint8_t tn_backup_magic[8] = {0x89, 'T', 'N', 'B', '\r', '\n', 0x1a, '\n'};

/* trust/FILE: no folders in it, and no hidden files. */
static bool is_trust(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.";
    return strncmp(name, "trust/", 6) == 0 && name[6] && name[6] != '.' && strlen(name) < 60 &&
           strspn(name + 6, letters) == strlen(name + 6);
}

static bool is_name(const char *name) {
    char digest[TN_STORE_DIGEST];
    return strcmp(name, "index.json") == 0 || strcmp(name, "audit.log") == 0 || is_trust(name) ||
           (strncmp(name, "blobs/sha256/", 13) == 0 && tn_store_digest_of_name(name + 13, digest));
}

static uint64_t number(const json_t *part, const char *key) {
    json_int_t value = json_integer_value(json_object_get(part, key));
    return value < 0 ? UINT64_MAX : (uint64_t)value;
}

static tn_status check_part(const tn_backup *b, const json_t *part, uint64_t end) {
    const char *name;
    uint64_t offset = number(part, "offset"), stored = number(part, "stored"), length = number(part, "length");
    char digest[TN_STORE_DIGEST];
    TN_TRY(tn_json_text(part, "a part", "name", &name));
    TN_TRY(tn_json_copy(part, name, "digest", digest, sizeof digest));
    if (!is_name(name)) return tn_fail(TN_E_FORMAT, "there is no file '%.100s' in stores", name);
    if (offset < TN_BACKUP_HEADER || offset > end || stored > end - offset)
        return tn_fail(TN_E_FORMAT, "the part '%s' does not lie in the file", name);
    if (!json_is_true(json_object_get(part, "deflated")) ? length != stored : length / TN_DEFLATE_MOST > stored)
        return tn_fail(TN_E_FORMAT, "the part '%s' cannot have %llu bytes", name, (unsigned long long)length);
    json_t *borrowed = json_object_get(b->parts, name);
    if (borrowed) return tn_fail(TN_E_FORMAT, "the part '%s' is there twice", name);
    return json_object_set(b->parts, name, (json_t *)(uintptr_t)part) == 0 ? TN_OK : tn_fail(TN_E_MEMORY, "no memory");
}

static tn_status check_list(const tn_backup *b, const char *key) {
    const json_t *list = json_object_get(b->catalogue, key), *entry;
    size_t i;
    if (!json_is_array(list)) return tn_fail(TN_E_FORMAT, "its catalogue has no list '%s'", key);
    json_array_foreach((json_t *)(uintptr_t)list, i, entry) {
        const char *digest = json_string_value(entry);
        if (!digest || !tn_digest_is_valid(digest))
            return tn_fail(TN_E_FORMAT, "'%s' of its catalogue has what is no digest", key);
    }
    return TN_OK;
}

static tn_status check_catalogue(tn_backup *b, uint64_t end) {
    const json_t *parts = json_object_get(b->catalogue, "parts"), *part;
    const json_t *previous = json_object_get(b->catalogue, "previous");
    char text[TN_STORE_DIGEST];
    size_t i;
    if (!json_is_array(parts)) return tn_fail(TN_E_FORMAT, "its catalogue has no list 'parts'");
    b->parts = json_object();
    if (!b->parts) return tn_fail(TN_E_MEMORY, "no memory for a catalogue");
    json_array_foreach((json_t *)(uintptr_t)parts, i, part) TN_TRY(check_part(b, part, end));
    TN_TRY(check_list(b, "needed"));
    TN_TRY(check_list(b, "held"));
    TN_TRY(tn_json_copy(b->catalogue, "its catalogue", "created", text, 32));
    TN_TRY(tn_store_check_time(text));
    if (previous) TN_TRY(tn_json_copy(b->catalogue, "its catalogue", "previous", text, sizeof text));
    if (number(b->catalogue, "number") > INT32_MAX || (number(b->catalogue, "number") > 0) != (previous != NULL))
        return tn_fail(TN_E_FORMAT, "its catalogue has no number that fits");
    return TN_OK;
}

static tn_status read_header(tn_backup *b) {
    const uint8_t *head = (const uint8_t *)b->contents.data;
    uint8_t found[TN_SHA256_BYTES];
    tn_sha256 hash;
    if (b->contents.size < TN_BACKUP_HEADER || memcmp(head, tn_backup_magic, sizeof tn_backup_magic) != 0)
        return tn_fail(TN_E_FORMAT, "no backup: it does not begin with the magic bytes");
    int major = (int)tn_get_little(head + 8, 2), minor = (int)tn_get_little(head + 10, 2);
    uint64_t length = tn_get_little(head + 16, 8), size = tn_get_little(head + 24, 8);
    if (major != TN_BACKUP_MAJOR)
        return tn_fail(TN_E_UNSUPPORTED, "a backup of version %d.%d; this library reads version %d", major, minor,
                       TN_BACKUP_MAJOR);
    if (length != b->contents.size || size > TN_BACKUP_CATALOGUE_BYTES || size > length - TN_BACKUP_HEADER)
        return tn_fail(TN_E_FORMAT, "the file has %zu bytes, but its header says %llu: it was cut or added to",
                       b->contents.size, (unsigned long long)length);
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, head, 32);
    tn_sha256_update(&hash, head + length - size, (size_t)size);
    tn_sha256_final(&hash, found);
    if (memcmp(found, head + 32, sizeof found) != 0)
        return tn_fail(TN_E_FORMAT, "its SHA-256 is not that of header and catalogue: the file is damaged");
    memcpy(b->digest, "sha256:", 7);
    tn_sha256_text(found, b->digest + 7);
    TN_TRY(tn_json_parse("its catalogue", (const char *)head + length - size, (size_t)size, &b->catalogue));
    return check_catalogue(b, length - size);
}

tn_status tn_backup_parse(tn_string contents, const char *path, tn_backup *out) {
    *out = (tn_backup){.path = path, .contents = contents};
    tn_status status = read_header(out);
    if (status == TN_OK) return TN_OK;
    tn_backup_close(out);
    return tn_fail_context(status, "%s", path);
}

tn_status tn_backup_open(const char *path, tn_backup *out) {
    tn_string contents;
    *out = (tn_backup){0};
    TN_TRY(tn_map_file(path, &contents));
    tn_status status = tn_backup_parse(contents, path, out);
    if (status == TN_OK)
        out->mapped = true;
    else
        tn_unmap_contents(contents);
    return status;
}

void tn_backup_close(tn_backup *b) {
    if (b->mapped) tn_unmap_contents(b->contents);
    json_decref(b->parts);
    json_decref(b->catalogue);
    *b = (tn_backup){0};
}

const char *tn_backup_digest_at(const tn_backup *b, const char *list, size_t index) {
    return json_string_value(json_array_get(json_object_get(b->catalogue, list), index));
}

static tn_status inflate_pieces(const char *name, const uint8_t *at, uint64_t stored, uint64_t length,
                                tn_backup_write *write, void *context) {
    uint8_t *piece = tn_alloc(NULL, TN_BACKUP_PIECE);
    tn_status status = piece ? TN_OK : TN_E_MEMORY;
    while (length && status == TN_OK) {
        size_t size = (size_t)TN_MIN(length, (uint64_t)TN_BACKUP_PIECE);
        uint64_t n = stored < 4 ? UINT64_MAX : tn_get_little(at, 4);
        if (n > stored - 4 || !tn_inflate(at + 4, (size_t)n, piece, size))
            status = tn_fail(TN_E_FORMAT, "the part '%s' does not inflate to what the catalogue says", name);
        if (status != TN_OK) break;
        at += 4 + n;
        stored -= 4 + n;
        length -= size;
        status = write(context, piece, size);
    }
    if (status == TN_OK && stored) status = tn_fail(TN_E_FORMAT, "the part '%s' has bytes behind its end", name);
    if (piece) tn_free(NULL, piece, TN_BACKUP_PIECE);
    return status;
}

static tn_status read_part(const tn_backup *b, const char *name, const json_t *part, tn_backup_write *write,
                           void *context) {
    uint64_t stored = number(part, "stored"), length = number(part, "length");
    const char *at = b->contents.data + number(part, "offset");
    char found[TN_STORE_DIGEST];
    tn_digest_of(at, (size_t)stored, found);
    if (strcmp(found, json_string_value(json_object_get(part, "digest"))) != 0)
        return tn_fail(TN_E_FORMAT, "the part '%s' is damaged: its bytes have the digest %s", name, found);
    if (json_is_true(json_object_get(part, "deflated")))
        return inflate_pieces(name, (const uint8_t *)at, stored, length, write, context);
    for (uint64_t done = 0; done < length;) {
        size_t n = (size_t)TN_MIN(length - done, (uint64_t)TN_BACKUP_PIECE);
        TN_TRY(write(context, at + done, n));
        done += n;
    }
    return TN_OK;
}

tn_status tn_backup_read(const tn_backup *b, const char *name, tn_backup_write *write, void *context) {
    const json_t *part = json_object_get(b->parts, name);
    if (!part) return tn_fail(TN_E_NOT_FOUND, "%s: it has no part '%s'", b->path, name);
    tn_status status = read_part(b, name, part, write, context);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "%s", b->path);
}

typedef struct prefix {
    const char *log;
    size_t left;
    bool differs;
} prefix;

static tn_status compare_log(void *context, const void *data, size_t size) {
    prefix *p = context;
    p->differs = p->differs || size > p->left || memcmp(p->log, data, size) != 0;
    if (p->differs) return TN_OK;
    p->log += size;
    p->left -= size;
    return TN_OK;
}

tn_status tn_backup_is_of(const tn_backup *b, const char *log, size_t size) {
    prefix p = {log, size, false};
    TN_TRY(tn_backup_read(b, "audit.log", compare_log, &p));
    return !p.differs ? TN_OK
                      : tn_fail(TN_E_STATE,
                                "'%s' is of another store, or of one that was restored to an earlier state "
                                "since",
                                b->path);
}

void tn_backup_tell(const tn_backup *b, tn_backup_state *out) {
    tn_backup_state state = {.struct_size = out->struct_size, .bytes = b->contents.size};
    const char *name, *previous = json_string_value(json_object_get(b->catalogue, "previous"));
    json_t *part;
    state.number = (int)number(b->catalogue, "number");
    memcpy(state.digest, b->digest, sizeof state.digest);
    if (previous) memcpy(state.previous, previous, strlen(previous) + 1);
    const char *created = json_string_value(json_object_get(b->catalogue, "created"));
    memcpy(state.created, created, strlen(created) + 1);
    json_object_foreach(b->parts, name, part) {
        state.parts++;
        state.blobs += name[0] == 'b';
    }
    memcpy(out, &state, TN_MIN(out->struct_size, sizeof state));
}

static tn_status add_to_digest(void *digester, const void *data, size_t size) {
    tn_digester_add(digester, data, size);
    return TN_OK;
}

/* A blob's name is the digest of its bytes. */
static tn_status check_bytes(const tn_backup *b, const char *name) {
    tn_digester *digester;
    char found[TN_STORE_DIGEST];
    TN_TRY(tn_digester_create(&digester));
    tn_status status = tn_backup_read(b, name, add_to_digest, digester);
    tn_digester_end(digester, found);
    if (status != TN_OK || name[0] != 'b' || strcmp(found + 7, name + 13) == 0) return status;
    return tn_fail(TN_E_FORMAT, "%s: the part '%s' has bytes of the digest %s", b->path, name, found);
}

tn_status tn_backup_verify(const char *path, tn_backup_state *out_state) {
    tn_backup b;
    const char *name;
    json_t *part;
    TN_TRY(tn_backup_open(path, &b));
    tn_status status = TN_OK;
    json_object_foreach(b.parts, name, part) if (status == TN_OK) status = check_bytes(&b, name);
    if (status == TN_OK && out_state) tn_backup_tell(&b, out_state);
    tn_backup_close(&b);
    return status;
}
