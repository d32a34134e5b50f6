/* Reading model files: the header, the table, sections. The format is described in tenon/model_file.h.
 *
 * All of it is hostile until it is checked: numbers are compared with the file's real size before they are used, and
 * nothing of a section is looked at before its SHA-256 was found right. */
#include "model/file.h"
#include "base/deflate.h"
#include "base/runs.h"
#include "import/import.h"

const uint8_t tn_file_magic[8] = {0x89, 'T', 'N', 'M', '\r', '\n', 0x1a, '\n'};

bool tn_is_model_file(tn_string contents) {
    return contents.size >= sizeof tn_file_magic && memcmp(contents.data, tn_file_magic, sizeof tn_file_magic) == 0;
}

const char *tn_section_name(uint32_t kind) {
    static const char *const names[] = {NULL, "manifest", "graph", "weights", "optimizer", "self-test"};
    return kind && kind < TN_COUNT(names) ? names[kind] : "unknown";
}

const tn_section *tn_file_find(const tn_file_table *table, uint32_t kind) {
    for (int i = 0; i < table->count; i++)
        if (table->sections[i].kind == kind) return &table->sections[i];
    return NULL;
}

/* The header without its digest, and the table, are what the digest is of. */
static void digest_of(tn_string contents, int count, uint8_t digest[TN_SHA256_BYTES]) {
    tn_sha256 hash;
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, contents.data, 32);
    tn_sha256_update(&hash, contents.data + TN_FILE_HEADER, (size_t)count * TN_FILE_ROW);
    tn_sha256_final(&hash, digest);
}

static tn_status read_header(tn_string contents, tn_file_table *out) {
    const uint8_t *head = (const uint8_t *)contents.data;
    if (!tn_is_model_file(contents))
        return tn_fail(TN_E_FORMAT, "no model file: it does not begin with the magic bytes");
    if (contents.size < TN_FILE_HEADER)
        return tn_fail(TN_E_FORMAT, "the file has %zu bytes, and a header alone has %d", contents.size, TN_FILE_HEADER);
    out->major = (int)tn_get_little(head + 8, 2);
    out->minor = (int)tn_get_little(head + 10, 2);
    if (out->major != TN_FILE_MAJOR)
        return tn_fail(TN_E_UNSUPPORTED, "a model file of version %d.%d; this library reads version %d", out->major,
                       out->minor, TN_FILE_MAJOR);
    uint64_t count = tn_get_little(head + 12, 4), length = tn_get_little(head + 16, 8);
    if (count < 1 || count > TN_FILE_SECTIONS)
        return tn_fail(TN_E_FORMAT, "the header tells of %llu sections; 1 to %d are possible",
                       (unsigned long long)count, TN_FILE_SECTIONS);
    if (length != contents.size)
        return tn_fail(TN_E_FORMAT, "the file has %zu bytes, but its header says %llu: it was cut or added to",
                       contents.size, (unsigned long long)length);
    if (TN_FILE_HEADER + count * TN_FILE_ROW > contents.size)
        return tn_fail(TN_E_FORMAT, "the table of %llu sections reaches beyond the end of the file",
                       (unsigned long long)count);
    out->count = (int)count;
    uint8_t digest[TN_SHA256_BYTES];
    digest_of(contents, out->count, digest);
    if (memcmp(digest, head + 32, sizeof digest) != 0)
        return tn_fail(TN_E_FORMAT, "the header's SHA-256 is not that of header and table: the file is damaged");
    if (tn_get_little(head + 24, 8)) return tn_fail(TN_E_FORMAT, "bytes 24 to 31 of the header must be zero");
    memcpy(out->digest, "sha256:", 7);
    tn_sha256_text(digest, out->digest + 7);
    return TN_OK;
}

static tn_status check_size(const tn_section *s) {
    const char *name = tn_section_name(s->kind);
    unsigned long long length = s->length, stored = s->stored;
    if (!(s->flags & TN_SECTION_PACKED) && length != stored)
        return tn_fail(TN_E_FORMAT, "section '%s' is not deflated, but stored in %llu bytes and %llu long", name,
                       stored, length);
    if (length / (s->flags & TN_SECTION_RUNS ? TN_RUNS_MOST : TN_DEFLATE_MOST) > stored)
        return tn_fail(TN_E_FORMAT, "section '%s': %llu bytes cannot inflate to %llu", name, stored, length);
    if (s->kind == TN_SECTION_MANIFEST && length > TN_FILE_MANIFEST_BYTES)
        return tn_fail(TN_E_LIMIT, "a manifest of %llu bytes; at most %u are read", length, TN_FILE_MANIFEST_BYTES);
    if (s->kind == TN_SECTION_GRAPH && length > TN_FILE_GRAPH_BYTES)
        return tn_fail(TN_E_LIMIT, "a graph of %llu bytes; at most %u are read", length, TN_FILE_GRAPH_BYTES);
    if (s->kind == TN_SECTION_SELF_TEST && length > TN_FILE_GRAPH_BYTES)
        return tn_fail(TN_E_LIMIT, "a self-test of %llu bytes; at most %u are read", length, TN_FILE_GRAPH_BYTES);
    if (length > PTRDIFF_MAX) return tn_fail(TN_E_LIMIT, "section '%s' has %llu bytes", name, length);
    return TN_OK;
}

