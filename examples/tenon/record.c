/* tenon eval --record: the model with the metrics of this evaluation in its manifest, where gates of stores look for them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "eval.h"

/* A canonical manifest without its metrics: a key of the whole begins a line, and what is in it is indented or a dash. */
static void without_metrics(FILE *out, const char *text) {
    bool skips = false;
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (*text != ' ' && *text != '-') skips = length >= 8 && strncmp(text, "metrics:", 8) == 0;
        if (!skips) fprintf(out, "%.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

/* The data's name: the file's, without folder and ending. */
static void data_name(char *name, size_t size, const char *path) {
    const char *slash = strrchr(path, '/'), *start = slash ? slash + 1 : path;
    snprintf(name, size, "%.*s", (int)strcspn(start, "."), start);
}

static char *new_manifest(const evaluation *e) {
    char name[128], *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    data_name(name, sizeof name, e->settings->operands.items[1]);
    without_metrics(out, tn_model_manifest(e->model));
    fputs("metrics:\n", out);
    for (int i = 0; i < e->figure_count; i++)
        if (isfinite(e->figures[i].value))
            fprintf(out, "  - {name: %s, value: %.17g, data: \"%s\", samples: %lld}\n", e->figures[i].name,
                    e->figures[i].value, name, (long long)e->rows);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

bool record_write(const evaluation *e, const char *path) {
    tn_graph *graph;
    const char *model = e->settings->operands.items[0];
    if (!ends_with(path, ".tenon") || !tn_model_manifest(e->model)) {
        complain("--record writes a .tenon with metrics, from a model that has a manifest");
        return false;
    }
    char *manifest = new_manifest(e);
    tn_status status = manifest ? tn_graph_load(model, NULL, &graph) : TN_E_MEMORY;
    if (status == TN_OK) {
        const tn_model_file_options options = {.struct_size = sizeof options, .manifest = manifest};
        status = tn_graph_save(graph, path, &options);
        tn_graph_destroy(graph);
    }
    free(manifest);
    return status == TN_OK || complain_status(path, status);
}
