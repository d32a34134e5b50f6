/* Weight-only quantization of a graph: see tenon/weights.h. What becomes of a matrix is in levels.c and gptq.c; here
 * matrices are found, and their nodes made anew. */
#include "compress/levels.h"
#include "compress/matrices.h"
#include <math.h>

typedef struct matrix {
    tn_linear linear;
    bool table;    /* of Gather, [n, k] */
    int input;     /* index of its activations, with samples */
    int packed[3]; /* q, scales, zeros: values; -1: not yet, or none */
} matrix;

typedef struct weight_only {
    tn_graph *graph;
    tn_weight_only_options options;
    tn_region *scratch;
    matrix *all;
    int count;
    tn_activations *inputs;
    float **scales; /* AWQ: of each of the inputs; NULL: none */
    int *scaled;    /* the values that are divided by them */
    int input_count;
    tn_weights_error error;
} weight_only;

static tn_status check_options(tn_weight_only_options *o) {
    if (!o->bits) o->bits = 4;
    if (!o->block) o->block = 32;
    if (o->damping == 0) o->damping = 0.01;
    if (o->bits != 8 && o->bits != 4 && o->bits != 3 && o->bits != 2)
        return tn_fail(TN_E_UNSUPPORTED, "weights of %d bits; MatMulNBits has them of 8, 4, 3 or 2", o->bits);
    if (o->embeddings && !o->embedding_bits && o->bits > 3) o->embedding_bits = o->bits;
    if (o->embedding_bits && o->embedding_bits != 8 && o->embedding_bits != 4)
        return tn_fail(TN_E_UNSUPPORTED, "tables of %d bits; GatherBlockQuantized has them of 8 or 4",
                       o->embedding_bits);
    if (o->block < 16 || o->block > 256 || (o->block & (o->block - 1)))
        return tn_fail(TN_E_INVALID, "blocks of %d rows; expected 16, 32, 64, 128 or 256", o->block);
    if (!(o->damping > 0 && o->damping <= 10))
        return tn_fail(TN_E_INVALID, "a damping of %g; expected a share above 0, as 0.01", o->damping);
    if ((int)o->method < 0 || o->method > TN_WEIGHT_GPTQ)
        return tn_fail(TN_E_INVALID, "method %d does not exist; see tn_weight_method", (int)o->method);
    if ((o->method == TN_WEIGHT_GPTQ || o->awq) && (!o->samples || !o->sample_count))
        return tn_fail(TN_E_INVALID, "%s needs samples: runs of the graph to look at",
                       o->method == TN_WEIGHT_GPTQ ? "GPTQ" : "AWQ");
    return TN_OK;
}

/* Whether MatMulNBits can add what Gemm adds: nothing, or a row of n. */
static bool bias_fits(const tn_graph *graph, const tn_node *node, size_t n) {
    if (node->formal_in < 3 || node->in[2] < 0) return true;
    const tn_tensor *c = graph->values[node->in[2]].constant;
    return c && tn_attr_float(node, "beta", 1) == 1 && c->rank >= 1 && (size_t)tn_count(c) == n &&
           (size_t)c->dims[c->rank - 1] == n;
}

static bool find_table(const weight_only *p, int n, tn_linear *out) {
    const tn_graph *graph = p->graph;
    const tn_node *node = &graph->nodes[n];
    if (!p->options.embedding_bits || node->dead || *node->op->domain || strcmp(node->op->name, "Gather") != 0 ||
        tn_attr_int(node, "axis", 0) != 0)
        return false;
    const tn_tensor *t = node->in[0] >= 0 ? graph->values[node->in[0]].constant : NULL;
    if (!t || t->dtype != TN_FLOAT32 || t->rank != 2 || t->dims[0] < 1 || t->dims[1] % p->options.block != 0)
        return false;
    *out = (tn_linear){
        .node = n, .weight = node->in[0], .n = (size_t)t->dims[0], .k = (size_t)t->dims[1], .rows = true, .alpha = 1};
    return out->k > 0;
}

