/* The cells of recurrent layers, and their activations. See recurrent.h.
 *
 * An LSTM with the activations that all have goes through one kernel; anything else is made of the kernels of one
 * variable. Attributes alpha and beta are lists of which each activation that has such a parameter takes the next
 * number, as in ONNX Runtime. */
#include "ops/recurrent.h"
#include <math.h>
#include <strings.h>

typedef struct activation_row {
    const char *name;
    int parameters; /* 1: alpha, 2: alpha and beta */
    float alpha, beta;
} activation_row;

static const activation_row rows[] = {
    {"Relu", 0, 0, 0},          {"Tanh", 0, 0, 0},
    {"Sigmoid", 0, 0, 0},       {"Affine", 2, 1, 0},
    {"LeakyRelu", 1, 0.01f, 0}, {"ThresholdedRelu", 1, 1, 0},
    {"ScaledTanh", 2, 1, 1},    {"HardSigmoid", 2, 0.2f, 0.5f},
    {"Elu", 1, 1, 0},           {"Softsign", 0, 0, 0},
    {"Softplus", 0, 0, 0},
};

static void set_activation(tn_gate_activation *act, const tn_kernels *k, int row, float alpha, float beta) {
    void (*const kernels[])(float *, const float *, size_t, const float *) = {
        k->relu_f32,
        k->tanh_f32,
        k->sigmoid_f32,
        NULL,
        k->leaky_relu_f32,
        k->thresholded_relu_f32,
        NULL,
        k->hard_sigmoid_f32,
        k->elu_f32,
        k->softsign_f32,
        k->softplus_f32,
    };
    *act = (tn_gate_activation){TN_GATE_KERNEL, row, kernels[row], {alpha, beta, 1}};
    if (strcmp(rows[row].name, "Affine") == 0) act->form = TN_GATE_AFFINE;
    if (strcmp(rows[row].name, "ScaledTanh") == 0) act->form = TN_GATE_SCALED_TANH, act->kernel = k->tanh_f32;
    if (strcmp(rows[row].name, "Elu") == 0) act->p[1] = 1; /* scale, inverse of alpha, slope */
}

