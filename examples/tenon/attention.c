/* tenon eval --importance of a model with attention: which places of a sequence each head looks at, the mean over the first
 * rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/explain.h>
#include "eval.h"

#define MOST_NUMBERS (1 << 20) /* of a map, which the report is to hold */

typedef struct job {
    evaluation *e;
    tn_session *session;
    const tn_tensor *x;
    int64_t width, dims[TN_MAX_RANK];
    int rank;
} job;

/* The shape of one row as the model takes it; false: its sizes are open. */
static bool find_shape(job *j, const tn_model *model) {
    tn_value_info info;
    int64_t size = 1;
    if (tn_model_input_count(model) != 1 || tn_model_input_info(model, 0, &info) != TN_OK || info.rank < 1)
        return false;
    j->rank = info.rank;
    j->dims[0] = 1;
    for (int i = 1; i < info.rank; i++) size *= j->dims[i] = info.dims[i];
    return size == j->width;
}

/* Takes a map [..., heads, to, from] of one row; what is smaller, or too large, is none. */
static void begin(attention_map *map, const tn_tensor *t) {
    const int rank = tn_tensor_rank(t);
    const int64_t count = tn_tensor_count(t);
    if (rank < 2 || count < 1 || count > MOST_NUMBERS || tn_tensor_dtype(t) != TN_FLOAT32) return;
    map->to = tn_tensor_dims(t)[rank - 2];
    map->from = tn_tensor_dims(t)[rank - 1];
    map->heads = count / map->to / map->from;
    map->values = tool_alloc((size_t)count, sizeof *map->values);
}

static tn_status add_row(job *j, int64_t row, int64_t rows) {
    const tn_tensor *t;
    tn_tensor *x;
    void *data;
    memcpy(&data, &(const void *){(const float *)tn_tensor_const_data(j->x) + row * j->width}, sizeof data);
    tn_status status = tn_tensor_wrap(TN_FLOAT32, j->rank, j->dims, NULL, data, (size_t)j->width * sizeof(float), &x);
    if (status != TN_OK) return status;
    status = tn_session_set_input(j->session, 0, x);
    if (status == TN_OK) status = tn_session_run(j->session);
    for (int i = 0; status == TN_OK && i < j->e->map_count; i++) {
        attention_map *map = &j->e->maps[i];
        char name[40];
        snprintf(name, sizeof name, "attention/%d", i);
        status = tn_session_output_by_name(j->session, name, &t);
        if (status != TN_OK) break;
        if (row == 0) begin(map, t);
        const float *from = tn_tensor_const_data(t);
        const int64_t count = map->heads * map->to * map->from;
        for (int64_t k = 0; count == tn_tensor_count(t) && k < count; k++)
            map->values[k] += (double)from[k] / (double)rows;
    }
    tn_tensor_destroy(x);
    return status;
}

static tn_status add_rows(job *j, const tn_model *model, int64_t rows) {
    const tn_session_options options = {.struct_size = sizeof options, .threads = (int)j->e->settings->threads};
    tn_status status = tn_session_create(model, &options, &j->session);
    for (int64_t r = 0; status == TN_OK && r < rows; r++) status = add_row(j, r, rows);
    tn_session_destroy(j->session);
    return status;
}

bool measure_attention(evaluation *e, int64_t rows) {
    const settings *s = e->settings;
    const char *path = s->operands.items[0];
    job j = {.e = e, .x = tn_evaluation_inputs(e->result)};
    tn_graph *graph;
    tn_model *model;
    if (!j.x) return complain_status("windows", TN_E_MEMORY);
    j.width = tn_tensor_dims(j.x)[1];
    if (rows > tn_tensor_dims(j.x)[0]) rows = tn_tensor_dims(j.x)[0];
    tn_status status = tn_graph_load(path, NULL, &graph);
    if (status != TN_OK) return complain_status(path, status);
    status = tn_graph_expose_attention(graph, &e->map_count);
    if (status != TN_OK) {
        tn_graph_destroy(graph);
        return status == TN_E_NOT_FOUND || complain_status(path, status);
    }
    progress(s, "attention");
    e->maps = tool_alloc((size_t)e->map_count, sizeof *e->maps);
    status =
        tn_model_from_graph(graph, &(tn_model_options){.struct_size = sizeof(tn_model_options), .cpu = s->cpu}, &model);
    if (status == TN_OK && find_shape(&j, model)) status = add_rows(&j, model, rows);
    if (status == TN_OK) tn_model_destroy(model);
    progress(s, NULL);
    return status == TN_OK || complain_status(path, status);
}

