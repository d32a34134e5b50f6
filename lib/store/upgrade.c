/* Making the next version of a model: see tenon/upgrade.h. All of it happens beside the store, but for the last step,
 * tn_store_put, which is there whole or not at all. */
#include <tenon/model_file.h>
#include <tenon/upgrade.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/element.h"
#include "base/tensor.h"
#include "graph/graph.h"
#include "model/manifest.h"
#include "model/safetensors.h"
#include "model/self_test.h"
#include "store/module.h"
#include "store/store.h"

typedef struct upgrade {
    tn_store *store;
    tn_upgrade_options options;
    tn_upgrade_result result;
    char version[TN_STORE_NAME];
    char path[256];        /* of the new file, in the journal until it is put */
    tn_model *old_model;   /* for its self-test; NULL where there is none */
    tn_graph *old, *file;  /* of the version, and of the file */
    tn_graph *into, *from; /* structure, weights: the two in one order or the other */
    tn_region *region;
    const char *manifest;
} upgrade;

/* ---- weights ---- */

static int by_name(const void *a, const void *b) {
    return strcmp((*(const tn_graph_value *const *)a)->name, (*(const tn_graph_value *const *)b)->name);
}

static bool is_parameter(const tn_graph_value *v) {
    return v->constant && v->name && *v->name && v->constant->dtype != TN_INT64 && v->constant->dtype != TN_BOOL &&
           v->constant->dtype != TN_STRING;
}

static tn_status misfit(const upgrade *u, const tn_graph_value *v, const tn_graph_value *other) {
    char expected[128], found[128] = "nothing of that name";
    tn_shape_text(expected, sizeof expected, v->constant->dtype, v->constant->rank, v->constant->dims);
    if (other) tn_shape_text(found, sizeof found, other->constant->dtype, other->constant->rank, other->constant->dims);
    return tn_fail(TN_E_SHAPE, "'%s' has not the structure of %s:%s: of '%.200s' it has %s; expected %s",
                   u->options.parameters, u->result.before.name, u->result.before.version, v->name, found, expected);
}

/* Points the constants of the structure at the other graph's data, which must outlive what is done with it. */
static tn_status carry(upgrade *u) {
    size_t count = 0;
    const tn_graph_value **named = tn_region_array(u->region, (size_t)u->from->value_count + 1, sizeof *named);
    if (!named) return TN_E_MEMORY;
    for (int i = 0; i < u->from->value_count; i++)
        if (is_parameter(&u->from->values[i])) named[count++] = &u->from->values[i];
    qsort(named, count, sizeof *named, by_name);
    for (int i = 0; i < u->into->value_count; i++) {
        tn_graph_value *v = &u->into->values[i];
        const tn_graph_value *key = v;
        if (!is_parameter(v)) continue;
        const tn_graph_value **found = bsearch(&key, named, count, sizeof *named, by_name);
        if (found && tn_tensor_is_alike(v->constant, (*found)->constant)) {
            v->constant = (*found)->constant;
            u->result.carried++;
        } else if (u->options.parameters && tn_dtype_is_float(v->constant->dtype)) {
            return misfit(u, v, found ? *found : NULL);
        } else {
            u->result.own++;
        }
    }
    return u->result.carried ? TN_OK
                             : tn_fail(TN_E_NOT_FOUND, "'%s' and %s:%s have no weight in common, by name and shape",
                                       u->options.structure ? u->options.structure : u->options.parameters,
                                       u->result.before.name, u->result.before.version);
}

/* ---- what it says of itself ---- */

static tn_status choose_version(upgrade *u) {
    const char *old = u->result.before.version, *wanted = u->options.version;
    int64_t part[3] = {0};
    int count;
    tn_semver_read_core(old, part, &count);
    if (!wanted && !u->options.parameters)
        snprintf(u->version, sizeof u->version, "%lld.%lld.0", (long long)part[0], (long long)part[1] + 1);
    else if (!wanted)
        snprintf(u->version, sizeof u->version, "%lld.%lld.%lld", (long long)part[0], (long long)part[1],
                 (long long)part[2] + 1);
    else
        TN_TRY(tn_store_check_version(wanted));
    if (wanted) memcpy(u->version, wanted, strlen(wanted) + 1);
    if (tn_semver_valid(u->version) && tn_semver_compare(u->version, old) > 0) return TN_OK;
    return tn_fail(TN_E_INVALID, "%s does not follow %s; a new version is a higher one", u->version, old);
}

static tn_status make_manifest(upgrade *u) {
    const char *text = tn_graph_manifest(u->old), *own = tn_graph_manifest(u->file);
    const char *digest = tn_graph_digest(u->old), *slash = strrchr(u->result.before.name, '/');
    bool own_kind = u->options.structure != NULL;
    tn_manifest_node *root;
    tn_string out;
    if (own_kind && own) text = own;
    if (!text)
        text = tn_region_printf(u->region, "name: %s\nversion: 0.0.0\n", slash ? slash + 1 : u->result.before.name);
    if (!text) return TN_E_MEMORY;
    TN_TRY(tn_manifest_read_yaml((tn_string){text, strlen(text)}, u->region, &root));
    TN_TRY(tn_manifest_set_text(u->region, root, "version", u->version));
    if (digest) TN_TRY(tn_manifest_set_text(u->region, root, "parent", digest));
    tn_manifest_drop(root, "created");
    tn_manifest_drop(root, "metrics");
    if (own_kind && tn_manifest_child(root, "host")) tn_manifest_drop(tn_manifest_child(root, "host"), "arena_bytes");
    if (own_kind && !own) tn_manifest_drop(root, "inputs"), tn_manifest_drop(root, "outputs");
    TN_TRY(tn_manifest_check(root, u->region, true));
    TN_TRY(tn_manifest_print(root, u->region, &out));
    u->manifest = out.data;
    return TN_OK;
}

