/* Pictures: reading PPM files, and what nets want done to pictures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "demo.h"

picture *picture_new(int width, int height) {
    picture *p = need(malloc(sizeof *p));
    *p = (picture){width, height, need(calloc((size_t)width * (size_t)height, 3))};
    return p;
}

void picture_free(picture *p) {
    free(p->rgb);
    free(p);
}

picture *picture_read(const char *folder, const char *name) {
    size_t size;
    int width, height, start = 0;
    char *data = read_file(folder, name, &size);
    /* A single white space follows 255, and then the pixels do. */
    if (sscanf(data, "P6 %5d %5d 255%n", &width, &height, &start) != 2 || start == 0 || width <= 0 || height <= 0 ||
        size != (size_t)start + 1 + (size_t)width * (size_t)height * 3)
        fail("%s is no PPM picture of 8 bits", name);
    picture *p = picture_new(width, height);
    memcpy(p->rgb, data + start + 1, (size_t)width * (size_t)height * 3);
    free(data);
    return p;
}

static unsigned char *pixel(const picture *p, int x, int y) {
    return p->rgb + ((size_t)y * (size_t)p->width + (size_t)x) * 3;
}

/* Between which two pixels the centre of new pixel i lies, and how near to the second. */
static float between(int i, int from, int to, int *first, int *second) {
    float at = ((float)i + 0.5f) * (float)from / (float)to - 0.5f;
    if (at < 0) at = 0;
    *first = (int)at < from - 1 ? (int)at : from - 1;
    *second = *first + 1 < from ? *first + 1 : *first;
    return at - (float)*first;
}

picture *picture_resized(const picture *p, int width, int height) {
    picture *to = picture_new(width, height);
    for (int y = 0; y < height; y++) {
        int top, bottom, left, right;
        float down = between(y, p->height, height, &top, &bottom);
        for (int x = 0; x < width; x++) {
            float across = between(x, p->width, width, &left, &right);
            for (int c = 0; c < 3; c++) {
                float above = (float)pixel(p, left, top)[c] * (1 - across) + (float)pixel(p, right, top)[c] * across;
                float below =
                    (float)pixel(p, left, bottom)[c] * (1 - across) + (float)pixel(p, right, bottom)[c] * across;
                pixel(to, x, y)[c] = (unsigned char)(above * (1 - down) + below * down + 0.5f);
            }
        }
    }
    return to;
}

picture *picture_cropped(const picture *p, int x, int y, int width, int height) {
    picture *to = picture_new(width, height);
    for (int row = 0; row < height; row++) memcpy(pixel(to, 0, row), pixel(p, x, y + row), (size_t)width * 3);
    return to;
}

picture *picture_turned(const picture *p, int quarters) {
    bool swap = quarters % 2;
    picture *to = picture_new(swap ? p->height : p->width, swap ? p->width : p->height);
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            int right = p->width - 1 - x, below = p->height - 1 - y;
            int places[4][2] = {{x, y}, {below, x}, {right, below}, {y, right}};
            memcpy(pixel(to, places[quarters % 4][0], places[quarters % 4][1]), pixel(p, x, y), 3);
        }
    return to;
}

void picture_planes(const picture *p, float *planes, int width, int height, const float mean[3],
                    const float deviation[3]) {
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < p->height; y++)
            for (int x = 0; x < p->width; x++)
                planes[(c * height + y) * width + x] = ((float)pixel(p, x, y)[2 - c] - mean[c]) / deviation[c];
}
