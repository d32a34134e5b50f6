/* The report of a quantization. */
#include "compress/quantize.h"
#include "base/text.h"
#include <math.h>

tn_status tn_report_create(tn_quantize_report **out) {
    tn_region *region = tn_region_create(NULL);
    tn_quantize_report *r = region ? tn_region_alloc(region, sizeof *r) : NULL;
    *out = r;
    if (!r) {
        tn_region_destroy(region);
        return TN_E_MEMORY;
    }
    r->region = region;
    r->summary =
        (tn_quantize_summary){.struct_size = sizeof r->summary, .sqnr = NAN, .ns_before = NAN, .ns_after = NAN};
    r->json = "{}";
    r->metric = "";
    return TN_OK;
}

void tn_quantize_report_destroy(tn_quantize_report *report) {
    if (report) tn_region_destroy(report->region);
}

tn_status tn_quantize_report_at(const tn_quantize_report *report, int index, tn_quantize_row *out_row) {
    if (index < 0 || index >= report->summary.layers)
        return tn_fail(TN_E_NOT_FOUND, "the report has %d layers; there is no number %d", report->summary.layers,
                       index);
    const tn_report_layer *l = &report->layers[index];
    tn_quantize_row row = {.struct_size = out_row->struct_size,
                           .name = l->name,
                           .op = l->op,
                           .form = l->int8 ? "int8" : "float32",
                           .reason = l->reason,
                           .bytes_before = l->before,
                           .bytes_after = l->after,
                           .sqnr = l->sqnr,
                           .sensitivity = l->sensitivity,
                           .ns_before = l->ns_before,
                           .ns_after = l->ns_after};
    memcpy(out_row, &row, TN_MIN(out_row->struct_size, sizeof row));
    return TN_OK;
}

void tn_quantize_report_summary(const tn_quantize_report *report, tn_quantize_summary *out_summary) {
    tn_quantize_summary s = report->summary;
    s.struct_size = out_summary->struct_size;
    memcpy(out_summary, &s, TN_MIN(s.struct_size, sizeof s));
}

const char *tn_quantize_report_json(const tn_quantize_report *report) {
    return report->json;
}

static void put_layer(tn_text *t, const tn_report_layer *l) {
    tn_put_text(t, "    {\"name\": ");
    tn_put_string(t, l->name);
    tn_put_text(t, ", \"op\": ");
    tn_put_string(t, l->op);
    tn_put_text(t, l->int8 ? ", \"form\": \"int8\", \"reason\": " : ", \"form\": \"float32\", \"reason\": ");
    tn_put_string(t, l->reason);
    tn_put_text(t, ", ");
    tn_put_number(t, "bytes_before", (double)l->before);
    tn_put_text(t, ", ");
    tn_put_number(t, "bytes_after", (double)l->after);
    tn_put_text(t, ", ");
    tn_put_number(t, "sqnr_db", l->sqnr);
    tn_put_text(t, ", ");
    tn_put_number(t, "sensitivity_db", l->sensitivity);
    tn_put_text(t, ", ");
    tn_put_number(t, "ns_before", l->ns_before);
    tn_put_text(t, ", ");
    tn_put_number(t, "ns_after", l->ns_after);
    tn_put_text(t, "}");
}

tn_status tn_report_write(tn_quantize_report *report) {
    const tn_quantize_summary *s = &report->summary;
    tn_text t = {.region = report->region};
    tn_put_text(&t, "{\n  ");
    const struct {
        const char *key;
        double value;
    } rows[] = {{"samples", (double)s->samples},
                {"layers", s->layers},
                {"int8_layers", s->int8_layers},
                {"bytes_before", (double)s->bytes_before},
                {"bytes_after", (double)s->bytes_after},
                {"sqnr_db", s->sqnr},
                {"metric_before", s->metric_before},
                {"metric_after", s->metric_after},
                {"ns_before", s->ns_before},
                {"ns_after", s->ns_after},
                {"seconds", s->seconds}};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_put_number(&t, rows[i].key, rows[i].value);
        tn_put_text(&t, ", ");
    }
    tn_put_text(&t, "\n  \"metric_name\": ");
    tn_put_string(&t, report->metric);
    tn_put_text(&t, ",\n  \"rows\": [");
    for (int i = 0; i < s->layers; i++) {
        tn_put_text(&t, i ? ",\n" : "\n");
        put_layer(&t, &report->layers[i]);
    }
    tn_put_text(&t, "\n  ],\n  \"tried\": [");
    for (int i = 0; i < report->point_count; i++) {
        const tn_report_point *p = &report->points[i];
        tn_put_format(&t, "%s\n    {\"int8_layers\": %d, \"name\": ", i ? "," : "", p->int8);
        tn_put_string(&t, p->name);
        tn_put_text(&t, ", ");
        tn_put_number(&t, "bytes", p->bytes);
        tn_put_text(&t, ", ");
        tn_put_number(&t, "sqnr_db", p->sqnr);
        tn_put_text(&t, ", ");
        tn_put_number(&t, "metric", p->metric);
        tn_put_text(&t, ", ");
        tn_put_number(&t, "ns", p->ns);
        tn_put_text(&t, p->kept ? ", \"kept\": true}" : ", \"kept\": false}");
    }
    tn_put_text(&t, "\n  ]\n}\n");
    if (t.failed) return TN_E_MEMORY;
    report->json = t.data;
    return TN_OK;
}
