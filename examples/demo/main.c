/* Shows what real models make of real input, how far that is from a reference, and how long it takes. */
#include <stdio.h>
#include <string.h>
#include "demo.h"

enum { MAX_REASONS = 8 };

static const struct {
    const char *name, *title;
    void (*show)(demo *d);
} demos[] = {
    {"plate", "Reading a machine's name plate (PaddleOCR: detector, line classifier, recogniser)", demo_plate},
    {"orientation", "Which way up is the plate? (PULC orientation classifier)", demo_orientation},
    {"captcha", "Reading a word behind lines, finding scattered letters (ddddocr)", demo_captcha},
    {"speech", "When does somebody speak? (Silero VAD)", demo_speech},
    {"pitch", "Which note is it? (SwiftF0)", demo_pitch},
    {"vowels", "Writing the vowels into Arabic text (text2tashkeel)", demo_vowels},
    {"names", "Arabic and Persian names in Latin letters (arabic-name-romanizer)", demo_names},
    {"morphemes", "Cutting Russian words into morphemes (slovorez)", demo_morphemes},
};

static const char usage[] =
    "usage: demo [--record FOLDER] [--compare FOLDER] [--models FOLDER] [--inputs FOLDER] [DEMO]\n"
    "  --record   writes the inputs of the runs there, as test cases\n"
    "  --compare  reads from there what a reference made of them, as output_K.pb\n"
    "  --models   build/models, if it is not given\n"
    "  --inputs   build/inputs, if it is not given\n";

/* The number of a reason among those that stand under the table; 0 of none. */
static int reason_number(char reasons[][256], int *count, const char *why) {
    int i = 0;
    if (!why[0]) return 0;
    while (i < *count && strcmp(reasons[i], why) != 0) i++;
    if (i == MAX_REASONS) return 0;
    if (i == *count) snprintf(reasons[(*count)++], sizeof reasons[0], "%s", why);
    return i + 1;
}

static void show_table(demo *d) {
    char reasons[MAX_REASONS][256], why[256], mark[16];
    int reason_count = 0;
    puts(
        "\n== In numbers: difference from ONNX Runtime on the same inputs, as a part of the output's largest element;\n"
        "   median latency of the first input on one thread\n");
    printf("%-52s %6s %11s %9s %13s %9s\n", "model", "inputs", "difference", "at most", "ms", "ORT ms");
    for (const net *n = d->nets; n; n = n->next) {
        double milliseconds = net_reference_number(n, "milliseconds", 0, why);
        double tolerance = net_reference_number(n, "tolerance", 1e-4, why);
        bool good = !d->compare || net_difference(n) <= tolerance;
        int reason = reason_number(reasons, &reason_count, why);
        snprintf(mark, sizeof mark, reason ? "[%d]" : "", reason);
        char difference[32] = "-", beside[32] = "-";
        if (n->compared) snprintf(difference, sizeof difference, "%.1e", net_difference(n));
        if (milliseconds > 0) snprintf(beside, sizeof beside, "%.3f", milliseconds);
        printf("%-52s %6d %11s %9.0e %-3s %9.3f %9s%s\n", n->name, n->compared, difference, tolerance, mark,
               n->milliseconds, beside, good ? "" : "   <-- TOO FAR");
        d->failures += !good;
    }
    for (int i = 0; i < reason_count; i++) printf("%s[%d] %s\n", i ? "" : "\n", i + 1, reasons[i]);
}

int main(int argc, char **argv) {
    demo d = {.models = "build/models", .inputs = "build/inputs"};
    const char *only = NULL;
    const struct {
        const char *name, **value;
    } options[] = {
        {"--record", &d.record}, {"--compare", &d.compare}, {"--models", &d.models}, {"--inputs", &d.inputs}};
    enum { OPTIONS = sizeof options / sizeof *options, DEMOS = sizeof demos / sizeof *demos };
    for (int i = 1; i < argc; i++) {
        int k = 0;
        while (k < OPTIONS && strcmp(argv[i], options[k].name) != 0) k++;
        if (k < OPTIONS && i + 1 < argc)
            *options[k].value = argv[++i];
        else if (k == OPTIONS && argv[i][0] != '-' && !only)
            only = argv[i];
        else
            return fputs(usage, stderr), 2;
    }
    int shown = 0;
    for (int i = 0; i < DEMOS; i++) {
        if (only && strcmp(only, demos[i].name) != 0) continue;
        printf("\n== %s\n\n", demos[i].title);
        demos[i].show(&d);
        fflush(stdout);
        shown++;
    }
    if (!shown) return fprintf(stderr, "demo: there is no demo %s\n", only), 2;
    if (d.record)
        d.failures = 0; /* what comes out is for the comparing run to judge */
    else
        show_table(&d);
    printf("\n%s\n", d.failures ? "Not all is as it should be." : "All is as it should be.");
    while (d.nets) {
        net *next = d.nets->next;
        net_close(d.nets);
        d.nets = next;
    }
    return d.failures != 0;
}
