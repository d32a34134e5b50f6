/* ddddocr: two recognisers of words that were made hard to read, and a detector of single letters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "demo.h"

/* Grey from 0 to 1, 64 rows. */
static void put_grey(net *n, const picture *p) {
    picture *small = picture_resized(p, p->width * 64 / p->height, 64);
    float *x = net_input(n, "input1", TN_FLOAT32, 4, (int64_t[]){1, 1, 64, small->width});
    for (int i = 0; i < 64 * small->width; i++) {
        const unsigned char *c = small->rgb + 3 * i;
        x[i] = floorf(0.299f * (float)c[0] + 0.587f * (float)c[1] + 0.114f * (float)c[2]) / 255;
    }
    picture_free(small);
}

static void read_word(demo *d, const picture *p, const char *model, const char *vocabulary, const char *expected) {
    net *n = net_open(d, model);
    char folder[512];
    snprintf(folder, sizeof folder, "%s/ddddocr", d->models);
    tokens characters = tokens_read(folder, vocabulary);
    put_grey(n, p);
    net_run(n);
    words w = ctc_decode(net_output(n, "387"), &characters);
    expect(d, strcmp(w.text, expected) == 0, "%-20s reads \"%s\"; \"%s\" was drawn", model, w.text, expected);
    tokens_free(&characters);
}

typedef struct found {
    float left, top, right, bottom, score;
} found;

static float overlap(const found *a, const found *b) {
    float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
    float height = fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
    float both = fmaxf(width, 0) * fmaxf(height, 0);
    float all = (a->right - a->left) * (a->bottom - a->top) + (b->right - b->left) * (b->bottom - b->top) - both;
    return both / all;
}

static int by_score(const void *a, const void *b) {
    float x = ((const found *)a)->score, y = ((const found *)b)->score;
    return (x < y) - (x > y);
}

/* YOLOX: each cell of three grids says where, how large, whether there is something, and whether it is a letter. */
static int decode(const tn_tensor *output, float scale, found *boxes) {
    const float *at = tn_tensor_const_data(output);
    int count = 0, kept = 0;
    for (int stride = 8; stride <= 32; stride *= 2)
        for (int y = 0; y < 416 / stride; y++)
            for (int x = 0; x < 416 / stride; x++, at += 6) {
                float cx = (at[0] + (float)x) * (float)stride, cy = (at[1] + (float)y) * (float)stride;
                float w = expf(at[2]) * (float)stride / 2, h = expf(at[3]) * (float)stride / 2;
                if (at[4] * at[5] < 0.1f) continue;
                boxes[count++] =
                    (found){(cx - w) / scale, (cy - h) / scale, (cx + w) / scale, (cy + h) / scale, at[4] * at[5]};
            }
    qsort(boxes, (size_t)count, sizeof *boxes, by_score);
    for (int i = 0; i < count; i++) {
        int k = 0;
        while (k < kept && overlap(&boxes[i], &boxes[k]) <= 0.45f) k++;
        if (k == kept) boxes[kept++] = boxes[i];
    }
    return kept;
}

static void find_letters(demo *d) {
    static const float zero[3] = {0}, one[3] = {1, 1, 1};
    net *n = net_open(d, "ddddocr/common_det");
    picture *p = picture_read(d->inputs, "scattered.ppm");
    float *x = net_input(n, "images", TN_FLOAT32, 4, (int64_t[]){1, 3, 416, 416});
    float scale = fminf(416.0f / (float)p->width, 416.0f / (float)p->height);
    picture *small = picture_resized(p, (int)((float)p->width * scale), (int)((float)p->height * scale));
    for (int i = 0; i < 3 * 416 * 416; i++) x[i] = 114;
    picture_planes(small, x, 416, 416, zero, one);
    net_run(n);
    found *boxes = need(malloc(sizeof *boxes * 3549));
    int count = decode(net_output(n, "output"), scale, boxes);
    for (int i = 0; i < count; i++)
        printf("  a letter at (%.0f, %.0f), %.0f x %.0f pixels, confidence %.2f\n", (double)boxes[i].left,
               (double)boxes[i].top, (double)(boxes[i].right - boxes[i].left), (double)(boxes[i].bottom - boxes[i].top),
               (double)boxes[i].score);
    expect(d, count == 4, "%d of 4 scattered letters were found", count);
    free(boxes);
    picture_free(small);
    picture_free(p);
}

void demo_captcha(demo *d) {
    size_t size;
    picture *p = picture_read(d->inputs, "captcha.ppm");
    char *expected = read_file(d->inputs, "captcha.txt", &size);
    read_word(d, p, "ddddocr/common", "common", expected);
    read_word(d, p, "ddddocr/common_old", "common_old", expected);
    find_letters(d);
    free(expected);
    picture_free(p);
}
