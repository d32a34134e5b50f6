/* What every unit test includes: cmocka and its headers, in the order that it wants. */
#ifndef TN_UNIT_H
#define TN_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/base.h"

/* Manifests, plans and studies are YAML: tests skip where the build left it out. */
#ifndef TN_WITH_YAML
#define TN_WITH_YAML 0
#endif

/* Fails with the library's sentence unless the call succeeds. */
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        tn_status unit_status = (call);                                                                                \
        if (unit_status != TN_OK) fail_msg("%s: %s: %s", #call, tn_status_text(unit_status), tn_last_error());         \
    } while (0)

#endif
