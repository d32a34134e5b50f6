/* What an interrupted recipe leaves, and goes on from: see recipe.h. It is trusted no more than any file: what cannot be read
 * is made anew. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tenon/model_file.h>
#include <unistd.h>
#include "base/output.h"
#include "base/text.h"
#include "compress/recipe.h"
#include "data/keys.h"
#include "kernels/sha256.h"

enum { MOST_STATE = 8 << 20, DIGEST_TEXT = 2 * TN_SHA256_BYTES + 1 };

struct tn_recipe_state {
    tn_region *region;
    const char *folder;
    char digest[DIGEST_TEXT]; /* of recipe, graph and samples */
    tn_recipe_try *tries;     /* NULL: none */
    size_t count, capacity;
    tn_recipe_try best;
    bool has_best;
};

static const char *file_of(const tn_recipe_state *s, const char *path, const char *kind, char name[static 4096]) {
    int length = snprintf(name, 4096, "%s/%s.%s", s->folder, path, kind);
    return length > 0 && length < 4096 ? name : NULL;
}

/* ---- what it was kept of ---- */

static tn_status hash_samples(const tn_samples *samples, size_t inputs, tn_sha256 *hash) {
    const tn_tensor *set[64];
    if (inputs > TN_COUNT(set)) return tn_fail(TN_E_UNSUPPORTED, "a graph of %zu inputs; at most 64", inputs);
    for (int64_t index = 0;; index++) {
        memset(set, 0, sizeof set);
        tn_status status = samples->get(samples->context, index, set);
        if (status == TN_E_NOT_FOUND) return TN_OK;
        if (status != TN_OK) return status;
        for (size_t i = 0; i < inputs; i++) {
            const tn_tensor *t = set[i];
            if (!t) continue;
            tn_sha256_update(hash, &i, sizeof i);
            tn_sha256_update(hash, &t->dtype, sizeof t->dtype);
            tn_sha256_update(hash, t->dims, (size_t)t->rank * sizeof *t->dims);
            if (t->dtype == TN_STRING) continue;
            tn_tensor *copy = NULL;
            if (!tn_tensor_is_dense(t)) TN_TRY(tn_tensor_clone(t, NULL, &copy));
            tn_sha256_update(hash, copy ? copy->data : t->data, tn_tensor_bytes(t));
            tn_tensor_destroy(copy);
        }
    }
}

/* A graph's digest is that of its file. */
static tn_status hash_graph(const tn_recipe_state *s, const tn_graph *graph, tn_sha256 *hash) {
    char name[4096];
    tn_model_file *file;
    if (!file_of(s, "model", "tenon", name)) return tn_fail(TN_E_LIMIT, "%s: too long a path", s->folder);
    TN_TRY(tn_graph_save(graph, name, NULL));
    tn_status status = tn_model_file_open(name, &file);
    unlink(name);
    if (status != TN_OK) return status;
    tn_sha256_update(hash, tn_model_file_digest(file), strlen(tn_model_file_digest(file)));
    tn_model_file_close(file);
    return TN_OK;
}

static tn_status make_digest(tn_recipe_state *s, const tn_recipe *recipe, const tn_graph *graph,
                             const tn_samples *samples) {
    tn_sha256 hash;
    uint8_t digest[TN_SHA256_BYTES];
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, recipe->digest, sizeof recipe->digest);
    TN_TRY(hash_graph(s, graph, &hash));
    if (samples) TN_TRY(hash_samples(samples, (size_t)graph->input_count, &hash));
    tn_sha256_final(&hash, digest);
    tn_sha256_text(digest, s->digest);
    return TN_OK;
}

/* ---- the file ---- */

/* In texts: inf and nan are among them. */
enum { SQNR, METRIC, WHOLE, SETS, BYTES, TIME, INT8, NUMBERS };
static const char *const numbers[NUMBERS] = {"sqnr_db", "metric", "metric_before", "sets",
                                             "bytes",   "ns",     "int8_layers"};

