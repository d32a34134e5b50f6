/* Shows what real models make of real input, how far that is from a reference, and how long it takes. */
#include <stdio.h>
#include <string.h>
#include "demo.h"

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

/* What the reference took, as it is written beside its outputs; 0 if it is not. */
static double reference_milliseconds(const net *n) {
    char path[1024];
    double milliseconds = 0;
    if (!n->demo->compare) return 0;
    int start = snprintf(path, sizeof path, "%s/test_", n->demo->compare);
    snprintf(path + start, sizeof path - (size_t)start, "%s", n->name);
    for (char *c = path + start; *c; c++)
        if (*c == '/') *c = '-';
    strncat(path, "/milliseconds", sizeof path - strlen(path) - 1);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%lf", &milliseconds) != 1) milliseconds = 0;
    if (f) fclose(f);
    return milliseconds;
}

static void show_table(demo *d) {
    printf(
        "\n== In numbers: difference from ONNX Runtime on the same inputs, relative to the output's largest element;\n"
        "   median latency of the first input on one thread\n\n");
    printf("%-52s %6s %11s %10s %9s %9s\n", "model", "inputs", "difference", "at most", "ms", "ORT ms");
    for (const net *n = d->nets; n; n = n->next) {
        const char *why;
        double tolerance = net_tolerance(n, &why);
        bool good = !d->compare || net_difference(n) <= tolerance;
        printf("%-52s %6d %11.1e %10.0e %9.3f %9.3f%s\n", n->name, n->compared, net_difference(n), tolerance,
               n->milliseconds, reference_milliseconds(n), good ? "" : "   <-- TOO FAR");
        if (why) printf("    %s\n", why);
        d->failures += !good;
    }
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