static bool gets_smaller(const weight_only *p, const tn_linear *l, int bits) {
    const size_t block = (size_t)p->options.block, blocks = (l->k + block - 1) / block;
    return blocks * (block * (size_t)bits / 8 + sizeof(float) + !p->options.symmetric) < l->k * sizeof(float);
}

static int bits_of(const weight_only *p, const matrix *m) {
    return m->table ? p->options.embedding_bits : p->options.bits;
}

static bool same_use(const matrix *a, const matrix *b) {
    return a->linear.weight == b->linear.weight && a->table == b->table && a->linear.rows == b->linear.rows &&
           a->linear.alpha == b->linear.alpha;
}

/* Drops matrices that another node reads too: the float32 weight would stay beside the packed one. */
static tn_status keep_sole(weight_only *p) {
    int *uses = tn_region_array(p->scratch, (size_t)p->graph->value_count + 1, sizeof *uses), kept = 0;
    if (!uses) return TN_E_MEMORY;
    tn_graph_count_uses(p->graph, uses);
    for (int i = 0; i < p->count; i++) {
        int ours = 0;
        for (int j = 0; j < p->count; j++) ours += same_use(&p->all[i], &p->all[j]);
        if (ours < uses[p->all[i].linear.weight]) p->all[i].linear.node = -1;
    }
    for (int i = 0; i < p->count; i++)
        if (p->all[i].linear.node >= 0) p->all[kept++] = p->all[i];
    p->count = kept;
    return TN_OK;
}

static tn_status find_matrices(weight_only *p) {
    tn_graph *graph = p->graph;
    p->all = tn_region_array(p->scratch, (size_t)graph->node_count + 1, sizeof *p->all);
    if (!p->all) return TN_E_MEMORY;
    for (int n = 0; n < graph->node_count; n++) {
        matrix m = {.input = -1, .packed = {-1, -1, -1}};
        bool found = tn_linear_find(graph, n, &m.linear) && bias_fits(graph, &graph->nodes[n], m.linear.n);
        if (!found) found = m.table = find_table(p, n, &m.linear);
        if (!found || tn_listed(p->options.keep, graph->nodes[n].name) || !gets_smaller(p, &m.linear, bits_of(p, &m)))
            continue;
        p->all[p->count++] = m;
    }
    TN_TRY(keep_sole(p));
    for (int i = 0; i < p->count; i++) TN_TRY(tn_weights_finite(graph, p->all[i].linear.weight));
    return TN_OK;
}

/* Each value that products read, with what the samples say of it. */
static tn_status collect(weight_only *p) {
    p->inputs = tn_region_array(p->scratch, (size_t)p->count + 1, sizeof *p->inputs);
    p->scales = tn_region_array(p->scratch, (size_t)p->count + 1, sizeof *p->scales);
    p->scaled = tn_region_array(p->scratch, (size_t)p->count + 1, sizeof *p->scaled);
    if (!p->inputs || !p->scales || !p->scaled) return TN_E_MEMORY;
    for (int i = 0; i < p->count; i++) {
        matrix *m = &p->all[i];
        if (m->table) continue;
        int value = p->graph->nodes[m->linear.node].in[0], k = 0;
        while (k < p->input_count && p->inputs[k].value != value) k++;
        if (k == p->input_count)
            p->inputs[p->input_count++] = (tn_activations){.value = value, .k = m->linear.k, .wants_products = true};
        m->input = k;
    }
    if (!p->input_count) return TN_OK;
    return tn_activations_collect(p->graph, p->input_count, p->inputs, p->options.samples, p->options.sample_count,
                                  p->scratch);
}

static tn_levels levels_of(const weight_only *p, const tn_linear *l, int bits) {
    return (tn_levels){
        .bits = bits, .block = (size_t)p->options.block, .n = l->n, .k = l->k, .symmetric = p->options.symmetric};
}

/* ---- AWQ ---- */

