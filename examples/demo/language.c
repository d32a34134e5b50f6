/* Nets that write: vowels of Arabic text, names in Latin letters, morphemes of Russian words. Vocabularies come out of
 * the models' packages. */
#include <stdio.h>
#include <string.h>
#include "demo.h"

enum { MAX_TEXT = 128 };

static tokens vocabulary(const demo *d, const char *package, const char *name) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s/%s", d->models, package);
    return tokens_read(folder, name);
}

/* ---- text2tashkeel ---- */

/* The marks of the classifier that has a list of its own: U+064E fatha and so on. */
static const char *const bilstm_marks[] = {
    "",       "\u064E",       "\u064F",       "\u0650",       "\u0652",       "\u0651",       "\u064B",      "\u064C",
    "\u064D", "\u0651\u064E", "\u0651\u064F", "\u0651\u0650", "\u0651\u064B", "\u0651\u064C", "\u0651\u064D"};

typedef struct vowel_model {
    const char *name, *letters, *marks; /* marks NULL: bilstm_marks */
    const char *input, *output;         /* output: a mark's number, or its score, for each letter */
    const char *presence;               /* scores above 0 say that there is a mark at all; NULL: no such output */
} vowel_model;

static void write_vowels(demo *d, const vowel_model *m, const char *text) {
    char line[8 * MAX_TEXT] = "";
    net *n = net_open(d, m->name);
    tokens letters = vocabulary(d, "text2tashkeel", m->letters), marks = {0};
    if (m->marks) marks = vocabulary(d, "text2tashkeel", m->marks);
    int count = character_count(text);
    int64_t *ids = net_input(n, m->input, TN_INT64, 2, (int64_t[]){1, count});
    const char *c = text;
    for (int i = 0; i < count; i++, c += character_size(c)) ids[i] = tokens_find(&letters, c, character_size(c), 1);
    net_run(n);
    const tn_tensor *scores = net_output(n, m->output);
    int64_t classes = tn_tensor_rank(scores) == 3 ? tn_tensor_dims(scores)[2] : 0;
    c = text;
    for (int i = 0; i < count; i++, c += character_size(c)) {
        int64_t mark = classes ? tensor_greatest(scores, i * classes, classes) : (int64_t)tensor_at(scores, i);
        if (m->presence && tensor_at(net_output(n, m->presence), i) <= 0) mark = 0;
        const char *sign = *c == ' ' ? "" : m->marks ? marks.texts[mark] : bilstm_marks[mark];
        snprintf(line + strlen(line), sizeof line - strlen(line), "%.*s%s", (int)character_size(c), c, sign);
    }
    expect(d, strlen(line) > strlen(text), "%-32s %s", m->name, line);
    tokens_free(&letters);
    tokens_free(&marks);
}

void demo_vowels(demo *d) {
    /* Letters that are themselves composed of a letter and a mark do not occur in it. */
    static const char text[] = "يعمل المحرك بسرعة ثابتة";
    static const vowel_model models[] = {
        {"text2tashkeel/rawi_ensemble.int8", "rawi_v2", "rawi_v2-marks", "input", "gated_cls", NULL},
        {"text2tashkeel/rawi_v3.int8", "rawi_v2", "rawi_v2-marks", "input", "value", "presence"},
        {"text2tashkeel/rawi_v2.int8", "rawi_v2", "rawi_v2-marks", "input", "output", NULL},
        {"text2tashkeel/rawi.int8", "rawi", "rawi-marks", "input", "output", NULL},
        {"text2tashkeel/bilstm.int8", "bilstm", NULL, "input_ids", "logits", NULL},
    };
    printf("  %-32s %s (\"the engine runs at constant speed\")\n", "without vowels", text);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) write_vowels(d, &models[i], text);
}

/* ---- arabic-name-romanizer ---- */

enum { PAD, BEGIN, END, UNKNOWN, LONGEST_NAME = 32, WIDTH = 256 };