/* ---- the file ---- */

static tn_status save(upgrade *u, const tn_self_test *test) {
    tn_model_file_options options = {
        .struct_size = sizeof options, .manifest = u->manifest, .self_test = u->result.test_cases ? test : NULL};
    u->into->self_test = (tn_string){NULL, 0}; /* of other weights */
    return tn_graph_save(u->into, u->path, &options);
}

static tn_status make_file(upgrade *u) {
    tn_model *model = NULL;
    tn_self_test *test = NULL, *old = NULL;
    tn_model_options whole = {.struct_size = sizeof whole, .verify_weights = true};
    tn_status status = save(u, NULL);
    if (status == TN_OK) status = tn_model_load(u->path, &whole, &model);
    if (status == TN_OK && u->old_model) {
        tn_status has = tn_self_test_of_model(u->old_model, &old);
        status = has == TN_E_NOT_FOUND ? TN_OK : has;
    }
    if (old) status = tn_self_test_again(old, model, &test, &u->result.test_cases);
    tn_self_test_destroy(old);
    tn_model_destroy(model);
    model = NULL;
    if (status == TN_OK && u->result.test_cases) {
        status = save(u, test);
        if (status == TN_OK) status = tn_model_load(u->path, &whole, &model);
        if (status == TN_OK) status = tn_self_test_run(test, model, NULL, NULL);
        tn_model_destroy(model);
    }
    tn_self_test_destroy(test);
    return status;
}

static tn_status load(upgrade *u, const char *reference) {
    tn_store *s = u->store;
    tn_opened opened;
    TN_TRY(tn_store_find(s, reference, &u->result.before));
    TN_TRY(choose_version(u));
    TN_TRY(tn_version_open(s, u->result.before.digest, &opened));
    tn_status status = tn_model_load(opened.path, NULL, &u->old_model);
    if (status == TN_OK) status = tn_graph_load(opened.path, NULL, &u->old);
    TN_TRY(tn_version_close(s, &opened, status));
    const char *file = u->options.structure ? u->options.structure : u->options.parameters;
    size_t length = u->options.parameters ? strlen(u->options.parameters) : 0;
    if (length > 12 && strcmp(u->options.parameters + length - 12, ".safetensors") == 0)
        TN_TRY(tn_safetensors_load_graph(u->options.parameters, &u->file));
    else
        TN_TRY(tn_graph_load(file ? file : u->options.module, NULL, &u->file));
    u->into = u->options.structure ? u->file : u->old;
    u->from = u->options.structure ? u->old : u->file;
    int n = snprintf(u->path, sizeof u->path, "%s/journal/%ld-%s-%s.tenon", s->path, (long)getpid(),
                     u->result.before.name, u->version);
    if (n < 0 || (size_t)n >= sizeof u->path) {
        u->path[0] = 0;
        return tn_fail(TN_E_LIMIT, "the path of '%s' is too long", s->path);
    }
    for (char *at = u->path + strlen(s->path) + 9; *at; at++)
        if (*at == '/') *at = '-';
    return TN_OK;
}

static tn_status run(upgrade *u, const char *reference) {
    TN_TRY(load(u, reference));
    if (u->options.module)
        TN_TRY(tn_graph_put_module(u->into, u->file, &u->result.nodes_added, &u->result.nodes_gone));
    else
        TN_TRY(carry(u));
    TN_TRY(make_manifest(u));
    if (u->options.backup) TN_TRY(tn_store_backup(u->store, u->options.backup, NULL, NULL));
    TN_TRY(make_file(u));
    tn_store_put_options put = {.struct_size = sizeof put,
                                .name = u->result.before.name,
                                .version = u->version,
                                .parent = u->result.before.digest};
    return tn_store_put(u->store, u->path, &put, &u->result.after);
}

tn_status tn_upgrade(tn_store *s, const char *reference, const tn_upgrade_options *options,
                     tn_upgrade_result *out_result) {
    upgrade u = {.store = s, .region = tn_region_create(NULL)};
    if (options) memcpy(&u.options, options, TN_MIN(options->struct_size, sizeof u.options));
    tn_status status = u.region ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK && !!u.options.parameters + !!u.options.structure + !!u.options.module != 1)
        status = tn_fail(TN_E_INVALID, "an upgrade has either new parameters or a new structure or a module");
    if (status == TN_OK) status = run(&u, reference);
    if (u.path[0]) unlink(u.path);
    tn_model_destroy(u.old_model);
    tn_graph_destroy(u.old);
    tn_graph_destroy(u.file);
    tn_region_destroy(u.region);
    if (status == TN_OK && out_result) {
        u.result.struct_size = out_result->struct_size;
        memcpy(out_result, &u.result, TN_MIN(out_result->struct_size, sizeof u.result));
    }
    return status;
}
