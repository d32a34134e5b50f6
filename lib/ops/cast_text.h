/* Numbers as text and back, for Cast. Never depends on the host's locale. */
#ifndef TN_CAST_TEXT_H
#define TN_CAST_TEXT_H

#include "base/element.h"

enum { TN_NUMBER_TEXT = 400 }; /* bytes that any number's text fits into */

/* Element i of data as text: integers and bool (1, 0) in decimal; floats in plain notation by the fewest digits that
 * read back as the same element ("0.1", "-3.0"), with an exponent only where that is below 1e-4 or 1e16 and more;
 * "NaN", "INF", "-INF". Returns its length. */
size_t tn_number_to_text(tn_dtype dtype, const void *data, int64_t i, char text[TN_NUMBER_TEXT]);
/* A double so, but a whole number without ".0". */
size_t tn_double_to_text(double x, char text[TN_NUMBER_TEXT]);
/* Writes the number that the text holds, spaces around it allowed, to element i; "INF", "+INF", "-INF" and "NaN" in any
 * case. A fraction is cut off for integers. Fails on other text. */
tn_status tn_number_from_text(tn_dtype dtype, void *data, int64_t i, tn_string text, tn_narrowing narrowing);

#endif
