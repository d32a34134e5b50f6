/* The passes themselves, for the table in passes.c. */
#ifndef TN_PASSES_ROWS_H
#define TN_PASSES_ROWS_H

#include "graph/op.h"

tn_status tn_pass_inline(tn_graph *graph, int *changes);
tn_status tn_pass_fold(tn_graph *graph, int *changes);
tn_status tn_pass_codebook(tn_graph *graph, int *changes);
tn_status tn_pass_identity(tn_graph *graph, int *changes);
tn_status tn_pass_widen(tn_graph *graph, int *changes);
tn_status tn_pass_common(tn_graph *graph, int *changes);
tn_status tn_pass_qdq_unsigned(tn_graph *graph, int *changes);
tn_status tn_pass_qdq_move(tn_graph *graph, int *changes);
tn_status tn_pass_qdq_table(tn_graph *graph, int *changes);
tn_status tn_pass_qdq(tn_graph *graph, int *changes);
tn_status tn_pass_qdq_float(tn_graph *graph, int *changes);
tn_status tn_pass_qlast(tn_graph *graph, int *changes);
tn_status tn_pass_qconv_fuse(tn_graph *graph, int *changes);
tn_status tn_pass_fold_quantized(tn_graph *graph, int *changes);
tn_status tn_pass_gelu(tn_graph *graph, int *changes);
tn_status tn_pass_swish(tn_graph *graph, int *changes);
tn_status tn_pass_layer_norm(tn_graph *graph, int *changes);
tn_status tn_pass_attention(tn_graph *graph, int *changes);
tn_status tn_pass_squeeze(tn_graph *graph, int *changes);
tn_status tn_pass_conv_scale(tn_graph *graph, int *changes);
tn_status tn_pass_conv_fuse(tn_graph *graph, int *changes);
tn_status tn_pass_conv_pair(tn_graph *graph, int *changes);
tn_status tn_pass_matmul_fuse(tn_graph *graph, int *changes);

#endif
