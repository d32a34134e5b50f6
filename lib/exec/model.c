/* Models: what sessions share. See tenon/model.h. */
#include "exec/model.h"

tn_model_options tn_model_options_of(const tn_model_options *options) {
    tn_model_options full = {.struct_size = sizeof full};
    if (options) memcpy(&full, options, TN_MIN(options->struct_size, sizeof full));
    return full;
}

static tn_status kernels_of_level(const tn_model_options *options, const tn_kernels **out_kernels) {
    if (!options->cpu) {
        *out_kernels = tn_kernels_best();
        return TN_OK;
    }
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        if (strcmp(options->cpu, tn_cpu_level_name((tn_cpu_level)level)) != 0) continue;
        *out_kernels = tn_kernels_at((tn_cpu_level)level);
        if (*out_kernels) return TN_OK;
        return tn_fail(TN_E_UNSUPPORTED, "this machine has no %s; tn_cpu_level_at lists what it has", options->cpu);
    }
    return tn_fail(TN_E_NOT_FOUND, "there is no instruction set level '%s'; tn_cpu_level_at lists them", options->cpu);
}

tn_status tn_model_kernels(const tn_model_options *options, const tn_kernels **out_kernels) {
    if (options->precision != TN_PRECISION_FULL && options->precision != TN_PRECISION_FAST)
        return tn_fail(TN_E_INVALID, "precision is %d; expected TN_PRECISION_FULL or TN_PRECISION_FAST",
                       (int)options->precision);
    TN_TRY(kernels_of_level(options, out_kernels));
    if (options->precision == TN_PRECISION_FAST) *out_kernels = tn_kernels_fast(*out_kernels);
    return TN_OK;
}

tn_status tn_model_create(tn_graph *graph, const tn_model_options *options, tn_model **out_model) {
    *out_model = NULL;
    tn_model_options full = tn_model_options_of(options);
    tn_model *model = tn_alloc_zero(full.allocator, sizeof *model);
    if (!model) {
        tn_graph_destroy(graph);
        return TN_E_MEMORY;
    }
    model->allocator = full.allocator;
    model->graph = graph;
    tn_status status = tn_model_kernels(&full, &model->kernels);
    if (status == TN_OK && (full.weights < TN_WEIGHTS_AUTO || full.weights > TN_WEIGHTS_PACKED))
        status = tn_fail(TN_E_INVALID, "weights is %d; expected one of tn_weights_place", (int)full.weights);
    if (status == TN_OK) status = tn_packs_create(full.allocator, full.weights, graph->root->weights, &model->packs);
    if (status == TN_OK && full.packed_folder)
        status = tn_packs_share(model->packs, graph, model->kernels, full.packed_folder);
    if (status != TN_OK) {
        tn_model_destroy(model);
        return status;
    }
    *out_model = model;
    return TN_OK;
}

void tn_model_destroy(tn_model *model) {
    if (!model) return;
    tn_packs_destroy(model->packs);
    tn_graph_destroy(model->graph);
    tn_free(model->allocator, model, sizeof *model);
}

const tn_graph *tn_model_graph(const tn_model *model) {
    return model->graph;
}
const char *tn_model_cpu(const tn_model *model) {
    return tn_cpu_level_name(model->kernels->level);
}
int tn_model_input_count(const tn_model *model) {
    return model->graph->input_count;
}
int tn_model_output_count(const tn_model *model) {
    return model->graph->output_count;
}

tn_status tn_model_input_info(const tn_model *model, int index, tn_value_info *out_info) {
    if (index < 0 || index >= model->graph->input_count)
        return tn_fail(TN_E_NOT_FOUND, "input %d does not exist; the model has %d", index, model->graph->input_count);
    return tn_graph_value_info(model->graph, model->graph->inputs[index], out_info);
}

tn_status tn_model_output_info(const tn_model *model, int index, tn_value_info *out_info) {
    if (index < 0 || index >= model->graph->output_count)
        return tn_fail(TN_E_NOT_FOUND, "output %d does not exist; the model has %d", index, model->graph->output_count);
    return tn_graph_value_info(model->graph, model->graph->outputs[index], out_info);
}

static int index_of(const tn_graph *graph, const int *values, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(graph->values[values[i]].name, name) == 0) return i;
    return -1;
}

int tn_model_input_index(const tn_model *model, const char *name) {
    return index_of(model->graph, model->graph->inputs, model->graph->input_count, name);
}

int tn_model_output_index(const tn_model *model, const char *name) {
    return index_of(model->graph, model->graph->outputs, model->graph->output_count, name);
}

tn_status tn_model_metadata_at(const tn_model *model, int index, const char **out_key, const char **out_value) {
    const tn_graph *graph = model->graph;
    if (index < 0 || index >= graph->metadata_count / 2)
        return tn_fail(TN_E_NOT_FOUND, "metadata %d does not exist; the model has %d", index,
                       graph->metadata_count / 2);
    *out_key = graph->metadata[2 * index];
    *out_value = graph->metadata[2 * index + 1];
    return TN_OK;
}

const char *tn_model_metadata(const tn_model *model, const char *key) {
    const tn_graph *graph = model->graph;
    for (int i = 0; i + 1 < graph->metadata_count; i += 2)
        if (strcmp(graph->metadata[i], key) == 0) return graph->metadata[i + 1];
    return NULL;
}

const char *tn_cpu_level_at(int index) {
    for (int level = 0; level < TN_CPU_LEVELS; level++)
        if (tn_kernels_at((tn_cpu_level)level) && index-- == 0) return tn_cpu_level_name((tn_cpu_level)level);
    return NULL;
}

const char *tn_version(void) {
    return TN_VERSION;
}
