/* Weight clustering: see tenon/weights.h. Han, Mao and Dally, "Deep Compression", arXiv 1510.00149.
 *
 * k-means on the line needs no distances: values are sorted once, the values of a cluster are a stretch of them, and sums
 * over stretches come from prefix sums, so that a turn costs clusters x log(values). */
#include "base/half.h"
#include "base/random.h"
#include "compress/matrices.h"
#include <math.h>
#include <stdlib.h>

typedef struct line {
    float *x;    /* sorted */
    double *sum; /* sum[i]: of the first i */
    size_t count;
} line;

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static tn_status line_of(const float *values, size_t count, tn_region *region, line *out) {
    *out = (line){tn_region_array(region, count + 1, sizeof *out->x),
                  tn_region_array(region, count + 1, sizeof *out->sum), count};
    if (!out->x || !out->sum) return TN_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) return tn_fail(TN_E_INVALID, "value %zu of those to cluster is NaN or infinite", i);
        out->x[i] = values[i] == 0 ? 0 : values[i]; /* no minus zero */
    }
    qsort(out->x, count, sizeof *out->x, ascending);
    for (size_t i = 0; i < count; i++) out->sum[i + 1] = out->sum[i] + (double)out->x[i];
    return TN_OK;
}

/* How many values are below `limit`. */
static size_t below(const line *l, double limit) {
    size_t from = 0, to = l->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if ((double)l->x[middle] < limit)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Moves each centre to the mean of the values that are nearest to it, until nothing moves. Centres ascend. fixed: one that
 * stays, or -1. A centre without values stays. */
static void settle(const line *l, int clusters, int turns, int fixed, double *centres) {
    for (int turn = 0; turn < turns; turn++) {
        bool moved = false;
        size_t from = 0;
        for (int c = 0; c < clusters; c++) {
            size_t to = c + 1 < clusters ? below(l, (centres[c] + centres[c + 1]) / 2) : l->count;
            to = TN_MAX(to, from);
            if (to > from && c != fixed) {
                double mean = (l->sum[to] - l->sum[from]) / (double)(to - from);
                moved |= mean != centres[c];
                centres[c] = mean;
            }
            from = to;
        }
        if (!moved) return;
    }
}

static int ascending_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double nearest_distance(const double *centres, int count, double x) {
    double least = INFINITY;
    for (int c = 0; c < count; c++) least = TN_MIN(least, fabs(centres[c] - x));
    return least;
}

/* k-means++ (Arthur and Vassilvitskii, 2007): each further centre is drawn with the chance of its squared distance to the
 * nearest one. On long lines from 65536 values spread over it. */
static void draw_centres(const line *l, int clusters, uint64_t seed, double *centres) {
    const size_t some = TN_MIN(l->count, (size_t)65536);
    int count = 1;
    centres[0] = (double)l->x[tn_random_below(&seed, l->count)];
    for (; count < clusters; count++) {
        double whole = 0, reached = 0;
        for (size_t i = 0; i < some; i++) {
            double d = nearest_distance(centres, count, (double)l->x[i * l->count / some]);
            whole += d * d;
        }
        double drawn = tn_random_uniform(&seed) * whole;
        size_t at = 0;
        for (; at + 1 < some; at++) {
            double d = nearest_distance(centres, count, (double)l->x[at * l->count / some]);
            reached += d * d;
            if (reached > drawn) break;
        }
        centres[count] = (double)l->x[at * l->count / some];
    }
    qsort(centres, (size_t)clusters, sizeof *centres, ascending_doubles);
}

static void spread_centres(const line *l, int clusters, double *centres) {
    double low = (double)l->x[0], high = (double)l->x[l->count - 1];
    for (int c = 0; c < clusters; c++)
        centres[c] = clusters > 1 ? low + (high - low) * c / (clusters - 1) : (low + high) / 2;
}

/* Puts 0 in the place of the centre nearest to it: returns which. */
static int fix_zero(int clusters, double *centres) {
    int nearest = 0;
    for (int c = 1; c < clusters; c++)
        if (fabs(centres[c]) < fabs(centres[nearest])) nearest = c;
    centres[nearest] = 0;
    return nearest;
}

tn_status tn_kmeans(const float *values, size_t count, int clusters, int turns, float *centres) {
    if (!count || clusters < 1 || turns < 0)
        return tn_fail(TN_E_INVALID, "%d clusters of %zu values; expected some of both", clusters, count);
    tn_region *region = tn_region_create(NULL);
    line l;
    double *now = region ? tn_region_array(region, (size_t)clusters, sizeof *now) : NULL;
    tn_status status = now ? line_of(values, count, region, &l) : TN_E_MEMORY;
    if (status == TN_OK) {
        for (int c = 0; c < clusters; c++) now[c] = (double)centres[c];
        qsort(now, (size_t)clusters, sizeof *now, ascending_doubles);
        settle(&l, clusters, turns, -1, now);
        for (int c = 0; c < clusters; c++) centres[c] = (float)now[c];
    }
    tn_region_destroy(region);
    return status;
}

/* ---- in the graph ---- */

static int nearest_centre(const double *centres, int clusters, double x) {
    int low = 0, high = clusters - 1; /* the last one that is not above x */
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (centres[middle] <= x)
            low = middle;
        else
            high = middle - 1;
    }
    return low + 1 < clusters && x - centres[low] >= centres[low + 1] - x ? low + 1 : low;
}

