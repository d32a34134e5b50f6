/* What the passes of weights share. See matrices.h. */
#include "compress/matrices.h"
#include <math.h>

/* Each constant counts once, by where its contents lie. */
typedef struct seen {
    const void **data;
    size_t count, capacity;
    tn_region *region;
} seen;

static tn_status add_bytes(const tn_graph *graph, seen *s, int64_t *bytes) {
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        if (node->dead) continue;
        for (int i = 0; i < node->in_count; i++) {
            const tn_tensor *t = node->in[i] >= 0 ? graph->values[node->in[i]].constant : NULL;
            size_t k = 0;
            if (!t || t->dtype == TN_STRING) continue;
            while (k < s->count && s->data[k] != t->data) k++;
            if (k < s->count) continue;
            if (s->count == s->capacity) {
                size_t more = s->capacity ? 2 * s->capacity : 64;
                const void **moved = tn_region_array(s->region, more, sizeof *moved);
                if (!moved) return TN_E_MEMORY;
                if (s->count) memcpy(moved, s->data, s->count * sizeof *moved);
                s->data = moved;
                s->capacity = more;
            }
            s->data[s->count++] = t->data;
            *bytes += (int64_t)tn_dtype_bytes(t->dtype, tn_count(t));
        }
        for (int a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == TN_ATTR_GRAPH) TN_TRY(add_bytes(node->attrs[a].g, s, bytes));
    }
    return TN_OK;
}

int64_t tn_weights_bytes(const tn_graph *graph) {
    seen s = {.region = tn_region_create(graph->allocator)};
    int64_t bytes = 0;
    tn_status status = s.region ? add_bytes(graph, &s, &bytes) : TN_E_MEMORY;
    tn_region_destroy(s.region);
    return status == TN_OK ? bytes : 0;
}

tn_status tn_weights_begin(tn_graph *graph, tn_weights_report *report) {
    *report = (tn_weights_report){.struct_size = sizeof *report};
    TN_TRY(tn_graph_sort(graph));
    TN_TRY(tn_graph_infer(graph));
    report->bytes_before = tn_weights_bytes(graph);
    return TN_OK;
}

tn_status tn_weights_end(tn_graph *graph, tn_weights_report *report, tn_weights_report *out_report) {
    tn_graph_compact(graph);
    TN_TRY(tn_graph_sort(graph));
    TN_TRY(tn_graph_drop_unused(graph, NULL));
    TN_TRY(tn_graph_infer(graph));
    report->bytes_after = tn_weights_bytes(graph);
    if (!out_report) return TN_OK;
    size_t size = TN_MIN(out_report->struct_size, sizeof *report);
    report->struct_size = out_report->struct_size;
    memcpy(out_report, report, size);
    return TN_OK;
}

void tn_weights_compare(tn_weights_error *error, const float *before, const float *after, size_t count) {
    for (size_t i = 0; i < count; i++) {
        double d = (double)before[i] - (double)after[i];
        error->difference += d * d;
        error->whole += (double)before[i] * (double)before[i];
    }
}

double tn_weights_relative(const tn_weights_error *error) {
    return error->whole > 0 ? sqrt(error->difference / error->whole) : 0;
}

static bool is_op(const tn_node *node, const char *name) {
    return !*node->op->domain && strcmp(node->op->name, name) == 0;
}