static void put_try(tn_text *t, const tn_recipe_try *a) {
    tn_put_format(t, "{\"path\": \"%s\", \"kept\": %s, \"done\": %s", a->path, a->kept ? "true" : "false",
                  a->done ? "true" : "false");
    if (*a->report) tn_put_format(t, ", \"report\": \"%s\"", a->report);
    const double x[NUMBERS] = {a->score.sqnr, a->score.metric, a->score.whole, (double)a->score.sets,
                               a->bytes,      a->ns,           a->int8};
    for (int i = 0; i < NUMBERS; i++) tn_put_format(t, ", \"%s\": \"%.17g\"", numbers[i], x[i]);
    tn_put_text(t, "}");
}

static tn_status write_text(const char *name, const char *text) {
    tn_output o;
    TN_TRY(tn_output_open(&o, name));
    tn_output_write(&o, text, strlen(text));
    return tn_output_commit(&o);
}

static tn_status write_state(const tn_recipe_state *s) {
    char name[4096];
    tn_text t = {.region = tn_region_create(NULL)};
    if (!t.region) return TN_E_MEMORY;
    tn_put_format(&t, "{\"of\": \"%s\", \"best\": ", s->digest);
    if (s->has_best)
        put_try(&t, &s->best);
    else
        tn_put_text(&t, "null");
    tn_put_text(&t, ", \"tries\": [");
    for (size_t i = 0; i < s->count; i++) {
        tn_put_text(&t, i ? ",\n" : "\n");
        put_try(&t, &s->tries[i]);
    }
    tn_put_text(&t, "]}\n");
    tn_status status = t.failed || !file_of(s, "state", "json", name) ? TN_E_MEMORY : write_text(name, t.data);
    tn_region_destroy(t.region);
    return status;
}

static bool read_exact(const char *text, double *out) {
    char *end;
    if (!text || strlen(text) > 40) return false;
    *out = strtod(text, &end);
    return !*end;
}

/* Of digits, dots and "-": nothing else becomes a file's name. */
static bool is_path(const char *text) {
    return text && strlen(text) < TN_RECIPE_PATH && strspn(text, "0123456789.-") == strlen(text);
}

typedef struct draft {
    const char *path, *report, *number[NUMBERS];
    bool kept, done;
} draft;

#define AT(field) offsetof(draft, field)
static const tn_key try_keys[] = {{"path", TN_KEY_TEXT, AT(path), 0, 0, NULL},
                                  {"report", TN_KEY_TEXT, AT(report), 0, 0, NULL},
                                  {"kept", TN_KEY_SWITCH, AT(kept), 0, 0, NULL},
                                  {"done", TN_KEY_SWITCH, AT(done), 0, 0, NULL},
                                  {"sqnr_db", TN_KEY_TEXT, AT(number[SQNR]), 0, 0, NULL},
                                  {"metric", TN_KEY_TEXT, AT(number[METRIC]), 0, 0, NULL},
                                  {"metric_before", TN_KEY_TEXT, AT(number[WHOLE]), 0, 0, NULL},
                                  {"sets", TN_KEY_TEXT, AT(number[SETS]), 0, 0, NULL},
                                  {"bytes", TN_KEY_TEXT, AT(number[BYTES]), 0, 0, NULL},
                                  {"ns", TN_KEY_TEXT, AT(number[TIME]), 0, 0, NULL},
                                  {"int8_layers", TN_KEY_TEXT, AT(number[INT8]), 0, 0, NULL},
                                  {0}};

static tn_status read_try(const tn_manifest_node *node, tn_recipe_try *out) {
    draft d = {0};
    double x[NUMBERS];
    TN_TRY(tn_keys_read(node, try_keys, &d));
    if (!is_path(d.path) || (d.report && !is_path(d.report))) return tn_key_fail(node, "not the path of a try");
    for (int i = 0; i < NUMBERS; i++)
        if (!read_exact(d.number[i], &x[i])) return tn_key_fail(node, "'%s' is a number", numbers[i]);
    *out = (tn_recipe_try){.kept = d.kept, .done = d.done, .bytes = x[BYTES], .ns = x[TIME]};
    out->int8 = x[INT8] >= 0 && x[INT8] < 1e9 ? (int)x[INT8] : 0;
    out->score = (tn_qscore){x[SQNR], x[METRIC], x[WHOLE], x[SETS] >= 0 && x[SETS] < 0x1p53 ? (int64_t)x[SETS] : 0};
    memcpy(out->path, d.path, strlen(d.path));
    if (d.report) memcpy(out->report, d.report, strlen(d.report));
    return TN_OK;
}