/* What the product loses on the samples when its weights are scaled by s before they are rounded: tr(d x x^T d^T). */
static tn_status scaled_loss(const weight_only *p, const tn_linear *l, const tn_activations *a, const float *s,
                             double *loss) {
    tn_region *region = tn_region_create(NULL);
    const size_t count = l->n * l->k;
    tn_levels levels = levels_of(p, l, p->options.bits);
    float *w = region ? tn_linear_read(p->graph, l, region) : NULL;
    float *d = w ? tn_region_array(region, count, sizeof *d) : NULL,
          *y = d ? tn_region_array(region, count, sizeof *y) : NULL;
    float *h = y ? tn_region_array(region, l->k * l->k, sizeof *h) : NULL;
    tn_status status = h ? tn_levels_create(&levels, region) : TN_E_MEMORY;
    if (status == TN_OK) {
        for (size_t i = 0; i < count; i++) y[i] = w[i] * s[i % l->k];
        tn_levels_nearest(&levels, y);
        tn_levels_read(&levels, d);
        for (size_t i = 0; i < count; i++) d[i] = w[i] - d[i] / s[i % l->k];
        for (size_t i = 0; i < l->k * l->k; i++) h[i] = (float)(a->products[i] / (double)a->rows);
        status = tn_matrix_product(d, h, y, l->n, l->k, l->k);
        for (size_t i = 0; i < count && status == TN_OK; i++) *loss += (double)d[i] * (double)y[i];
    }
    tn_region_destroy(region);
    return status;
}

/* Scales from the mean size of activations, by an exponent; their geometric middle is 1. */
static void make_scales(const tn_activations *a, double exponent, float *s) {
    double low = INFINITY, high = 0;
    for (size_t i = 0; i < a->k; i++) {
        double x = pow(TN_MAX(a->sizes[i] / (double)a->rows, 1e-4), exponent);
        low = TN_MIN(low, x);
        high = TN_MAX(high, x);
        s[i] = (float)x;
    }
    for (size_t i = 0; i < a->k; i++) s[i] /= (float)sqrt(low * high);
}

static tn_status choose_scales(weight_only *p, int input) {
    const tn_activations *a = &p->inputs[input];
    float *s = tn_region_array(p->scratch, a->k, sizeof *s);
    double least = INFINITY, best = 0;
    if (!s) return TN_E_MEMORY;
    for (int i = 0; i < p->count; i++) /* a matrix that meets several inputs cannot follow one of them */
        for (int j = 0; j < p->count && p->all[i].input == input; j++)
            if (j != i && same_use(&p->all[i], &p->all[j])) return TN_OK;
    for (int turn = 0; turn < 10; turn++) {
        double loss = 0, exponent = turn / 10.0;
        make_scales(a, exponent, s);
        for (int i = 0; i < p->count; i++)
            if (p->all[i].input == input) TN_TRY(scaled_loss(p, &p->all[i].linear, a, s, &loss));
        if (loss < least) {
            least = loss;
            best = exponent;
        }
    }
    if (best == 0) return TN_OK;
    make_scales(a, best, s);
    p->scales[input] = s;
    for (size_t i = 0; i < a->k; i++)
        for (size_t j = 0; j < a->k; j++) a->products[i * a->k + j] /= (double)s[i] * (double)s[j];
    return TN_OK;
}

/* The input times 1 / s, which all its products read from now on. */
static tn_status divide_input(weight_only *p, int input) {
    tn_graph *graph = p->graph;
    const tn_op *mul = tn_op_find("", "Mul");
    const tn_activations *a = &p->inputs[input];
    const int64_t k = (int64_t)a->k;
    tn_tensor *t = tn_graph_tensor(graph, TN_FLOAT32, 1, &k, NULL);
    int in[2] = {a->value, t ? tn_graph_add_constant(graph, "", t) : -1};
    const tn_type type = graph->values[a->value].type;
    if (!mul) return tn_fail(TN_E_UNSUPPORTED, "the operator Mul is not in this build");
    if (in[1] < 0) return TN_E_MEMORY;
    for (size_t i = 0; i < a->k; i++) ((float *)t->data)[i] = 1 / p->scales[input][i];
    p->scaled[input] = tn_graph_add_value(graph, "", &type);
    if (p->scaled[input] < 0) return TN_E_MEMORY;
    return tn_graph_add_node(graph, mul, "", 2, in, 1, &p->scaled[input]) < 0 ? TN_E_MEMORY : TN_OK;
}

