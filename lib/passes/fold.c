/* Constant folding: nodes on constants alone are run now, and so are those that ask for a shape that is known. Quantized
 * weights stay as they are at first: what finds operators on integers has to see them. */
#include "base/element.h"
#include "exec/eager.h"
#include "graph/infer.h"
#include "passes/passes.h"
#include "passes/rows.h"

/* Results larger than both this and their inputs stay unfolded: a node that makes a big tensor of little
 * (ConstantOfShape, Expand) is better run than kept. All results of a pass together stay below this and twice the
 * constants that there were, so that a small file cannot ask for much memory. */
#define FREE_BYTES (1u << 20)
#define FREE_BYTES_TO_STORE (4u << 10)
#define FREE_BYTES_IN_ALL ((size_t)64 << 20)

static size_t bytes_of(const tn_tensor *t) {
    return tn_dtype_bytes(t->dtype, tn_count(t));
}

static size_t budget_of(const tn_graph *graph) {
    size_t bytes = FREE_BYTES_IN_ALL;
    for (int v = 0; v < graph->value_count; v++)
        if (graph->values[v].constant) bytes += 2 * TN_MIN(bytes_of(graph->values[v].constant), PTRDIFF_MAX / 64);
    return bytes;
}

/* What may be folded besides nodes whose results are no larger than their inputs. */
typedef struct {
    size_t bytes;   /* results of so many bytes more */
    bool quantized; /* quantized weights */
    bool half;      /* weights in half precision that are made float32 */
} leave;

/* *bytes: of its results, as far as they are known. */
static bool foldable(tn_graph *graph, const tn_node *node, const leave *may, size_t *bytes) {
    const bool widens = may->half && strcmp(node->op->name, "Cast") == 0;
    size_t in = may->bytes, out = 0;
    if (!may->quantized && strcmp(node->op->name, "DequantizeLinear") == 0) return false;
    if (node->dead || node->op->flags & (TN_OP_RANDOM | TN_OP_CONTROL) || !node->op->run) return false;
    for (int i = 0; i < node->in_count; i++) {
        if (node->in[i] < 0) continue;
        const tn_graph_value *value = &graph->values[node->in[i]];
        if (value->constant)
            in += bytes_of(value->constant) * (widens && tn_dtype_is_half(value->constant->dtype) ? 2 : 1);
        else if (!(node->op->flags & TN_OP_SHAPE) || !tn_type_is_concrete(&value->type))
            return false;
    }
    if (tn_graph_infer_node(graph, node) != TN_OK) return false; /* what was folded before may tell more */
    for (int i = 0; i < node->out_count; i++) {
        if (node->out[i] < 0) continue;
        const tn_type *type = &graph->values[node->out[i]].type;
        if (type->kind != TN_KIND_TENSOR || type->optional) return false;
        if (tn_type_is_concrete(type))
            out += TN_MIN(tn_dtype_bytes(type->dtype, tn_type_count(type)), PTRDIFF_MAX / 64);
    }
    *bytes = out;
    return out <= in;
}

static void release_tensor(void *pointer, size_t size) {
    (void)size;
    tn_tensor_destroy(pointer);
}

static tn_status fold_node(tn_graph *graph, const tn_node *node, tn_region *scratch) {
    tn_tensor *shapes = tn_region_array(scratch, (size_t)node->in_count + 1, sizeof *shapes);
    const tn_tensor **in = tn_region_array(scratch, (size_t)node->in_count + 1, sizeof *in);
    tn_tensor **out = tn_region_array(scratch, (size_t)node->out_count + 1, sizeof *out);
    if (!shapes || !in || !out) return TN_E_MEMORY;
    for (int i = 0; i < node->in_count; i++) {
        if (node->in[i] < 0) continue;
        const tn_graph_value *value = &graph->values[node->in[i]];
        in[i] = value->constant ? value->constant : &shapes[i];
        if (!value->constant)
            TN_TRY(tn_tensor_set_dense(&shapes[i], value->type.dtype, value->type.rank, value->type.dims, NULL));
    }
    tn_eager options = {.allocator = graph->allocator};
    TN_TRY(tn_eager_run(&options, node->op, node->attr_count, node->attrs, node->in_count, in, node->out_count, out));
    tn_status status = TN_OK;
    for (int i = 0; i < node->out_count; i++) {
        if (node->out[i] < 0 || status != TN_OK) {
            tn_tensor_destroy(out[i]);
            continue;
        }
        status = tn_graph_keep(graph, release_tensor, out[i], 0);
        tn_graph_value *value = &graph->values[node->out[i]];
        if (status != TN_OK) continue;
        value->constant = out[i];
        tn_type_tensor(&value->type, out[i]->dtype, out[i]->rank, out[i]->dims);
    }
    return status;
}

static tn_status fold(tn_graph *graph, leave may, int *changes) {
    tn_region *scratch = tn_region_create(graph->allocator);
    tn_status status = scratch ? TN_OK : TN_E_MEMORY;
    size_t budget = budget_of(graph), bytes;
    for (int n = 0; n < graph->node_count && status == TN_OK; n++) {
        tn_node *node = &graph->nodes[n];
        if (!foldable(graph, node, &may, &bytes) || bytes > budget) continue;
        budget -= bytes;
        tn_region_reset(scratch);
        status = fold_node(graph, node, scratch);
        if (status == TN_OK) {
            node->dead = true;
            ++*changes;
        } else if (status == TN_E_MEMORY) {
            break;
        } else {
            status = TN_OK; /* it would fail when run; then the sentence comes with the run, if it ever runs */
        }
    }
    tn_region_destroy(scratch);
    return status;
}

tn_status tn_pass_fold(tn_graph *graph, int *changes) {
    return fold(graph, (leave){.bytes = FREE_BYTES}, changes);
}
tn_status tn_pass_fold_quantized(tn_graph *graph, int *changes) {
    return fold(graph, (leave){.bytes = FREE_BYTES, .quantized = true}, changes);
}
tn_status tn_fold_to_store(tn_graph *graph, bool half, int *changes) {
    return fold(graph, (leave){.bytes = FREE_BYTES_TO_STORE, .half = half}, changes);
}