/* The encoder reads the whole name, the decoder writes a letter at a time: always the likeliest. */
static void romanize(demo *d, net *encoder, net *decoder, const tokens *t, const char *name, const char *usual) {
    static const char *const prefix[] = {"<UNK_COUNTRY>", "<ROLE_GIVEN>"};
    char out[MAX_TEXT] = "";
    int count = character_count(name) + 3, written = 1;
    int64_t letters[LONGEST_NAME] = {BEGIN}, *src = net_input(encoder, "src", TN_INT64, 2, (int64_t[]){1, count});
    for (int i = 0; i < 2; i++) *src++ = tokens_find(t, prefix[i], strlen(prefix[i]), UNKNOWN);
    for (const char *c = name; *c; c += character_size(c)) *src++ = tokens_find(t, c, character_size(c), UNKNOWN);
    *src = END;
    memset(net_input(encoder, "src_mask", TN_BOOL, 2, (int64_t[]){1, count}), 0,
           (size_t)count); /* nothing is padding */
    net_run(encoder);

    const tn_tensor *memory = net_output(encoder, "memory_out"), *hidden = net_output(encoder, "hidden_out");
    memcpy(net_input(decoder, "memory", TN_FLOAT32, 3, (int64_t[]){1, count, WIDTH}), tn_tensor_const_data(memory),
           tn_tensor_bytes(memory));
    memset(net_input(decoder, "src_mask", TN_BOOL, 2, (int64_t[]){1, count}), 0, (size_t)count);
    while (written < LONGEST_NAME) {
        memcpy(net_input(decoder, "hidden", TN_FLOAT32, 3, (int64_t[]){1, 2, WIDTH}), tn_tensor_const_data(hidden),
               tn_tensor_bytes(hidden));
        memcpy(net_input(decoder, "prefix", TN_INT64, 2, (int64_t[]){1, written}), letters,
               (size_t)written * sizeof *letters);
        net_run(decoder);
        int64_t next = tensor_greatest(net_output(decoder, "logprobs"), 0, t->count);
        if (next == END) break;
        letters[written++] = next;
        strncat(out, t->texts[next], sizeof out - strlen(out) - 1);
        hidden = net_output(decoder, "hidden_out");
    }
    expect(d, strcmp(out, usual) == 0, "%s is written %s", name, out);
}

void demo_names(demo *d) {
    static const char *const arabic[][2] = {{"خديجة", "Khadija"}, {"يوسف", "Youssef"}, {"منصور", "Mansour"}};
    /* With the Arabic yeh, as the package folds it. */
    static const char *const persian[][2] = {{"سهراب", "Sohrab"}, {"شيرين", "Shirin"}};
    net *encoder = net_open(d, "arabic_name_romanizer/encoder"),
        *decoder = net_open(d, "arabic_name_romanizer/decoder");
    tokens t = vocabulary(d, "arabic_name_romanizer", "vocab");
    for (size_t i = 0; i < sizeof arabic / sizeof *arabic; i++)
        romanize(d, encoder, decoder, &t, arabic[i][0], arabic[i][1]);
    tokens_free(&t);
    encoder = net_open(d, "arabic_name_romanizer/persian-encoder");
    decoder = net_open(d, "arabic_name_romanizer/persian-decoder");
    t = vocabulary(d, "arabic_name_romanizer", "persian-vocab");
    for (size_t i = 0; i < sizeof persian / sizeof *persian; i++)
        romanize(d, encoder, decoder, &t, persian[i][0], persian[i][1]);
    tokens_free(&t);
}

/* ---- slovorez ---- */

/* Each letter is the Beginning, the Inside or the End of a morpheme, or a Single one: "B-ROOT". */
void demo_morphemes(demo *d) {
    static const char *const cases[][2] = {{"электростанция", "электр-о-станци-я"},
                                           {"водопровод", "вод-о-про-вод"},
                                           {"переподключение", "пере-под-ключ-ени-е"}};
    net *n = net_open(d, "slovorez/slovorez-test");
    tokens letters = vocabulary(d, "slovorez", "letters"), kinds = vocabulary(d, "slovorez", "morphemes");
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const char *word = cases[k][0], *c = word;
        int count = character_count(word);
        int32_t *ids = net_input(n, "input_layer", TN_INT32, 2, (int64_t[]){1, count});
        for (int i = 0; i < count; i++, c += character_size(c)) ids[i] = tokens_find(&letters, c, character_size(c), 1);
        net_run(n);
        const tn_tensor *scores = net_output(n, "output_0");
        char cut[MAX_TEXT] = "", named[4 * MAX_TEXT] = "";
        c = word;
        for (int i = 0; i < count; i++, c += character_size(c)) {
            const char *kind = kinds.texts[tensor_greatest(scores, i * kinds.count, kinds.count)];
            bool ends = (kind[0] == 'E' || kind[0] == 'S') && i + 1 < count;
            snprintf(cut + strlen(cut), sizeof cut - strlen(cut), "%.*s%s", (int)character_size(c), c, ends ? "-" : "");
            if (kind[0] == 'B' || kind[0] == 'S')
                snprintf(named + strlen(named), sizeof named - strlen(named), "%s%s", *named ? " " : "", kind + 2);
        }
        expect(d, strcmp(cut, cases[k][1]) == 0, "%s: %s (%s)", word, cut, named);
    }
    tokens_free(&letters);
    tokens_free(&kinds);
}