/* ---- the matrices ---- */

static int add_packed(tn_graph *graph, const char *name, const char *what, tn_dtype dtype, int rank,
                      const int64_t *dims, void **data) {
    tn_tensor *t = tn_graph_tensor(graph, dtype, rank, dims, NULL);
    const char *full = *name ? tn_region_printf(graph->region, "%s_%s", name, what) : "";
    if (!t || !full) return -1;
    *data = t->data;
    return tn_graph_add_constant(graph, full, t);
}

static tn_status pack_matrix(weight_only *p, matrix *m, const tn_levels *l) {
    tn_graph *graph = p->graph;
    const char *name = graph->values[m->linear.weight].name;
    const int64_t n = (int64_t)l->n, blocks = (int64_t)l->blocks, bytes = (int64_t)l->block * l->bits / 8;
    const int64_t zeros = (blocks * l->bits + 7) / 8;
    void *q, *scales, *zero = NULL;
    if (m->table) {
        m->packed[0] = add_packed(graph, name, "q", TN_UINT8, 2, (int64_t[]){n, blocks * bytes}, &q);
        m->packed[1] = add_packed(graph, name, "scales", TN_FLOAT32, 2, (int64_t[]){n, blocks}, &scales);
        if (!l->symmetric) m->packed[2] = add_packed(graph, name, "zeros", TN_UINT8, 2, (int64_t[]){n, zeros}, &zero);
    } else {
        m->packed[0] = add_packed(graph, name, "q", TN_UINT8, 3, (int64_t[]){n, blocks, bytes}, &q);
        m->packed[1] = add_packed(graph, name, "scales", TN_FLOAT32, 1, (int64_t[]){n * blocks}, &scales);
        if (!l->symmetric) m->packed[2] = add_packed(graph, name, "zeros", TN_UINT8, 1, (int64_t[]){n * zeros}, &zero);
    }
    if (m->packed[0] < 0 || m->packed[1] < 0 || (!l->symmetric && m->packed[2] < 0)) return TN_E_MEMORY;
    tn_levels_pack(l, q);
    memcpy(scales, l->scales, l->n * l->blocks * sizeof(float));
    if (zero) tn_levels_pack_zeros(l, zero);
    return TN_OK;
}

static tn_status quantize_matrix(weight_only *p, matrix *m, tn_region *region) {
    const tn_linear *linear = &m->linear;
    tn_levels levels = levels_of(p, linear, bits_of(p, m));
    const size_t count = linear->n * linear->k;
    float *w = tn_linear_read(p->graph, linear, region),
          *back = w ? tn_region_array(region, count, sizeof *back) : NULL;
    const float *s = m->input >= 0 ? p->scales[m->input] : NULL;
    if (!back) return TN_E_MEMORY;
    TN_TRY(tn_levels_create(&levels, region));
    for (size_t i = 0; i < count && s; i++) w[i] *= s[i % linear->k];
    if (p->options.method == TN_WEIGHT_GPTQ && m->input >= 0)
        TN_TRY(tn_levels_gptq(&levels, w, p->inputs[m->input].products, p->options.damping, region));
    else if (p->options.method == TN_WEIGHT_HQQ)
        tn_levels_hqq(&levels, w);
    else
        tn_levels_nearest(&levels, w);
    tn_levels_read(&levels, back);
    tn_weights_compare(&p->error, w, back, count);
    return pack_matrix(p, m, &levels);
}