tn_status tn_gate_activations(const tn_node *node, const tn_kernels *kernels, tn_cell cell, size_t directions,
                              tn_gate_activation (*act)[3], bool *all_default) {
    static const char *const defaults[3][3] = {{"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
    const size_t each = cell == TN_CELL_RNN ? 1 : cell == TN_CELL_GRU ? 2 : 3;
    const tn_attr *names = tn_node_attr(node, "activations");
    size_t alphas, betas, alpha = 0, beta = 0;
    const float *alpha_list = tn_attr_floats(node, "activation_alpha", &alphas);
    const float *beta_list = tn_attr_floats(node, "activation_beta", &betas);
    if (names && (names->kind != TN_ATTR_STRINGS || names->count % each != 0 || names->count < each))
        return tn_fail(TN_E_INVALID, "activations has %zu names; expected %zu for each direction", names->count, each);
    *all_default = true;
    for (size_t d = 0; d < directions; d++)
        for (size_t i = 0; i < each; i++) {
            /* Names of one direction serve the other as well. */
            const char *name = names ? names->strings[(d * each + i) % names->count].data : defaults[cell][i];
            int row = -1;
            for (size_t k = 0; k < TN_COUNT(rows); k++)
                if (strcasecmp(name, rows[k].name) == 0) row = (int)k;
            if (row < 0) return tn_fail(TN_E_INVALID, "activation '%.40s' is not one that recurrent layers have", name);
            bool has_alpha = rows[row].parameters > 0, has_beta = rows[row].parameters > 1;
            float a = has_alpha && alpha < alphas ? alpha_list[alpha++] : rows[row].alpha;
            float b = has_beta && beta < betas ? beta_list[beta++] : rows[row].beta;
            if (kernels) set_activation(&act[d][i], kernels, row, a, b);
            *all_default = *all_default && strcasecmp(name, defaults[cell][i]) == 0;
        }
    return TN_OK;
}

static void activate(const tn_gate_activation *act, float *x, size_t n) {
    if (act->form == TN_GATE_SCALED_TANH)
        for (size_t i = 0; i < n; i++) x[i] *= act->p[1];
    if (act->form == TN_GATE_AFFINE)
        for (size_t i = 0; i < n; i++) x[i] = act->p[0] * x[i] + act->p[1];
    else
        act->kernel(x, x, n, act->p);
    if (act->form == TN_GATE_SCALED_TANH)
        for (size_t i = 0; i < n; i++) x[i] *= act->p[0];
}

/* Rows as in the table above. */
double tn_gate_f64(const tn_gate_activation *act, double x) {
    const double alpha = (double)act->p[0], beta = (double)act->p[1];
    switch (act->row) {
    case 0: return x > 0 ? x : 0;
    case 1: return tanh(x);
    case 2: return 1 / (1 + exp(-x));
    case 3: return alpha * x + beta;
    case 4: return x < 0 ? alpha * x : x;
    case 5: return x > alpha ? x : 0;
    case 6: return alpha * tanh(beta * x);
    case 7: return fmin(fmax(alpha * x + beta, 0), 1);
    case 8: return x < 0 ? alpha * expm1(x) : x;
    case 9: return x / (1 + fabs(x));
    default: return fmax(x, 0) + log1p(exp(-fabs(x)));
    }
}

static void clip(const tn_recurrent_job *job, float *x, size_t n) {
    if (job->r->clip > 0) job->kernels->clip_f32(n, x, x, -job->r->clip, job->r->clip);
}

static void multiply(const tn_recurrent_job *job, float *y, const float *a, const float *b, size_t n) {
    job->kernels->mul_f32(1, n, y, a, 0, 1, b, 0, 1);
}

void tn_cell_rnn(const tn_recurrent_job *job, int direction, size_t row) {
    size_t n = job->r->hidden;
    const tn_recurrent_state *s = &job->states[direction];
    float *h = s->h + row * n;
    memcpy(h, s->gates + row * n, n * sizeof *h);
    clip(job, h, n);
    activate(&job->r->act[direction][0], h, n);
}

/* x += p * c, where there are peepholes. */
static void peep(const float *p, const float *c, float *x, size_t n) {
    for (size_t i = 0; p && i < n; i++) x[i] += p[i] * c[i];
}

void tn_cell_lstm(const tn_recurrent_job *job, int direction, size_t row) {
    const tn_recurrent *r = job->r;
    size_t n = r->hidden;
    const tn_recurrent_state *s = &job->states[direction];
    float *gates = s->gates + row * 4 * n, *c = s->c + row * n, *h = s->h + row * n;
    const float *p = job->peephole ? job->peephole + (size_t)direction * 3 * n : NULL;
    if (r->plain && !p) {
        job->kernels->lstm_cell_f32(n, gates, c, h);
        return;
    }
    const tn_gate_activation *act = r->act[direction];
    float *input = gates, *output = gates + n, *forget = gates + 2 * n, *cell = gates + 3 * n;
    peep(p, c, input, n);
    clip(job, input, n);
    activate(&act[0], input, n);
    if (r->input_forget) {
        for (size_t i = 0; i < n; i++) forget[i] = 1 - input[i];
    } else {
        peep(p ? p + 2 * n : NULL, c, forget, n);
        clip(job, forget, n);
        activate(&act[0], forget, n);
    }
    clip(job, cell, n);
    activate(&act[1], cell, n);
    for (size_t i = 0; i < n; i++) c[i] = forget[i] * c[i] + input[i] * cell[i];
    peep(p ? p + n : NULL, c, output, n);
    clip(job, output, n);
    activate(&act[0], output, n);
    memcpy(h, c, n * sizeof *h); /* not clipped: the clip is for what comes out of products, as in ONNX Runtime */
    activate(&act[2], h, n);
    multiply(job, h, h, output, n);
}

/* z and r; and r * h, which the hidden gate's product wants, unless the reset comes after it. */
void tn_cell_gru_gates(const tn_recurrent_job *job, int direction, size_t row) {
    size_t n = job->r->hidden;
    const tn_recurrent_state *s = &job->states[direction];
    float *gates = s->gates + row * 3 * n;
    clip(job, gates, 2 * n);
    activate(&job->r->act[direction][0], gates, 2 * n);
    if (!job->r->linear_before_reset) multiply(job, s->reset + row * n, gates + n, s->h + row * n, n);
}

/* hidden_input: the hidden gate's part of X * W^T (linear_before_reset; else it is in the gate already). */
void tn_cell_gru_state(const tn_recurrent_job *job, int direction, size_t row, const float *hidden_input) {
    size_t n = job->r->hidden;
    const tn_recurrent_state *s = &job->states[direction];
    float *gates = s->gates + row * 3 * n, *hidden = gates + 2 * n, *h = s->h + row * n;
    if (job->r->linear_before_reset) {
        multiply(job, hidden, hidden, gates + n, n);
        job->kernels->add_f32(1, n, hidden, hidden, 0, 1, hidden_input, 0, 1);
    }
    clip(job, hidden, n);
    activate(&job->r->act[direction][1], hidden, n);
    job->kernels->blend_f32(n, h, gates, hidden, h);
}