bool tn_linear_find(const tn_graph *graph, int n, tn_linear *out) {
    const tn_node *node = &graph->nodes[n];
    bool gemm = is_op(node, "Gemm");
    if (node->dead || node->formal_in < 2 || (!gemm && !is_op(node, "MatMul"))) return false;
    if (gemm && tn_attr_int(node, "transA", 0)) return false;
    int a = node->in[0], b = node->in[1];
    const tn_tensor *t = b >= 0 ? graph->values[b].constant : NULL;
    if (!t || t->dtype != TN_FLOAT32 || t->rank != 2 || a < 0 || graph->values[a].constant) return false;
    if (graph->values[a].type.dtype != TN_FLOAT32 || graph->values[a].type.rank < 2) return false;
    bool rows = gemm && tn_attr_int(node, "transB", 0);
    *out = (tn_linear){.node = n,
                       .weight = b,
                       .n = (size_t)t->dims[rows ? 0 : 1],
                       .k = (size_t)t->dims[rows ? 1 : 0],
                       .rows = rows,
                       .alpha = gemm ? tn_attr_float(node, "alpha", 1) : 1};
    return out->n > 0 && out->k > 0;
}

float *tn_linear_read(const tn_graph *graph, const tn_linear *l, tn_region *region) {
    const float *from = graph->values[l->weight].constant->data;
    float *to = tn_region_array(region, l->n * l->k, sizeof *to);
    for (size_t i = 0; i < l->n && to; i++)
        for (size_t j = 0; j < l->k; j++) to[i * l->k + j] = l->alpha * from[l->rows ? i * l->k + j : j * l->n + i];
    return to;
}

tn_status tn_linear_write(tn_graph *graph, const tn_linear *l, const float *w) {
    const tn_tensor *from = graph->values[l->weight].constant;
    tn_tensor *t = tn_graph_tensor(graph, TN_FLOAT32, from->rank, from->dims, NULL);
    if (!t) return TN_E_MEMORY;
    float *to = t->data;
    for (size_t i = 0; i < l->n; i++)
        for (size_t j = 0; j < l->k; j++) to[l->rows ? i * l->k + j : j * l->n + i] = w[i * l->k + j];
    graph->values[l->weight].constant = t;
    return TN_OK;
}

static bool conv_find(const tn_graph *graph, int n, tn_linear *out) {
    const tn_node *node = &graph->nodes[n];
    const tn_tensor *t = node->formal_in > 1 && node->in[1] >= 0 ? graph->values[node->in[1]].constant : NULL;
    if (node->dead || !is_op(node, "Conv") || !t || t->dtype != TN_FLOAT32 || t->rank < 3 || tn_count(t) == 0)
        return false;
    *out = (tn_linear){.node = n,
                       .weight = node->in[1],
                       .n = (size_t)t->dims[0],
                       .k = (size_t)(tn_count(t) / t->dims[0]),
                       .rows = true,
                       .alpha = 1};
    return true;
}

tn_status tn_layers_collect(const tn_graph *graph, bool convolutions, const char *keep, tn_region *region,
                            tn_linear **out_layers, int *out_count) {
    tn_linear *layers = tn_region_array(region, (size_t)graph->node_count + 1, sizeof *layers), l;
    int *uses = tn_region_array(region, (size_t)graph->value_count + 1, sizeof *uses), count = 0;
    if (!layers || !uses) return TN_E_MEMORY;
    tn_graph_count_uses(graph, uses);
    for (int n = 0; n < graph->node_count; n++) {
        bool found = tn_linear_find(graph, n, &l) || (convolutions && conv_find(graph, n, &l));
        if (!found || tn_listed(keep, graph->nodes[n].name)) continue;
        int k = 0;
        while (k < count && layers[k].weight != l.weight) k++;
        if (k < count) continue;
        l.alpha = 1;
        l.readers = uses[l.weight];
        layers[count++] = l;
    }
    *out_layers = layers;
    *out_count = count;
    return TN_OK;
}

tn_status tn_weights_finite(const tn_graph *graph, int value) {
    const tn_tensor *t = graph->values[value].constant;
    const float *x = t->data;
    for (int64_t i = 0; i < tn_count(t); i++)
        if (!isfinite(x[i]))
            return tn_fail(TN_E_INVALID,
                           "weight '%s' holds %s at element %lld; mend the model, or name its node in `keep`",
                           graph->values[value].name, isnan(x[i]) ? "NaN" : "infinity", (long long)i);
    return TN_OK;
}