static tn_status make_codebook(const tn_cluster_options *o, const float *values, size_t count, tn_region *region,
                               double *centres) {
    const int clusters = 1 << o->bits;
    line l;
    TN_TRY(line_of(values, count, region, &l));
    if (o->linear)
        spread_centres(&l, clusters, centres);
    else
        draw_centres(&l, clusters, o->seed, centres);
    const size_t zeros = below(&l, nextafter(0, 1)) - below(&l, 0);
    settle(&l, clusters, 300, zeros ? fix_zero(clusters, centres) : -1, centres);
    return TN_OK;
}

static int add_node(tn_graph *graph, const char *op, const char *name, int a, int b, tn_dtype dtype, int like) {
    tn_type type = graph->values[like].type;
    type.dtype = dtype;
    const int in[2] = {a, b};
    int made = tn_graph_add_value(graph, "", &type);
    return made < 0 || tn_graph_add_node(graph, tn_op_find("", op), name, b < 0 ? 1 : 2, in, 1, &made) < 0 ? -1 : made;
}

/* codebook and indices -> Cast -> (Add of starts, if they are a value) -> Gather, which what read the weight reads now. */
static tn_status replace_weight(tn_graph *graph, int weight, int codebook, int indices, int starts) {
    if (!tn_op_find("", "Cast") || !tn_op_find("", "Gather") || !tn_op_find("", "Add"))
        return tn_fail(TN_E_UNSUPPORTED, "the operators Cast, Gather and Add are not in this build");
    const char *name = tn_region_printf(graph->region, "%s.shared", graph->values[weight].name);
    int wide = name ? add_node(graph, "Cast", "", indices, -1, TN_INT32, weight) : -1;
    if (wide >= 0) TN_TRY(tn_node_set_int(graph, &graph->nodes[graph->node_count - 1], "to", TN_INT32));
    if (wide >= 0 && starts >= 0) wide = add_node(graph, "Add", "", wide, starts, TN_INT32, weight);
    int made = wide < 0 ? -1 : add_node(graph, "Gather", name, codebook, wide, TN_FLOAT32, weight);
    if (made < 0) return TN_E_MEMORY;
    tn_graph_replace_uses(graph, weight, made);
    return TN_OK;
}

/* A weight's codes and codebooks, as they are being made. */
typedef struct shared {
    const tn_linear *layer;
    const tn_tensor *weight;
    tn_tensor *book, *codes;
} shared;

/* Where input k of an output is. */
static size_t place(const tn_linear *l, size_t output, size_t k) {
    return l->rows ? output * l->k + k : k * l->n + output;
}

static tn_status share_outputs(const tn_cluster_options *o, const shared *s, size_t first, size_t count, int book,
                               tn_region *region, tn_weights_error *error) {
    const tn_linear *l = s->layer;
    const float *x = s->weight->data;
    const int clusters = 1 << o->bits;
    float *values = tn_region_array(region, count * l->k, sizeof *values),
          *entries = (float *)s->book->data + book * clusters;
    double centres[256];
    if (!values) return TN_E_MEMORY;
    for (size_t i = 0; i < count * l->k; i++) values[i] = x[place(l, first + i / l->k, i % l->k)];
    TN_TRY(make_codebook(o, values, count * l->k, region, centres));
    for (int c = 0; c < clusters; c++) entries[c] = (float)centres[c];
    for (size_t i = 0; i < count * l->k; i++) {
        const size_t at = place(l, first + i / l->k, i % l->k);
        const int code = nearest_centre(centres, clusters, (double)values[i]);
        if (s->codes->dtype == TN_UINT4)
            tn_packed_set(s->codes->data, 4, (int64_t)at, (unsigned)code);
        else
            ((uint8_t *)s->codes->data)[at] = (uint8_t)code;
        tn_weights_compare(error, &values[i], &entries[code], 1);
    }
    return TN_OK;
}

static size_t group_of(const tn_cluster_options *o, const tn_linear *l) {
    return o->group > 0 ? TN_MIN((size_t)o->group, l->n) : l->n;
}