/* `end` is where what is before it ends; moves it behind this section. */
static tn_status check_section(const tn_file_table *table, int index, uint64_t *end) {
    const tn_section *s = &table->sections[index];
    const char *name = tn_section_name(s->kind);
    uint64_t start = (*end + TN_FILE_ALIGNMENT - 1) / TN_FILE_ALIGNMENT * TN_FILE_ALIGNMENT;
    uint32_t last = table->minor < TN_FILE_MINOR_SELF_TEST ? TN_SECTION_OPTIMIZER : TN_SECTION_SELF_TEST;
    bool known = s->kind >= TN_SECTION_MANIFEST && s->kind <= last;
    const uint32_t flags =
        table->minor < TN_FILE_MINOR_RUNS ? TN_SECTION_DEFLATED | TN_SECTION_MUST : TN_SECTION_PACKED | TN_SECTION_MUST;
    if (s->flags & ~flags || (s->flags & TN_SECTION_PACKED) == TN_SECTION_PACKED)
        return tn_fail(TN_E_UNSUPPORTED, "section '%s' has flags that this library does not know (%#x)", name,
                       s->flags);
    if (!known && (s->flags & TN_SECTION_MUST || table->minor <= TN_FILE_MINOR))
        return tn_fail(
            TN_E_UNSUPPORTED,
            "a section of kind %u, which no file of version %d.%d has that this library knows; a newer one may",
            s->kind, table->major, table->minor);
    for (int i = 0; i < index; i++)
        if (table->sections[i].kind == s->kind)
            return tn_fail(TN_E_FORMAT, "two sections '%s' (kind %u)", name, s->kind);
    if (s->offset != start)
        return tn_fail(TN_E_FORMAT, "section '%s' is at %llu; it must be at %llu, behind what is before it", name,
                       (unsigned long long)s->offset, (unsigned long long)start);
    if (!s->stored || start > table->contents.size || s->stored > table->contents.size - start)
        return tn_fail(TN_E_FORMAT, "section '%s': %llu bytes at %llu are not in a file of %zu bytes", name,
                       (unsigned long long)s->stored, (unsigned long long)start, table->contents.size);
    for (uint64_t i = *end; i < start; i++)
        if (table->contents.data[i])
            return tn_fail(TN_E_FORMAT, "byte %llu, between sections, must be zero", (unsigned long long)i);
    *end = start + s->stored;
    return check_size(s);
}

tn_status tn_file_table_read(tn_string contents, tn_file_table *out) {
    *out = (tn_file_table){.contents = contents};
    TN_TRY(read_header(contents, out));
    uint64_t end = TN_FILE_HEADER + (uint64_t)out->count * TN_FILE_ROW;
    for (int i = 0; i < out->count; i++) {
        const uint8_t *row = (const uint8_t *)contents.data + TN_FILE_HEADER + (size_t)i * TN_FILE_ROW;
        out->sections[i] = (tn_section){.kind = (uint32_t)tn_get_little(row, 4),
                                        .flags = (uint32_t)tn_get_little(row + 4, 4),
                                        .offset = tn_get_little(row + 8, 8),
                                        .stored = tn_get_little(row + 16, 8),
                                        .length = tn_get_little(row + 24, 8)};
        memcpy(out->sections[i].digest, row + 32, TN_SHA256_BYTES);
        TN_TRY(check_section(out, i, &end));
    }
    if (end != contents.size)
        return tn_fail(TN_E_FORMAT, "%llu bytes behind the last section", (unsigned long long)(contents.size - end));
    if (!tn_file_find(out, TN_SECTION_GRAPH)) return tn_fail(TN_E_FORMAT, "there is no graph in the file");
    return TN_OK;
}

tn_status tn_section_verify(const tn_file_table *table, const tn_section *section) {
    uint8_t digest[TN_SHA256_BYTES];
    tn_sha256_of(table->contents.data + section->offset, (size_t)section->stored, digest);
    if (memcmp(digest, section->digest, sizeof digest) == 0) return TN_OK;
    return tn_fail(TN_E_FORMAT, "section '%s' is damaged: its SHA-256 is not that of the table",
                   tn_section_name(section->kind));
}