typedef struct root {
    const char *of;
    const tn_manifest_node *best, *tries;
} root;

#define IN(field) offsetof(root, field)
static const tn_key root_keys[] = {{"of", TN_KEY_TEXT, IN(of), 0, 0, NULL},
                                   {"best", TN_KEY_NODE, IN(best), 0, 0, NULL},
                                   {"tries", TN_KEY_NODE, IN(tries), 0, 0, NULL},
                                   {0}};

static tn_status room_for_one(tn_recipe_state *s) {
    if (s->count < s->capacity) return TN_OK;
    const size_t capacity = 2 * s->capacity + 16;
    tn_recipe_try *grown = tn_region_array(s->region, capacity, sizeof *grown);
    if (!grown) return TN_E_MEMORY;
    if (s->count) memcpy(grown, s->tries, s->count * sizeof *grown);
    s->tries = grown;
    s->capacity = capacity;
    return TN_OK;
}

static tn_status read_tree(tn_recipe_state *s, const tn_manifest_node *tree) {
    root r = {0};
    TN_TRY(tn_keys_read(tree, root_keys, &r));
    if (!r.of || strcmp(r.of, s->digest) != 0 || !r.best || !r.tries || r.tries->kind != TN_MANIFEST_LIST)
        return tn_fail(TN_E_FORMAT, "it was kept of something else");
    if (r.best->kind == TN_MANIFEST_MAP) {
        TN_TRY(read_try(r.best, &s->best));
        s->has_best = true;
    }
    for (const tn_manifest_node *child = r.tries->first; child; child = child->next) {
        TN_TRY(room_for_one(s));
        TN_TRY(read_try(child, &s->tries[s->count]));
        s->count++;
    }
    return TN_OK;
}

/* A text that this wrote, of a file of at most MOST_STATE bytes. */
static tn_status read_text(const tn_recipe_state *s, const char *path, tn_region *region, tn_manifest_node **out) {
    char name[4096];
    FILE *file = file_of(s, path, "json", name) ? fopen(name, "rb") : NULL;
    if (!file) return tn_fail(TN_E_IO, "%s/%s.json: %s", s->folder, path, strerror(errno));
    char *text = tn_region_alloc(region, MOST_STATE);
    const size_t size = text ? fread(text, 1, MOST_STATE, file) : 0;
    fclose(file);
    if (!text) return TN_E_MEMORY;
    if (size == MOST_STATE) return tn_fail(TN_E_LIMIT, "%s has 8 MiB or more", name);
    return tn_manifest_read_yaml((tn_string){text, size}, region, out);
}

static void read_state(tn_recipe_state *s) {
    tn_region *region = tn_region_create(NULL);
    tn_manifest_node *tree;
    tn_status status = region ? read_text(s, "state", region, &tree) : TN_E_MEMORY;
    if (status == TN_OK) status = read_tree(s, tree);
    if (status != TN_OK) {
        s->count = 0;
        s->has_best = false;
    }
    tn_region_destroy(region);
}

/* ---- files of graphs and reports ---- */

static bool is_needed(const tn_recipe_state *s, const char *path) {
    if (s->has_best && (strcmp(path, s->best.path) == 0 || strcmp(path, s->best.report) == 0)) return true;
    for (size_t i = 0; i < s->count; i++)
        if (!s->tries[i].done && s->tries[i].kept && strcmp(path, s->tries[i].path) == 0) return true;
    return false;
}

/* Whether nobody will read a file of the folder: what a run that was killed was writing is for nobody, and what has another name
 * than those that are written here is not ours to remove. */
static bool is_waste(const tn_recipe_state *s, const char *name, bool all) {
    char path[TN_RECIPE_PATH];
    const char *kind = strrchr(name, '.');
    const size_t length = kind ? (size_t)(kind - name) : 0;
    if (!length || length >= sizeof path) return false;
    if (strcmp(kind, ".tmp") == 0 || strcmp(name, "model.tenon") == 0) return true;
    if (strcmp(name, "state.json") == 0) return all;
    memcpy(path, name, length);
    path[length] = 0;
    return is_path(path) && (strcmp(kind, ".tenon") == 0 || strcmp(kind, ".json") == 0) && (all || !is_needed(s, path));
}

