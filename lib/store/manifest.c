/* Manifests and configurations of CNCF's ModelPack (github.com/modelpack/model-spec, docs/spec.md and docs/config.md).
 * What is Tenon's own of them stands in annotations org.tenon.*. */
#include "store/store.h"

#define TITLE "org.opencontainers.image.title"
#define VERSION "org.opencontainers.image.version"
#define CREATED "org.opencontainers.image.created"
#define BASE "org.opencontainers.image.base.digest"
#define FILE_PATH "org.cncf.model.filepath"

static bool set_text(json_t *object, const char *key, const char *text) {
    return !text || json_object_set_new(object, key, json_string(text)) == 0;
}

static json_t *make_config(const tn_store_put_options *options, const tn_store_version *v) {
    json_t *config =
        json_pack("{s:{s:s,s:s,s:s},s:{},s:{s:s,s:[s]}}", "descriptor", "name", v->name, "version", v->version,
                  "createdAt", v->created, "config", "modelfs", "type", "layers", "diffIds", v->file_digest);
    json_t *descriptor = json_object_get(config, "descriptor");
    bool good = config && set_text(descriptor, "description", options->description);
    if (good && options->licence)
        good = json_object_set_new(descriptor, "licenses", json_pack("[s]", options->licence)) == 0;
    if (good) return config;
    json_decref(config);
    return NULL;
}

static json_t *make_manifest(const tn_store_version *v, const char *file_name) {
    json_t *manifest = json_pack("{s:i,s:s,s:s,s:{s:s},s:[{s:s,s:s,s:I,s:{s:s}}],s:{s:s,s:s,s:s}}", "schemaVersion", 2,
                                 "mediaType", TN_OCI_MANIFEST, "artifactType", TN_MODEL_MANIFEST, "config", "mediaType",
                                 TN_MODEL_CONFIG, "layers", "mediaType", TN_MODEL_WEIGHT, "digest", v->file_digest,
                                 "size", (json_int_t)v->file_bytes, "annotations", FILE_PATH, file_name, "annotations",
                                 TITLE, v->name, VERSION, v->version, CREATED, v->created);
    if (manifest && v->parent[0] && !set_text(json_object_get(manifest, "annotations"), BASE, v->parent)) {
        json_decref(manifest);
        return NULL;
    }
    return manifest;
}

tn_status tn_oci_manifest_make(const tn_store_put_options *options, const tn_store_version *version,
                               const char *file_name, json_t **out_config, json_t **out_manifest) {
    *out_config = make_config(options, version);
    *out_manifest = *out_config ? make_manifest(version, file_name) : NULL;
    if (*out_manifest) return TN_OK;
    json_decref(*out_config);
    *out_config = NULL;
    return tn_fail(TN_E_INVALID, "a text about the model, or its file's name '%s', is not valid UTF-8", file_name);
}

tn_status tn_oci_manifest_set_config(json_t *manifest, const char *digest, size_t size) {
    json_t *config = json_object_get(manifest, "config");
    if (set_text(config, "digest", digest) && json_object_set_new(config, "size", json_integer((json_int_t)size)) == 0)
        return TN_OK;
    return tn_fail(TN_E_MEMORY, "no memory for a manifest");
}

tn_status tn_oci_manifest_part(const json_t *manifest, const char *what, int i, char digest[TN_STORE_DIGEST],
                               uint64_t *out_size) {
    const json_t *layers = json_object_get(manifest, "layers");
    const json_t *part = i < 0 ? json_object_get(manifest, "config") : json_array_get(layers, (size_t)i);
    if (i >= 0 && (size_t)i >= json_array_size(layers)) return TN_E_NOT_FOUND;
    const json_t *size = json_object_get(part, "size");
    TN_TRY(tn_json_copy(part, what, "digest", digest, TN_STORE_DIGEST));
    if (!tn_digest_is_valid(digest)) return tn_fail(TN_E_FORMAT, "%s: '%s' is no SHA-256 digest", what, digest);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return tn_fail(TN_E_FORMAT, "%s: '%s' has no size", what, digest);
    *out_size = (uint64_t)json_integer_value(size);
    return TN_OK;
}

tn_status tn_oci_manifest_read(const json_t *manifest, const char *digest, tn_store_version *v) {
    const char *type, *what = digest;
    const json_t *annotations = json_object_get(manifest, "annotations");
    *v = (tn_store_version){0};
    memcpy(v->digest, digest, sizeof v->digest);
    TN_TRY(tn_json_text(manifest, what, "artifactType", &type));
    if (strcmp(type, TN_MODEL_MANIFEST) != 0)
        return tn_fail(TN_E_FORMAT, "%s is of type '%s'; expected %s", what, type, TN_MODEL_MANIFEST);
    TN_TRY(tn_json_copy(annotations, what, TITLE, v->name, sizeof v->name));
    TN_TRY(tn_json_copy(annotations, what, VERSION, v->version, sizeof v->version));
    TN_TRY(tn_json_copy(annotations, what, CREATED, v->created, sizeof v->created));
    if (json_object_get(annotations, BASE)) {
        TN_TRY(tn_json_copy(annotations, what, BASE, v->parent, sizeof v->parent));
        if (!tn_digest_is_valid(v->parent)) return tn_fail(TN_E_FORMAT, "%s: '%s' is no digest", what, v->parent);
    }
    TN_TRY(tn_store_check_name(v->name));
    TN_TRY(tn_store_check_version(v->version));
    TN_TRY(tn_store_check_time(v->created));
    return tn_oci_manifest_part(manifest, what, 0, v->file_digest, &v->file_bytes);
}

tn_status tn_version_read(const tn_store *s, const char *digest, tn_store_version *out_version) {
    json_t *manifest;
    char copy[TN_STORE_DIGEST]; /* it may be a member of *out_version */
    if (!tn_digest_is_valid(digest)) return tn_fail(TN_E_INVALID, "'%.80s' is no digest", digest);
    memcpy(copy, digest, sizeof copy);
    TN_TRY(tn_blob_json(s, copy, &manifest));
    tn_status status = tn_oci_manifest_read(manifest, copy, out_version);
    json_decref(manifest);
    return status;
}