void attention_free(evaluation *e) {
    for (int i = 0; i < e->map_count; i++) free(e->maps[i].values);
    free(e->maps);
}

/* 0: each place looks at one alone; 1: at all alike. */
static double evenness(const attention_map *map, int64_t head) {
    double sum = 0;
    for (int64_t i = 0; i < map->to * map->from; i++) {
        double p = map->values[head * map->to * map->from + i];
        if (p > 0) sum -= p * log(p);
    }
    return map->from > 1 ? sum / (double)map->to / log((double)map->from) : 0;
}

void print_attention(const evaluation *e) {
    for (int i = 0; i < e->map_count; i++) {
        const attention_map *map = &e->maps[i];
        if (!map->heads) continue;
        printf("\nattention/%d (%lld places look at %lld): how evenly each head does\n", i, (long long)map->to,
               (long long)map->from);
        for (int64_t h = 0; h < map->heads; h++) printf(" %10.4f", evenness(map, h));
        puts("");
    }
}

void emit_attention(const evaluation *e, json *j) {
    if (!e->map_count) return;
    emit_object(j, "attention");
    for (int i = 0; i < e->map_count; i++) {
        const attention_map *map = &e->maps[i];
        char name[40];
        snprintf(name, sizeof name, "attention/%d", i);
        emit_array(j, name);
        for (int64_t h = 0; h < map->heads; h++) {
            emit_array(j, NULL);
            for (int64_t t = 0; t < map->to; t++) {
                emit_array(j, NULL);
                for (int64_t f = 0; f < map->from; f++)
                    emit_number(j, NULL, map->values[(h * map->to + t) * map->from + f]);
                emit_end(j);
            }
            emit_end(j);
        }
        emit_end(j);
    }
    emit_end(j);
}

/* ---- pictures ---- */

enum { SIDE = 180, MOST_CELLS = 32, MOST_HEADS = 16 };

/* The mean of the map's numbers that cell (row, column) of a picture of rows x columns shows. */
static double cell_of(const attention_map *map, int64_t head, int row, int column, int rows, int columns) {
    const double *values = map->values + head * map->to * map->from;
    const int64_t t0 = map->to * row / rows, t1 = map->to * (row + 1) / rows, f0 = map->from * column / columns,
                  f1 = map->from * (column + 1) / columns;
    double sum = 0;
    for (int64_t t = t0; t < t1; t++)
        for (int64_t f = f0; f < f1; f++) sum += values[t * map->from + f];
    return sum / (double)((t1 - t0) * (f1 - f0));
}

static void draw_head(FILE *f, const attention_map *map, int index, int64_t head) {
    const int rows = map->to < MOST_CELLS ? (int)map->to : MOST_CELLS,
              columns = map->from < MOST_CELLS ? (int)map->from : MOST_CELLS;
    const double high = (double)SIDE / rows, wide = (double)SIDE / columns;
    double most = 0;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) most = fmax(most, cell_of(map, head, r, c, rows, columns));
    fprintf(f,
            "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'><title>attention/%d, head %lld</title>"
            "<text x='4' y='14'>attention/%d, head %lld</text>\n",
            SIDE + 8, SIDE + 28, SIDE + 8, SIDE + 28, index, (long long)head, index, (long long)head);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            const double value = cell_of(map, head, r, c, rows, columns);
            fprintf(f, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='#2f6fb7' fill-opacity='%.2f'/>",
                    4 + c * wide, 20 + r * high, wide, high, most > 0 ? value / most : 0);
        }
    fprintf(f, "<rect x='4' y='20' width='%d' height='%d' fill='none' stroke='#dfe4ea'/></svg>\n", SIDE, SIDE);
}

void draw_attention(const evaluation *e, FILE *f) {
    if (!e->map_count) return;
    fputs("<h2>Attention</h2>\n<p>A row a place that looks, a column one that is looked at: the darker, the more. "
          "Means over "
          "the first rows.</p>\n",
          f);
    for (int i = 0; i < e->map_count; i++)
        for (int64_t h = 0; h < e->maps[i].heads && h < MOST_HEADS; h++) draw_head(f, &e->maps[i], i, h);
}
