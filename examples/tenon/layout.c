/* See layout.h. Rows by longest path; order in the rows by barycentres; positions by least squares in that order. */
#include "layout.h"
#include "tool.h"
#include <math.h>
#include <stdlib.h>

enum { POINT_LIMIT = 1 << 21, ORDER_SWEEPS = 12, POSITION_SWEEPS = 24 };

/* Neighbours of each vertex in the rows above and below, as lists in one array. */
typedef struct neighbours {
    int *start, *items;
} neighbours;

static neighbours neighbours_make(const layout *l, bool above) {
    neighbours n = {tool_alloc((size_t)l->vertex_count + 1, sizeof(int)),
                    tool_alloc((size_t)l->edge_count, sizeof(int))};
    for (int i = 0; i < l->edge_count; i++) n.start[(above ? l->edges[i].to : l->edges[i].from) + 1]++;
    for (int v = 0; v < l->vertex_count; v++) n.start[v + 1] += n.start[v];
    int *next = tool_alloc((size_t)l->vertex_count, sizeof *next);
    for (int i = 0; i < l->edge_count; i++) {
        int owner = above ? l->edges[i].to : l->edges[i].from, other = above ? l->edges[i].from : l->edges[i].to;
        n.items[n.start[owner] + next[owner]++] = other;
    }
    free(next);
    return n;
}

static void neighbours_free(neighbours *n) {
    free(n->start);
    free(n->items);
}

/* Sources sink to just above what first needs them. */
static void assign_rows(layout *l, int edge_count, const edge *edges) {
    int *first = tool_alloc((size_t)l->own_count, sizeof *first);
    bool *fed = tool_alloc((size_t)l->own_count, sizeof *fed);
    /* Edges come in the order of their ends, so that the second round mostly finds nothing to do. */
    bool changed = true;
    while (changed) {
        changed = false;
        for (int i = 0; i < edge_count; i++) {
            vertex *to = &l->vertices[edges[i].to];
            int row = l->vertices[edges[i].from].row + 1;
            fed[edges[i].to] = true;
            if (to->row >= row) continue;
            to->row = row;
            changed = true;
        }
    }
    for (int i = 0; i < edge_count; i++) {
        int row = l->vertices[edges[i].to].row, *f = &first[edges[i].from];
        if (!*f || row < *f) *f = row;
    }
    for (int v = 0; v < l->own_count; v++) {
        if (!fed[v] && first[v]) l->vertices[v].row = first[v] - 1;
        if (l->vertices[v].row >= l->rows) l->rows = l->vertices[v].row + 1;
    }
    free(first);
    free(fed);
}

/* Points for the rows that edges cross, and the edges cut there. */
static bool cut_edges(layout *l, int edge_count, const edge *edges) {
    int *last = tool_alloc((size_t)l->own_count, sizeof *last),
        *points = tool_alloc((size_t)l->own_count, sizeof *points);
    long total = l->own_count;
    for (int i = 0; i < edge_count; i++) {
        int row = l->vertices[edges[i].to].row;
        if (row > last[edges[i].from]) last[edges[i].from] = row;
    }
    for (int v = 0; v < l->own_count; v++) {
        points[v] = (int)total;
        if (last[v] > l->vertices[v].row + 1) total += last[v] - l->vertices[v].row - 1;
        if (total > POINT_LIMIT) break;
    }
    if (total <= POINT_LIMIT) {
        l->vertices = realloc(l->vertices, (size_t)total * sizeof *l->vertices);
        l->edges = tool_alloc((size_t)(total + edge_count), sizeof *l->edges);
        if (!l->vertices) abort();
        for (int v = 0; v < l->own_count; v++) {
            int before = v, point = points[v];
            for (int row = l->vertices[v].row + 1; row < last[v]; row++, point++) {
                l->vertices[point] = (vertex){.width = 0, .row = row, .source = v};
                l->edges[l->edge_count++] = (edge){before, point};
                before = point;
            }
        }
        for (int i = 0; i < edge_count; i++) {
            int from = edges[i].from, gap = l->vertices[edges[i].to].row - l->vertices[from].row - 1;
            l->edges[l->edge_count++] = (edge){gap ? points[from] + gap - 1 : from, edges[i].to};
        }
        l->vertex_count = (int)total;
    }
    free(last);
    free(points);
    return total <= POINT_LIMIT;
}

/* The rows as lists of vertices, in one array. */
typedef struct row_lists {
    int *start, *items;
} row_lists;

static row_lists rows_make(const layout *l) {
    row_lists r = {tool_alloc((size_t)l->rows + 1, sizeof(int)), tool_alloc((size_t)l->vertex_count, sizeof(int))};
    for (int v = 0; v < l->vertex_count; v++) r.start[l->vertices[v].row + 1]++;
    for (int i = 0; i < l->rows; i++) r.start[i + 1] += r.start[i];
    int *next = tool_alloc((size_t)l->rows + 1, sizeof *next);
    for (int v = 0; v < l->vertex_count; v++) {
        int row = l->vertices[v].row;
        r.items[r.start[row] + next[row]++] = v;
    }
    free(next);
    return r;
}