tn_status tn_section_read(const tn_file_table *table, const tn_section *section, bool verify, tn_region *region,
                          tn_string *out) {
    bool deflated = section->flags & TN_SECTION_DEFLATED, packed = section->flags & TN_SECTION_PACKED;
    const char *stored = table->contents.data + section->offset;
    if (verify || packed) TN_TRY(tn_section_verify(table, section));
    *out = (tn_string){stored, (size_t)section->stored};
    if (!packed) return TN_OK;
    if (deflated && !TN_WITH_ZLIB)
        return tn_fail(TN_E_UNSUPPORTED, "section '%s' is deflated, and this build has no zlib (WITH_ZLIB=0)",
                       tn_section_name(section->kind));
    char *memory = tn_region_take(region, (size_t)section->length);
    if (!memory) return TN_E_MEMORY;
    *out = (tn_string){memory, (size_t)section->length};
    if ((deflated ? tn_inflate : tn_runs_read)(stored, (size_t)section->stored, memory, (size_t)section->length))
        return TN_OK;
    return tn_fail(TN_E_FORMAT, "section '%s' does not inflate to the %llu bytes that the table says",
                   tn_section_name(section->kind), (unsigned long long)section->length);
}

/* ---- tn_model_file ---- */

struct tn_model_file {
    tn_file_table table;
    tn_region *region; /* of what is inflated */
    bool mapped;
    tn_string bytes[TN_FILE_SECTIONS]; /* of the sections that were read */
};

static tn_status open_contents(tn_string contents, bool mapped, tn_model_file **out_file) {
    tn_model_file *file = tn_alloc_zero(NULL, sizeof *file);
    tn_status status = file ? TN_OK : TN_E_MEMORY;
    if (file && !(file->region = tn_region_create(NULL))) status = TN_E_MEMORY;
    if (status == TN_OK) status = tn_file_table_read(contents, &file->table);
    if (status != TN_OK) {
        if (mapped) tn_unmap_contents(contents);
        if (file) tn_region_destroy(file->region);
        tn_free(NULL, file, sizeof *file);
        return status;
    }
    file->mapped = mapped;
    *out_file = file;
    return TN_OK;
}

tn_status tn_model_file_open(const char *path, tn_model_file **out_file) {
    tn_string contents;
    *out_file = NULL;
    TN_TRY(tn_map_file(path, &contents));
    tn_status status = open_contents(contents, true, out_file);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "%s", path);
}

tn_status tn_model_file_open_memory(const void *data, size_t size, tn_model_file **out_file) {
    *out_file = NULL;
    return open_contents((tn_string){data, size}, false, out_file);
}

void tn_model_file_close(tn_model_file *file) {
    if (!file) return;
    if (file->mapped) tn_unmap_contents(file->table.contents);
    tn_region_destroy(file->region);
    tn_free(NULL, file, sizeof *file);
}

const char *tn_model_file_digest(const tn_model_file *file) {
    return file->table.digest;
}

void tn_model_file_version(const tn_model_file *file, int *out_major, int *out_minor) {
    *out_major = file->table.major;
    *out_minor = file->table.minor;
}

tn_status tn_model_file_section(const tn_model_file *file, int index, tn_section_info *out_info) {
    if (index < 0 || index >= file->table.count)
        return tn_fail(TN_E_NOT_FOUND, "section %d does not exist; the file has %d", index, file->table.count);
    const tn_section *s = &file->table.sections[index];
    tn_section_info info = {.struct_size = out_info->struct_size,
                            .kind = s->kind,
                            .deflated = s->flags & TN_SECTION_DEFLATED,
                            .offset = s->offset,
                            .stored = s->stored,
                            .length = s->length,
                            .name = tn_section_name(s->kind),
                            .runs = s->flags & TN_SECTION_RUNS};
    tn_sha256_text(s->digest, info.digest);
    memcpy(out_info, &info, TN_MIN(out_info->struct_size, sizeof info));
    return TN_OK;
}

tn_status tn_model_file_read(tn_model_file *file, uint32_t kind, const void **out_data, size_t *out_size) {
    const tn_section *section = tn_file_find(&file->table, kind);
    *out_data = NULL;
    *out_size = 0;
    if (!section) return tn_fail(TN_E_NOT_FOUND, "the file has no section '%s' (kind %u)", tn_section_name(kind), kind);
    tn_string *bytes = &file->bytes[section - file->table.sections];
    if (!bytes->data) {
        tn_string read;
        TN_TRY(tn_section_read(&file->table, section, true, file->region, &read));
        *bytes = read;
    }
    *out_data = bytes->data;
    *out_size = bytes->size;
    return TN_OK;
}

tn_status tn_model_file_verify(tn_model_file *file) {
    for (int i = 0; i < file->table.count; i++) TN_TRY(tn_section_verify(&file->table, &file->table.sections[i]));
    return TN_OK;
}
