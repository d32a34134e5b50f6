/* Members: what is said of them, their graphs, and whether they fit each other. */
#include <stdio.h>
#include <stdlib.h>
#include "ensemble/ensemble.h"

const char *const tn_about_keys[] = {"name", "version", "title", "description", "licence"};

tn_status tn_ensemble_create(tn_ensemble_kind kind, tn_ensemble **out_ensemble) {
    *out_ensemble = NULL;
    if ((int)kind < 0 || kind > TN_ENSEMBLE_CASCADE)
        return tn_fail(TN_E_INVALID, "there is no kind of ensemble with number %d", (int)kind);
    tn_region *region = tn_region_create(NULL);
    tn_ensemble *e = region ? tn_region_alloc(region, sizeof *e) : NULL;
    if (!e) {
        tn_region_destroy(region);
        return TN_E_MEMORY;
    }
    e->region = region;
    e->kind = kind;
    *out_ensemble = e;
    return TN_OK;
}

static void release(void *pointer, size_t size) {
    (void)size;
    tn_shared_graph *shared = pointer;
    if (!shared || atomic_fetch_sub(&shared->owners, 1) != 1) return;
    tn_graph_destroy(shared->graph);
    tn_free(NULL, shared, sizeof *shared);
}

tn_status tn_member_lend(tn_member *member, tn_graph *graph) {
    atomic_fetch_add(&member->shared->owners, 1);
    return tn_graph_keep(graph, release, member->shared, 0);
}

void tn_ensemble_destroy(tn_ensemble *e) {
    if (!e) return;
    for (int i = 0; i < e->count; i++) release(e->members[i].shared, 0);
    tn_tensor_destroy(e->matrix);
    tn_tensor_destroy(e->bias);
    tn_region_destroy(e->region);
}

/* ---- adding ---- */

static bool is_taken(const tn_ensemble *e, const char *name) {
    for (int i = 0; i < e->count; i++)
        if (strcmp(e->members[i].name, name) == 0) return true;
    return false;
}

/* As given, or of the file; fit to stand before a '/'. */
static const char *name_of(tn_ensemble *e, const char *given, const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL, *start = given ? given : slash ? slash + 1 : path;
    const char *dot = given ? NULL : strrchr(start, '.');
    char *base = tn_region_strndup(e->region, start, dot && dot > start ? (size_t)(dot - start) : strlen(start));
    if (!base) return NULL;
    for (char *c = base; *c; c++)
        if (*c == '/') *c = '_';
    const char *name = *base ? base : "member";
    for (int n = 2; name && is_taken(e, name); n++) name = tn_region_printf(e->region, "%s_%d", base, n);
    return name;
}

tn_status tn_member_put(tn_ensemble *e, const tn_ensemble_member *member, const char *path, tn_member **out) {
    tn_ensemble_member m = {.struct_size = sizeof m};
    if (member) memcpy(&m, member, TN_MIN(member->struct_size, sizeof m));
    if (e->count == TN_MOST_MEMBERS) return tn_fail(TN_E_LIMIT, "an ensemble has %d members at most", TN_MOST_MEMBERS);
    if (!m.name && !path) return tn_fail(TN_E_INVALID, "a member that comes as a graph needs a name");
    if (!(m.weight == -1 || (m.weight >= 0 && m.weight <= 1e9)))
        return tn_fail(TN_E_INVALID, "a member's weight is above 0, or -1 for none, not %g", m.weight);
    if (!(m.threshold >= 0 && m.threshold <= 2))
        return tn_fail(TN_E_INVALID, "a member's threshold is a probability, not %g", m.threshold);
    if (e->count == e->capacity) {
        int more = e->capacity ? 2 * e->capacity : 8;
        tn_member *moved = tn_region_array(e->region, (size_t)more, sizeof *moved);
        if (!moved) return TN_E_MEMORY;
        if (e->count) memcpy(moved, e->members, (size_t)e->count * sizeof *moved);
        e->members = moved;
        e->capacity = more;
    }
    tn_member made = {.logits = m.logits, .weight = m.weight, .threshold = m.threshold};
    if (!(made.name = name_of(e, m.name, path))) return TN_E_MEMORY;
    if (path && !(made.path = tn_region_strdup(e->region, path))) return TN_E_MEMORY;
    if (m.output && !(made.output = tn_region_strdup(e->region, m.output))) return TN_E_MEMORY;
    e->members[e->count] = made;
    *out = &e->members[e->count++];
    e->checked = e->fitted = false;
    return TN_OK;
}

/* Which output is the answer, and of what kind. */
static tn_status find_answer(tn_member *m, tn_graph *g) {
    char text[200];
    m->answer = 0;
    for (int i = 0; m->output && i <= g->output_count; i++) {
        if (i == g->output_count) return tn_fail(TN_E_NOT_FOUND, "it has no output '%.80s'", m->output);
        if (strcmp(g->values[g->outputs[i]].name, m->output) != 0) continue;
        m->answer = i;
        break;
    }
    if (!g->output_count || !g->input_count) return tn_fail(TN_E_INVALID, "it has no input or no output");
    const tn_graph_value *value = &g->values[g->outputs[m->answer]];
    const tn_type *t = &value->type;
    bool fits = t->kind == TN_KIND_TENSOR && !t->optional && t->dtype == TN_FLOAT32 && (t->rank == 1 || t->rank == 2) &&
                (t->rank == 1 || t->dims[1] >= 1);
    if (!fits)
        return tn_fail(
            TN_E_SHAPE,
            "its answer '%.80s' is %s; float32[N] or [N, columns] was expected, with a known number of columns",
            value->name, tn_type_text(text, sizeof text, g, t));
    m->rank = t->rank;
    m->width = t->rank == 2 ? t->dims[1] : 1;
    return TN_OK;
}