typedef struct keyed {
    double key;
    int vertex, place;
} keyed;

static int by_key(const void *a, const void *b) {
    const keyed *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : x->place - y->place;
}

/* Sorts a row by the mean place of its neighbours; those without keep theirs. */
static void order_row(layout *l, int *items, int count, const neighbours *n, keyed *keys) {
    for (int i = 0; i < count; i++) {
        int v = items[i], first = n->start[v], last = n->start[v + 1];
        double sum = 0;
        for (int k = first; k < last; k++) sum += l->vertices[n->items[k]].place;
        keys[i] = (keyed){last > first ? sum / (last - first) : i, v, i};
    }
    qsort(keys, (size_t)count, sizeof *keys, by_key);
    for (int i = 0; i < count; i++) {
        items[i] = keys[i].vertex;
        l->vertices[items[i]].place = i;
    }
}

/* Points weigh more, so that long edges are straight. The same weights where edges part and where they meet keep a long
 * drawing from drifting to one side. */
static double pull(const vertex *v) {
    return v->source >= 0 ? 4 : 1;
}

/* Moves a row to where its neighbours are, as near as its order allows: the nearest non-decreasing sequence, by pooling
 * adjacent violators (Ayer and others 1955). */
static void place_row(layout *l, const int *items, int count, const neighbours *n, double gap, double *memory) {
    double *mean = memory, *weight = memory + count, *offset = memory + 2 * count;
    int *length = (int *)(memory + 3 * count), blocks = 0;
    for (int i = 0; i < count; i++) {
        const vertex *v = &l->vertices[items[i]];
        int first = n->start[items[i]], last = n->start[items[i] + 1];
        double sum = 0, all = 0;
        offset[i] = i ? offset[i - 1] + l->vertices[items[i - 1]].width / 2 + gap + v->width / 2 : 0;
        for (int k = first; k < last; k++) {
            const vertex *other = &l->vertices[n->items[k]];
            sum += other->x * pull(other);
            all += pull(other);
        }
        mean[blocks] = (all > 0 ? sum / all : v->x) - offset[i];
        weight[blocks] = all > 0 ? pull(v) : 0.1;
        length[blocks++] = 1;
        for (; blocks > 1 && mean[blocks - 2] > mean[blocks - 1]; blocks--) {
            double *m = &mean[blocks - 2], *w = &weight[blocks - 2];
            *m = (m[0] * w[0] + m[1] * w[1]) / (w[0] + w[1]);
            *w += w[1];
            length[blocks - 2] += length[blocks - 1];
        }
    }
    for (int b = 0, i = 0; b < blocks; b++)
        for (int k = 0; k < length[b]; k++, i++) l->vertices[items[i]].x = mean[b] + offset[i];
}

static void arrange(layout *l, double gap) {
    neighbours above = neighbours_make(l, true), below = neighbours_make(l, false);
    row_lists rows = rows_make(l);
    keyed *keys = tool_alloc((size_t)l->vertex_count, sizeof *keys);
    double *memory = tool_alloc(4 * (size_t)l->vertex_count, sizeof *memory);
    for (int v = 0; v < l->vertex_count; v++) l->vertices[v].place = 0;
    for (int row = 0; row < l->rows; row++)
        for (int i = rows.start[row]; i < rows.start[row + 1]; i++)
            l->vertices[rows.items[i]].place = i - rows.start[row];
    for (int sweep = 0; sweep < ORDER_SWEEPS + POSITION_SWEEPS; sweep++)
        for (int k = 0; k < l->rows; k++) {
            bool down = sweep % 2 == 0;
            int row = down ? k : l->rows - 1 - k, *items = rows.items + rows.start[row];
            int count = rows.start[row + 1] - rows.start[row];
            if (sweep < ORDER_SWEEPS)
                order_row(l, items, count, down ? &above : &below, keys);
            else
                place_row(l, items, count, down ? &above : &below, gap, memory);
        }
    double least = INFINITY, most = -INFINITY;
    for (int v = 0; v < l->vertex_count; v++) {
        least = fmin(least, l->vertices[v].x - l->vertices[v].width / 2);
        most = fmax(most, l->vertices[v].x + l->vertices[v].width / 2);
    }
    for (int v = 0; v < l->vertex_count; v++) l->vertices[v].x -= least;
    l->width = l->vertex_count ? most - least : 0;
    neighbours_free(&above);
    neighbours_free(&below);
    free(rows.start);
    free(rows.items);
    free(keys);
    free(memory);
}

bool layout_make(int vertex_count, const double *widths, int edge_count, const edge *edges, double gap, layout *out) {
    *out = (layout){.vertices = tool_alloc((size_t)vertex_count, sizeof(vertex)),
                    .vertex_count = vertex_count,
                    .own_count = vertex_count};
    for (int v = 0; v < vertex_count; v++) out->vertices[v] = (vertex){.width = widths[v], .source = -1};
    assign_rows(out, edge_count, edges);
    if (cut_edges(out, edge_count, edges)) {
        arrange(out, gap);
        return true;
    }
    layout_free(out);
    return false;
}

void layout_free(layout *l) {
    free(l->vertices);
    free(l->edges);
    *l = (layout){0};
}
