/* Layered drawings of directed graphs (Sugiyama, Tagawa, Toda 1981): vertices in rows, edges from row to row.
 *
 * Edges that cross rows go through points of their own; all edges of one vertex share them, so that a mask which every
 * layer of a model reads is one line with branches. */
#ifndef TENON_LAYOUT_H
#define TENON_LAYOUT_H

#include <stdbool.h>

typedef struct vertex {
    double width, x; /* x: of its middle */
    int row, place;  /* place in its row */
    int source;      /* of a point: the vertex whose edge goes through it; -1: no point */
} vertex;

typedef struct edge {
    int from, to;
} edge;

typedef struct layout {
    vertex *vertices; /* the caller's first, then the points */
    int vertex_count, own_count;
    edge *edges; /* from row to next row */
    int edge_count;
    int rows;
    double width;
} layout;

/* Vertices have widths; edges go from a vertex to one with a greater number. False: too large to draw. */
bool layout_make(int vertex_count, const double *widths, int edge_count, const edge *edges, double gap, layout *out);
void layout_free(layout *l);

#endif