static void sweep(const tn_recipe_state *s, bool all) {
    DIR *dir = opendir(s->folder);
    for (const struct dirent *e; dir && (e = readdir(dir));)
        if (is_waste(s, e->d_name, all)) unlinkat(dirfd(dir), e->d_name, 0);
    if (dir) closedir(dir);
}

/* ---- the walk's side ---- */

tn_status tn_recipe_state_open(const char *folder, const tn_recipe *recipe, const tn_graph *graph,
                               const tn_samples *samples, tn_recipe_state **out) {
    tn_region *region = tn_region_create(NULL);
    tn_recipe_state *s = region ? tn_region_alloc(region, sizeof *s) : NULL;
    *out = NULL;
    if (s) *s = (tn_recipe_state){.region = region, .folder = tn_region_strdup(region, folder)};
    tn_status status = s && s->folder ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK && mkdir(folder, 0777) != 0 && errno != EEXIST)
        status = tn_fail(TN_E_IO, "cannot make the folder '%s': %s", folder, strerror(errno));
    if (status == TN_OK) status = make_digest(s, recipe, graph, samples);
    if (status == TN_OK) {
        read_state(s);
        sweep(s, !s->count);
        *out = s;
    } else {
        tn_region_destroy(region);
        rmdir(folder); /* if nothing is in it */
    }
    return status;
}

const tn_recipe_try *tn_recipe_state_find(const tn_recipe_state *s, const char *path) {
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->tries[i].path, path) == 0) return &s->tries[i];
    return NULL;
}

const tn_recipe_try *tn_recipe_state_at(const tn_recipe_state *s, size_t index) {
    return index < s->count ? &s->tries[index] : NULL;
}

const tn_recipe_try *tn_recipe_state_best(const tn_recipe_state *s) {
    return s->has_best ? &s->best : NULL;
}

static tn_status load_report(const tn_recipe_state *s, const char *path, tn_quantize_report **out) {
    tn_region *region = tn_region_create(NULL);
    tn_manifest_node *tree;
    tn_status status = region ? read_text(s, path, region, &tree) : TN_E_MEMORY;
    if (status == TN_OK) status = tn_report_read(tree, out);
    tn_region_destroy(region);
    return status;
}

tn_status tn_recipe_state_load(const tn_recipe_state *s, const tn_recipe_try *of, tn_graph **out_graph,
                               tn_quantize_report **out_report) {
    const tn_model_options verify = {.struct_size = sizeof verify, .verify_weights = true};
    char name[4096];
    *out_graph = NULL;
    *out_report = NULL;
    if (!file_of(s, of->path, "tenon", name)) return TN_E_LIMIT;
    TN_TRY(tn_graph_load(name, &verify, out_graph));
    tn_graph *graph = *out_graph; /* manifest and test are its file's, and no model's */
    graph->manifest = graph->digest = NULL;
    graph->self_test = (tn_string){NULL, 0};
    tn_status status = *of->report ? load_report(s, of->report, out_report) : TN_OK;
    if (status != TN_OK) {
        tn_graph_destroy(*out_graph);
        *out_graph = NULL;
    }
    return status;
}

tn_status tn_recipe_state_add(tn_recipe_state *s, const tn_recipe_try *tried, const tn_graph *graph,
                              const tn_quantize_report *told) {
    char name[4096];
    if (graph && !file_of(s, tried->path, "tenon", name)) return tn_fail(TN_E_LIMIT, "%s: too long a path", s->folder);
    if (graph) TN_TRY(tn_graph_save(graph, name, NULL));
    if (told && file_of(s, tried->path, "json", name)) TN_TRY(write_text(name, tn_quantize_report_json(told)));
    TN_TRY(room_for_one(s));
    s->tries[s->count++] = *tried;
    return write_state(s);
}

tn_status tn_recipe_state_done(tn_recipe_state *s, const char *path, const tn_recipe_try *best) {
    for (size_t i = 0; i < s->count; i++) s->tries[i].done |= strcmp(s->tries[i].path, path) == 0;
    if (best) s->best = *best;
    s->has_best |= best != NULL;
    TN_TRY(write_state(s));
    sweep(s, false);
    return TN_OK;
}

void tn_recipe_state_close(tn_recipe_state *s, bool keeps) {
    if (!s) return;
    if (!keeps) sweep(s, true);
    rmdir(s->folder); /* if nothing is in it */
    tn_region_destroy(s->region);
}
