/* tenon bench: how long does a run take? Percentiles are nearest-rank, of all measured runs. */
#include "tool.h"
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct op_time {
    const char *op, *name, *shape; /* name and shape with --nodes alone */
    double ms;                     /* of one run */
    int nodes;
} op_time;

static int by_time(const void *a, const void *b) {
    double x = ((const op_time *)a)->ms, y = ((const op_time *)b)->ms;
    return (x < y) - (x > y);
}

static bool measure(host *h, const settings *s, double *times) {
    for (int i = 0; i < (int)s->warmup; i++) {
        progress(s, "warm-up %d of %d", i + 1, (int)s->warmup);
        if (!host_run(h)) return false;
    }
    for (int i = 0; i < (int)s->runs; i++) {
        progress(s, "run %d of %d", i + 1, (int)s->runs);
        double start = now_ms();
        if (!host_run(h)) return false;
        times[i] = now_ms() - start;
    }
    qsort(times, (size_t)s->runs, sizeof *times, by_value);
    return true;
}

/* The time of a node without what is inside its bodies. */
static double own_nanoseconds(const tn_profile_row *row, int rows, int i) {
    double time = (double)row[i].nanoseconds;
    for (int k = i + 1; k < rows && row[k].depth > row[i].depth; k++)
        if (row[k].depth == row[i].depth + 1) time -= (double)row[k].nanoseconds;
    return time > 0 ? time : 0;
}

/* A row for each operator, or node, slowest first: milliseconds in one of `runs` runs. Names stay valid as long as the
 * session. */
static op_time *collect(const host *h, const settings *s, int runs, tn_profile_row **out_rows, int *out_row_count,
                        int *out_count) {
    int room = 64, rows = 0, count = 0;
    tn_profile_row *row = tool_alloc((size_t)room, sizeof *row);
    for (row[0].struct_size = sizeof *row; tn_session_profile(h->session, rows, &row[rows]) == TN_OK;) {
        if (++rows == room) {
            tn_profile_row *grown = tool_alloc(2 * (size_t)room, sizeof *row);
            memcpy(grown, row, (size_t)room * sizeof *row);
            free(row);
            row = grown;
            room *= 2;
        }
        row[rows].struct_size = sizeof *row;
    }
    op_time *times = tool_alloc((size_t)rows, sizeof *times);
    for (int i = 0; i < rows; i++) {
        int k = 0;
        while (!s->nodes && k < count && strcmp(times[k].op, row[i].op) != 0) k++;
        if (s->nodes) k = count;
        if (k == count) times[count++] = (op_time){row[i].op, row[i].name, row[i].shape, 0, 0};
        times[k].nodes++;
        times[k].ms += own_nanoseconds(row, rows, i) / 1e6 / runs;
    }
    qsort(times, (size_t)count, sizeof *times, by_time);
    *out_rows = row;
    *out_row_count = rows;
    *out_count = count;
    return times;
}

static void print_profile(const settings *s, json *j, const op_time *times, int count) {
    double total = 0;
    for (int i = 0; i < count; i++) total += times[i].ms;
    if (j) emit_array(j, "profile");
    if (!j) printf("\n%10s %6s %6s  %s\n", "ms", "%", "nodes", s->nodes ? "operator, shape, node" : "operator");
    for (int i = 0; i < count; i++) {
        const op_time *t = &times[i];
        double share = total > 0 ? 100 * t->ms / total : 0;
        if (!j) {
            printf("%10.4f %6.2f %6d  %s", t->ms, share, t->nodes, t->op);
            if (s->nodes) printf("  %s  %s", t->shape, t->name ? t->name : "");
            putchar('\n');
            continue;
        }
        emit_object(j, NULL);
        emit_text(j, "op", t->op);
        if (s->nodes) emit_text(j, "node", t->name);
        if (s->nodes) emit_text(j, "shape", t->shape);
        emit_number(j, "ms", t->ms);
        emit_number(j, "percent", share);
        emit_int(j, "nodes", t->nodes);
        emit_end(j);
    }
    if (j) emit_end(j);
}

