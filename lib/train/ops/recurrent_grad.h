/* The walk back over time, in one floating-point type. Included by recurrent_grad.c, once for each; `real` is the type,
 * NAME(x) what its names end in.
 *
 * A task has some rows of the batch, which hang on no others: first it goes over the gates from the first step to the last
 * and activates them, then back. */

static void NAME(activate)(const job *j, int64_t first, int64_t last) {
    const state *s = j->s;
    const size_t n = (size_t)s->hidden;
    for (int64_t step = 0; step < s->seq; step++)
        for (int64_t row = first; row < last; row++) {
            int64_t at = time_of(s, step) * s->batch + row;
            real *gates = (real *)j->gates->data + (size_t)at * (size_t)s->gates * n;
            if (s->cell == RNN) {
                NAME(first_function)(j, n, gates);
                continue;
            }
            size_t sigmoids = s->cell == LSTM ? 3 : 2;
            NAME(sigmoid)(j, sigmoids * n, gates);
            if (s->cell == GRU && s->reset_last) {
                const real *hidden = (const real *)j->hidden->data + (size_t)at * 3 * n + 2 * n;
                for (size_t i = 0; i < n; i++) gates[2 * n + i] += gates[n + i] * hidden[i];
            }
            NAME(tangent)(j, n, gates + sigmoids * n);
            if (s->cell != LSTM) continue;
            real *c = (real *)j->cells + (size_t)at * n;
            const real *old = NAME(old_cell)(j, step, row);
            for (size_t i = 0; i < n; i++) c[i] = gates[2 * n + i] * old[i] + gates[i] * gates[3 * n + i];
        }
}

/* dh: by the state of this step, and then by the one before, but for what comes through the products. rest: what is added
 * to that after them. */
static void NAME(gru_row)(const state *s, real *gates, const real *h, const real *hidden, real *d_hidden, real *dh) {
    const size_t n = (size_t)s->hidden;
    for (size_t i = 0; i < n; i++) {
        real update = gates[i], reset = gates[n + i], now = gates[2 * n + i];
        real by_now = dh[i] * (1 - update) * (1 - now * now);
        gates[i] = dh[i] * (h[i] - now) * (update * (1 - update));
        gates[2 * n + i] = by_now;
        dh[i] *= update;
        if (!s->reset_last) continue;
        gates[n + i] = by_now * hidden[2 * n + i] * (reset * (1 - reset));
        d_hidden[i] = gates[i];
        d_hidden[n + i] = gates[n + i];
        d_hidden[2 * n + i] = by_now * reset;
    }
}

/* through: by r * h, from the product of the hidden gate. */
static void NAME(gru_reset)(size_t n, real *gates, const real *h, const real *through, real *dh) {
    for (size_t i = 0; i < n; i++) {
        real reset = gates[n + i];
        gates[n + i] = through[i] * h[i] * (reset * (1 - reset));
        dh[i] += through[i] * reset;
    }
}

static void NAME(back)(const job *j, task_memory *m, int64_t first, int64_t last) {
    const state *s = j->s;
    const size_t n = (size_t)s->hidden, rows = (size_t)(last - first);
    real *dh = m->dh, *dc = m->dc, *through = m->through;
    NAME(start)(j->by_last_h, s, first, rows, dh);
    if (s->cell == LSTM) NAME(start)(j->by_last_c, s, first, rows, dc);
    for (int64_t step = s->seq - 1; step >= 0; step--) {
        const size_t at = (size_t)(time_of(s, step) * s->batch + first), width = (size_t)s->gates * n;
        real *gates = (real *)j->gates->data + at * width;
        const real *h = (const real *)j->h->data + at * n, *dy = j->dy ? (const real *)j->dy->data + at * n : NULL;
        const real *hidden = s->reset_last ? (const real *)j->hidden->data + at * width : NULL;
        real *d_hidden = s->reset_last ? (real *)j->d_hidden + at * width : NULL;
        for (size_t i = 0; dy && i < rows * n; i++) dh[i] += dy[i];
        for (size_t r = 0; r < rows; r++) {
            real *own = gates + r * width;
            if (s->cell == RNN) {
                NAME(first_slope)(j, n, own, dh + r * n);
            } else if (s->cell == LSTM) {
                memcpy(through, (const real *)j->cells + (at + r) * n, n * sizeof *through);
                NAME(tangent)(j, n, through);
                NAME(lstm)(j, n, own, through, NAME(old_cell)(j, step, first + (int64_t)r), dh + r * n, dc + r * n);
            } else {
                NAME(gru_row)
                (s, own, h + r * n, hidden ? hidden + r * width : NULL, d_hidden ? d_hidden + r * width : NULL,
                 dh + r * n);
            }
        }
        if (s->cell == GRU && !s->reset_last) {
            NAME(multiply)(j, m, 1, rows, gates + 2 * n, width, NULL, through);
            for (size_t r = 0; r < rows; r++)
                NAME(gru_reset)(n, gates + r * width, h + r * n, through + r * n, dh + r * n);
        }
        NAME(multiply)(j, m, 0, rows, d_hidden ? d_hidden : gates, width, s->cell == GRU ? dh : NULL, dh);
    }
    if (j->by_first_h) memcpy((real *)j->by_first_h->data + (size_t)first * n, dh, rows * n * sizeof *dh);
    if (j->by_first_c) memcpy((real *)j->by_first_c->data + (size_t)first * n, dc, rows * n * sizeof *dc);
}
