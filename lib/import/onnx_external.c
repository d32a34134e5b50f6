/* External data: tensors whose bytes lie in files beside the model.
 *
 * A location is a path below the model's folder, and never leads out of it: no absolute path, no "..". Each file is
 * mapped once, kept by the graph, and used in place. */
#include "import/onnx.h"

static bool stays_inside(tn_string location) {
    if (location.size == 0 || location.size > 1024 || location.data[0] == '/') return false;
    size_t start = 0;
    for (size_t i = 0; i <= location.size; i++) {
        if (i < location.size && (location.data[i] == '\0' || location.data[i] == '\\')) return false;
        if (i < location.size && location.data[i] != '/') continue;
        if (i - start == 2 && memcmp(location.data + start, "..", 2) == 0) return false;
        start = i + 1;
    }
    return true;
}

static tn_status open_file(tn_importer *importer, tn_string location, tn_external_file **out) {
    for (tn_external_file *f = importer->files; f; f = f->next)
        if (tn_string_equal(f->location, location)) {
            *out = f;
            return TN_OK;
        }
    char *path = tn_region_printf(importer->scratch, "%s/%.*s", importer->folder, (int)location.size, location.data);
    tn_external_file *file = path ? tn_region_alloc(importer->scratch, sizeof *file) : NULL;
    if (!file) return TN_E_MEMORY;
    *file = (tn_external_file){.next = importer->files, .location = location};
    TN_TRY(tn_map_file(path, &file->contents));
    TN_TRY(tn_keep_contents(importer->root, file->contents));
    importer->files = *out = file;
    return TN_OK;
}

/* The contents of the file, or of the section, that the tensor names. */
static tn_status find_contents(tn_importer *importer, tn_string location, tn_string *contents) {
    int size = (int)TN_MIN(location.size, 200u);
    const char *text = location.data ? location.data : "";
    if (importer->location) {
        *contents = importer->weights;
        if (tn_string_equal(location, tn_string_of(importer->location))) return TN_OK;
        return tn_fail(TN_E_FORMAT, "external data at '%.*s': in a model file they are at '%s'", size, text,
                       importer->location);
    }
    if (!stays_inside(location))
        return tn_fail(TN_E_FORMAT, "external data at '%.*s': the location must be a path inside the model's folder",
                       size, text);
    if (!importer->folder)
        return tn_fail(TN_E_UNSUPPORTED, "external data at '%.*s', but no folder was given to look in", size, text);
    tn_external_file *file;
    TN_TRY(open_file(importer, location, &file));
    *contents = file->contents;
    return TN_OK;
}

tn_status tn_onnx_external(tn_importer *importer, const tn_onnx_tensor *t, tn_string *bytes) {
    tn_string contents = {NULL, 0};
    TN_TRY(find_contents(importer, t->location, &contents));
    if (t->offset > contents.size || t->bytes > contents.size - t->offset)
        return tn_fail(TN_E_FORMAT,
                       "external data: %zu bytes at offset %llu reach beyond the end of '%.*s' (%zu bytes)", t->bytes,
                       (unsigned long long)t->offset, (int)t->location.size, t->location.data, contents.size);
    *bytes = (tn_string){contents.data ? contents.data + t->offset : NULL, t->bytes};
    return TN_OK;
}
