/* Gradient of Einsum: by one operand it is the sum of products of the output's gradient with the other operands, written
 * with that operand's letters as the result. Letters that only this operand has were summed over: there the gradient is
 * repeated. */
#include <ctype.h>
#include "train/gradient.h"

enum { MOST_TERMS = 8, MOST_LETTERS = 16 };

typedef struct equation {
    int terms; /* operands */
    char letters[MOST_TERMS + 1][MOST_LETTERS + 1], out[MOST_LETTERS * MOST_TERMS + 1];
} equation;

static tn_status put(tn_grad *g, char *letters, size_t most, char letter) {
    size_t n = strlen(letters);
    if (!isalpha((unsigned char)letter))
        return tn_grad_fail(g, "its equation has '%c'; only letters have a gradient", letter);
    if (n == most) return tn_grad_fail(g, "its equation has too many letters");
    letters[n] = letter;
    letters[n + 1] = 0;
    return TN_OK;
}

static tn_status read(tn_grad *g, equation *e) {
    const char *text = tn_attr_text(&g->node, "equation", ""), *arrow = strstr(text, "->");
    e->terms = 1;
    for (const char *at = text; *at && at != arrow; at++) {
        if (*at == ' ') continue;
        if (*at == ',') {
            if (e->terms == MOST_TERMS) return tn_grad_fail(g, "it has more than %d operands", MOST_TERMS);
            e->terms++;
            continue;
        }
        if (strchr(e->letters[e->terms - 1], *at))
            return tn_grad_fail(g, "its equation has '%c' twice in one operand", *at);
        TN_TRY(put(g, e->letters[e->terms - 1], MOST_LETTERS, *at));
    }
    for (const char *at = arrow ? arrow + 2 : ""; *at; at++)
        if (*at != ' ') TN_TRY(put(g, e->out, sizeof e->out - 1, *at));
    /* Without an arrow, the letters that are there once, in their order. */
    for (char letter = 'A'; !arrow && letter <= 'z'; letter++) {
        int found = 0;
        for (int t = 0; t < e->terms; t++)
            found += letter && isalpha((unsigned char)letter) && strchr(e->letters[t], letter);
        if (found == 1) TN_TRY(put(g, e->out, sizeof e->out - 1, letter));
    }
    return TN_OK;
}

/* Whether the output or another operand has the letter. */
static bool is_elsewhere(const equation *e, int operand, char letter) {
    bool found = strchr(e->out, letter) != NULL;
    for (int t = 0; t < e->terms; t++) found |= t != operand && strchr(e->letters[t], letter);
    return found;
}

static tn_status by_operand(tn_grad *g, const equation *e, int operand) {
    char text[(MOST_TERMS + 2) * (MOST_LETTERS * MOST_TERMS + 2)], kept[MOST_LETTERS + 1] = "";
    int in[MOST_TERMS + 1] = {g->out_grad[0]}, count = 1, alone = 0;
    int64_t missing[MOST_LETTERS];
    strcpy(text, e->out);
    for (int t = 0; t < e->terms; t++) {
        if (t == operand) continue;
        in[count++] = g->node.in[t];
        strcat(strcat(text, ","), e->letters[t]);
    }
    for (int i = 0; e->letters[operand][i]; i++) {
        if (is_elsewhere(e, operand, e->letters[operand][i]))
            strncat(kept, &e->letters[operand][i], 1);
        else
            missing[alone++] = i;
    }
    strcat(strcat(text, "->"), kept);
    const tn_attribute attributes[] = {{"equation", TN_ATTR_STRING, .s = text}, {0}};
    int grad = tn_grad_node(g, "Einsum", count, in, attributes);
    if (alone) grad = tn_grad_2(g, "Unsqueeze", grad, tn_grad_ints(g, alone, missing));
    g->in_grad[operand] = alone ? tn_grad_expand(g, grad, g->node.in[operand]) : grad;
    return TN_OK;
}

static tn_status einsum(tn_grad *g) {
    equation e = {0};
    TN_TRY(read(g, &e));
    if (e.terms != g->node.in_count) return tn_grad_fail(g, "its equation has %d operands", e.terms);
    for (int t = 0; t < e.terms; t++)
        if (g->wanted[t]) TN_TRY(by_operand(g, &e, t));
    return TN_OK;
}

const tn_gradient tn_gradients_einsum[] = {{"", "Einsum", einsum}, {0}};