/* Where the codebook of each output begins: [n, 1, ...], or [1, n] where outputs lie along the last axis. */
static int add_starts(tn_graph *graph, const tn_cluster_options *o, const shared *s, const char *name) {
    const tn_linear *l = s->layer;
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < s->weight->rank; i++) dims[i] = i == (l->rows ? 0 : s->weight->rank - 1) ? (int64_t)l->n : 1;
    tn_tensor *starts = name ? tn_graph_tensor(graph, TN_INT32, s->weight->rank, dims, NULL) : NULL;
    for (size_t i = 0; starts && i < l->n; i++) ((int32_t *)starts->data)[i] = (int32_t)(i / group_of(o, l)) << o->bits;
    return starts ? tn_graph_add_constant(graph, name, starts) : -1;
}

static tn_status cluster_weight(tn_graph *graph, const tn_cluster_options *o, const tn_linear *l, tn_region *region,
                                tn_weights_error *error) {
    const tn_tensor *t = graph->values[l->weight].constant;
    const char *name = graph->values[l->weight].name;
    const size_t group = group_of(o, l), books = (l->n + group - 1) / group;
    const int64_t entries = (int64_t)books << o->bits;
    const shared s = {l, t, tn_graph_tensor(graph, TN_FLOAT32, 1, &entries, NULL),
                      tn_graph_tensor(graph, o->bits <= 4 ? TN_UINT4 : TN_UINT8, t->rank, t->dims, NULL)};
    if (!s.book || !s.codes) return TN_E_MEMORY;
    for (size_t i = 0; i < books; i++)
        TN_TRY(share_outputs(o, &s, i * group, TN_MIN(group, l->n - i * group), (int)i, region, error));
    const char *names[3] = {tn_region_printf(graph->region, "%s.codebook", name),
                            tn_region_printf(graph->region, "%s.codes", name),
                            tn_region_printf(graph->region, "%s.starts", name)};
    if (!names[0] || !names[1]) return TN_E_MEMORY;
    int codebook = tn_graph_add_constant(graph, names[0], s.book),
        indices = tn_graph_add_constant(graph, names[1], s.codes),
        starts = books > 1 ? add_starts(graph, o, &s, names[2]) : -1;
    return codebook < 0 || indices < 0 || (books > 1 && starts < 0)
               ? TN_E_MEMORY
               : replace_weight(graph, l->weight, codebook, indices, starts);
}

/* Bytes that a layer's weights take then. */
static double shared_bytes(const tn_cluster_options *o, const tn_linear *l) {
    const size_t group = group_of(o, l), books = (l->n + group - 1) / group;
    return (double)(l->n * l->k) * (o->bits <= 4 ? 0.5 : 1) +
           4 * ((double)(books << o->bits) + (books > 1 ? (double)l->n : 0));
}

static tn_status cluster_all(tn_graph *graph, const tn_cluster_options *o, tn_weights_report *report) {
    tn_region *region = tn_region_create(NULL);
    tn_linear *layers = NULL;
    int count = 0;
    tn_weights_error error = {0};
    tn_status status = region ? tn_layers_collect(graph, true, o->keep, region, &layers, &count) : TN_E_MEMORY;
    for (int i = 0; i < count && status == TN_OK; i++) {
        const int64_t elements = (int64_t)(layers[i].n * layers[i].k);
        if (shared_bytes(o, &layers[i]) >= 4 * (double)elements) continue; /* it would not get smaller */
        tn_region *scratch = tn_region_create(NULL);
        status = scratch ? cluster_weight(graph, o, &layers[i], scratch, &error) : TN_E_MEMORY;
        tn_region_destroy(scratch);
        if (status != TN_OK) tn_fail_context(status, "weight '%s'", graph->values[layers[i].weight].name);
        report->layers++;
        report->elements += elements;
    }
    report->error = tn_weights_relative(&error);
    tn_region_destroy(region);
    return status;
}

tn_status tn_graph_cluster(tn_graph *graph, const tn_cluster_options *options, tn_weights_report *out_report) {
    tn_cluster_options o = {.struct_size = sizeof o};
    tn_weights_report report;
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (!o.bits) o.bits = 4;
    if (o.bits < 2 || o.bits > 8) return tn_fail(TN_E_INVALID, "codebooks of %d bits; expected 2 to 8", o.bits);
    if (o.group < 0) return tn_fail(TN_E_INVALID, "groups of %d outputs; expected 1 or more, or 0 for all", o.group);
    TN_TRY(tn_weights_begin(graph, &report));
    TN_TRY(cluster_all(graph, &o, &report));
    return tn_weights_end(graph, &report, out_report);
}