static tn_status take(tn_member *m, tn_graph *graph) {
    tn_status status = tn_graph_sort(graph);
    if (status == TN_OK) status = tn_graph_infer(graph);
    if (status == TN_OK) status = find_answer(m, graph);
    m->shared = status == TN_OK ? tn_alloc(NULL, sizeof *m->shared) : NULL;
    if (!m->shared) {
        tn_graph_destroy(graph);
        return status == TN_OK ? TN_E_MEMORY : tn_fail_context(status, "member '%s'", m->name);
    }
    atomic_init(&m->shared->owners, 1);
    m->shared->graph = graph;
    return TN_OK;
}

tn_status tn_ensemble_add(tn_ensemble *e, tn_graph *graph, const tn_ensemble_member *member) {
    tn_member *m;
    if (graph->root != graph) return tn_fail(TN_E_INVALID, "a subgraph cannot be a member");
    tn_status status = tn_member_put(e, member, NULL, &m);
    if (status != TN_OK) {
        tn_graph_destroy(graph);
        return status;
    }
    status = take(m, graph);
    if (status != TN_OK) e->count--;
    return status;
}

static tn_status open_file(tn_member *m) {
    tn_graph *graph;
    if (m->shared) return TN_OK;
    TN_TRY(tn_graph_load(m->path, NULL, &graph));
    return take(m, graph);
}

tn_status tn_ensemble_add_file(tn_ensemble *e, const char *path, const tn_ensemble_member *member) {
    tn_member *m;
    TN_TRY(tn_member_put(e, member, path, &m));
    tn_status status = open_file(m);
    if (status != TN_OK) e->count--;
    return status;
}

/* ---- together ---- */

/* Answers that are combined column by column have the same columns. */
static tn_status check(const tn_ensemble *e) {
    const tn_member *first = &e->members[0];
    bool classes = e->kind == TN_ENSEMBLE_VOTE || e->kind == TN_ENSEMBLE_CASCADE;
    if (e->kind != TN_ENSEMBLE_STACK && e->count < 2)
        return tn_fail(TN_E_INVALID, "an ensemble has two members at least; there %s %d", e->count == 1 ? "is" : "are",
                       e->count);
    for (int i = 0; i < e->count; i++) {
        const tn_member *m = &e->members[i];
        if ((classes || m->logits) && m->rank != 2)
            return tn_fail(TN_E_SHAPE, "member '%s' answers one number a row; probabilities [N, C] were expected",
                           m->name);
        if (e->kind != TN_ENSEMBLE_STACK && (m->rank != first->rank || m->width != first->width))
            return tn_fail(TN_E_SHAPE,
                           "member '%s' answers %lld columns of rank %d, and '%s' %lld of rank %d; they must be alike",
                           m->name, (long long)m->width, m->rank, first->name, (long long)first->width, first->rank);
    }
    for (int i = 0; i < e->count; i++)
        if (tn_member_part(e, i) > 0) return TN_OK;
    return tn_fail(TN_E_INVALID, "all members have the weight none");
}

tn_status tn_members_open(tn_ensemble *e) {
    if (e->checked) return TN_OK;
    if (!e->count) return tn_fail(TN_E_STATE, "an ensemble without members");
    for (int i = 0; i < e->count; i++) TN_TRY(open_file(&e->members[i]));
    TN_TRY(check(e));
    e->checked = true;
    return TN_OK;
}

double tn_member_part(const tn_ensemble *e, int index) {
    double sum = 0, own = 0;
    for (int i = 0; i < e->count; i++) {
        double w = e->members[i].weight;
        w = w == -1 ? 0 : w > 0 ? w : 1;
        sum += w;
        if (i == index) own = w;
    }
    return sum > 0 ? own / sum : 0;
}

double tn_member_threshold(const tn_member *member) {
    return member->threshold > 0 ? member->threshold : 0.9;
}

int tn_ensemble_count(const tn_ensemble *e) {
    return e->count;
}

tn_status tn_ensemble_member_at(const tn_ensemble *e, int index, const char **out_name, double *out_weight,
                                double *out_threshold) {
    if (index < 0 || index >= e->count) return tn_fail(TN_E_NOT_FOUND, "there is no member %d", index);
    if (out_name) *out_name = e->members[index].name;
    if (out_weight) *out_weight = tn_member_part(e, index);
    if (out_threshold) *out_threshold = tn_member_threshold(&e->members[index]);
    return TN_OK;
}

tn_status tn_ensemble_set(tn_ensemble *e, const char *key, const char *text) {
    for (int i = 0; i < TN_ABOUTS; i++) {
        if (strcmp(tn_about_keys[i], key) != 0) continue;
        e->about[i] = tn_region_strdup(e->region, text);
        return e->about[i] ? TN_OK : TN_E_MEMORY;
    }
    return tn_fail(TN_E_NOT_FOUND, "'%.80s' is not name, version, title, description or licence", key);
}