static tn_status replace_node(weight_only *p, const matrix *m) {
    tn_graph *graph = p->graph;
    tn_node *node = &graph->nodes[m->linear.node];
    const tn_op *op = tn_op_find("com.microsoft", m->table ? "GatherBlockQuantized" : "MatMulNBits");
    int in[6] = {-1, m->packed[0], m->packed[1], m->packed[2], -1, -1}, count = m->packed[2] >= 0 ? 4 : 3;
    if (!op) return tn_fail(TN_E_UNSUPPORTED, "the operators of weights of few bits are not in this build");
    if (m->table) {
        in[0] = m->packed[0];
        in[1] = node->in[1];
        node->attr_count = 0;
        TN_TRY(tn_node_set_int(graph, node, "gather_axis", 0));
        TN_TRY(tn_node_set_int(graph, node, "quantize_axis", 1));
    } else {
        in[0] = m->input >= 0 && p->scales[m->input] ? p->scaled[m->input] : node->in[0];
        if (node->formal_in > 2 && node->in[2] >= 0) {
            in[5] = node->in[2];
            count = 6;
            const tn_tensor *c = graph->values[in[5]].constant;
            if (c->rank > 1) { /* [1, n] */
                const tn_tensor *row = tn_graph_tensor(graph, c->dtype, 1, &c->dims[c->rank - 1], c->data);
                in[5] = row ? tn_graph_add_constant(graph, graph->values[in[5]].name, row) : -1;
                if (in[5] < 0) return TN_E_MEMORY;
            }
        }
        node->attr_count = 0;
        TN_TRY(tn_node_set_int(graph, node, "K", (int64_t)m->linear.k));
        TN_TRY(tn_node_set_int(graph, node, "N", (int64_t)m->linear.n));
    }
    TN_TRY(tn_node_set_int(graph, node, "bits", bits_of(p, m)));
    TN_TRY(tn_node_set_int(graph, node, "block_size", p->options.block));
    node->op = op;
    return tn_node_set_inputs(graph, node, count, in);
}

static tn_status quantize_all(weight_only *p) {
    TN_TRY(find_matrices(p));
    const bool looks = p->options.method == TN_WEIGHT_GPTQ || p->options.awq;
    if (looks) TN_TRY(collect(p));
    for (int i = 0; i < p->input_count && p->options.awq; i++) {
        TN_TRY(choose_scales(p, i));
        if (p->scales[i]) TN_TRY(divide_input(p, i));
    }
    for (int i = 0; i < p->count; i++) {
        matrix *m = &p->all[i];
        int first = 0;
        while (!same_use(&p->all[first], m)) first++;
        if (first < i) {
            memcpy(m->packed, p->all[first].packed, sizeof m->packed);
        } else {
            tn_region *region = tn_region_create(NULL);
            tn_status status = region ? quantize_matrix(p, m, region) : TN_E_MEMORY;
            tn_region_destroy(region);
            if (status != TN_OK) return tn_node_context(status, &p->graph->nodes[m->linear.node]);
        }
        TN_TRY(replace_node(p, m));
    }
    return TN_OK;
}

tn_status tn_graph_quantize_weights(tn_graph *graph, const tn_weight_only_options *options,
                                    tn_weights_report *out_report) {
    weight_only p = {.graph = graph, .options = {.struct_size = sizeof p.options}};
    tn_weights_report report;
    if (options) memcpy(&p.options, options, TN_MIN(options->struct_size, sizeof p.options));
    TN_TRY(check_options(&p.options));
    TN_TRY(tn_weights_begin(graph, &report));
    p.scratch = tn_region_create(graph->allocator);
    if (!p.scratch) return TN_E_MEMORY;
    tn_status status = quantize_all(&p);
    tn_region_destroy(p.scratch);
    TN_TRY(status);
    report.layers = p.count;
    report.error = tn_weights_relative(&p.error);
    return tn_weights_end(graph, &report, out_report);
}