/* Chrome's trace event format: one complete ("X") event a node, in microseconds. */
static bool write_trace(const char *path, const tn_profile_row *rows, int count) {
    FILE *file = file_create(path);
    if (!file) return false;
    json j = json_open(file);
    emit_object(&j, NULL);
    emit_text(&j, "displayTimeUnit", "ns");
    emit_array(&j, "traceEvents");
    for (int i = 0; i < count; i++) {
        const tn_profile_row *r = &rows[i];
        if (!r->runs) continue;
        emit_object(&j, NULL);
        emit_text(&j, "name", r->name && r->name[0] ? r->name : r->op);
        emit_text(&j, "cat", r->op);
        emit_text(&j, "ph", "X");
        emit_number(&j, "ts", (double)r->last_start_ns / 1e3);
        emit_number(&j, "dur", (double)r->last_ns / 1e3);
        emit_int(&j, "pid", 1);
        emit_int(&j, "tid", 1);
        emit_object(&j, "args");
        emit_text(&j, "op", r->op);
        emit_text(&j, "shape", r->shape);
        emit_end(&j);
        emit_end(&j);
    }
    emit_end(&j);
    emit_end(&j);
    return file_commit(file, path);
}

static bool profile(host *h, const settings *s, json *j) {
    int runs = s->runs < 20 ? (int)s->runs : 20, rows, count;
    host_stop(h);
    if (!host_start(h, true)) return false;
    for (int i = 0; i < 2; i++)
        if (!host_run(h)) return false;
    tn_session_profile_reset(h->session);
    for (int i = 0; i < runs; i++)
        if (!host_run(h)) return false;
    tn_profile_row *row;
    op_time *times = collect(h, s, runs, &row, &rows, &count);
    bool good = !s->trace || write_trace(s->trace, row, rows);
    if (s->profile || s->nodes) print_profile(s, j, times, count);
    free(times);
    free(row);
    return good;
}

static void print_times(const host *h, const settings *s, json *j, const double *times) {
    int n = (int)s->runs;
    double sum = 0;
    for (int i = 0; i < n; i++) sum += times[i];
    const struct {
        const char *name;
        double ms;
    } rows[] = {{"min", times[0]},
                {"median", times[(n - 1) / 2]},
                {"mean", sum / n},
                {"p90", times[(int)(0.9 * n + 0.999999) - 1]},
                {"p99", times[(int)(0.99 * n + 0.999999) - 1]},
                {"max", times[n - 1]}};
    if (j) {
        emit_text(j, "model", s->model);
        emit_text(j, "cpu", tn_model_cpu(h->model));
        emit_int(j, "threads", (int)s->threads);
        emit_int(j, "runs", n);
        emit_int(j, "warmup", (int)s->warmup);
        emit_number(j, "load_ms", h->load_ms);
        emit_number(j, "prepare_ms", h->prepare_ms);
        emit_number(j, "runs_per_second", sum > 0 ? 1e3 * n / sum : 0);
        emit_object(j, "latency_ms");
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) emit_number(j, rows[i].name, rows[i].ms);
        emit_end(j);
        return;
    }
    double scale = times[n - 1] < 1 ? 1e3 : 1;
    printf("%s: %s, threads %d, %d runs after %d; loaded in %.1f ms, prepared in %.1f ms\n", s->model,
           tn_model_cpu(h->model), (int)s->threads, n, (int)s->warmup, h->load_ms, h->prepare_ms);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        printf("%8s %10.4f %s\n", rows[i].name, rows[i].ms * scale, scale == 1 ? "ms" : "us");
    printf("%8s %10.1f runs a second\n", "rate", sum > 0 ? 1e3 * n / sum : 0);
}

int bench_command(const settings *s) {
    host h = {0};
    json j = json_open(stdout), *out = s->json ? &j : NULL;
    if (s->runs < 1) {
        complain("--runs wants 1 or more");
        return EXIT_USAGE;
    }
    double *times = tool_alloc((size_t)s->runs, sizeof *times);
    bool good = host_load(&h, s) && host_start(&h, false) && measure(&h, s, times);
    progress(s, NULL);
    if (good) {
        if (out) emit_object(out, NULL);
        print_times(&h, s, out, times);
        if (s->profile || s->nodes || s->trace) good = profile(&h, s, out);
        if (out) emit_end(out);
    }
    free(times);
    host_close(&h);
    return good ? EXIT_OK : EXIT_FAILED;
}
