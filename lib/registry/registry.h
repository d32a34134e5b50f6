/* Inside of registries; what they promise is in tenon/registry.h.
 *
 * Four layers: text that comes from outside or from the caller (address.c, header.c), one exchange with a server by libcurl
 * (http.c, url.c), a request, which is as many exchanges as redirects, credentials and failures make necessary (request.c,
 * auth.c), and what is done with them (push.c, pull.c). */
#ifndef TN_REGISTRY_REGISTRY_H
#define TN_REGISTRY_REGISTRY_H

#include <tenon/registry.h>
#include "store/store.h"

/* address.c */
typedef struct tn_address {
    char host[280]; /* with the port, as it stands in URLs */
    char repository[256];
    char tag[129], digest[TN_STORE_DIGEST]; /* one of them, or none: "" */
} tn_address;
tn_status tn_address_parse(const char *text, tn_address *out);
/* The tag of a version: + is no letter of tags. */
tn_status tn_tag_of_version(const char *version, char tag[129]);

/* "BASE/v2/REPOSITORY/WHAT/NAME" */
#define TN_URL_BYTES 4096
tn_status tn_address_url(const tn_address *a, const char *base, const char *what, const char *name,
                         char url[TN_URL_BYTES]);

/* header.c: header fields' values; false if they are not what they should be. */
typedef struct tn_challenge {
    bool basic, bearer;                          /* which schemes are offered */
    char realm[1024], service[256], scope[1024]; /* of bearer */
} tn_challenge;
/* Values of WWW-Authenticate, with commas between (RFC 9110, 11.6.1). */
bool tn_challenge_parse(const char *text, tn_challenge *out);
/* "bytes 5-9/10": the first, the last and the whole size. */
bool tn_content_range_parse(const char *text, uint64_t out[3]);
/* "0-9" of an upload, also "bytes=0-9": how many bytes are there. */
bool tn_upload_range_parse(const char *text, uint64_t *out_size);
/* The token of a token server's answer; free with tn_store_free_text. */
tn_status tn_token_read(const char *text, size_t size, char **out_token);
/* What an error's JSON says ("code: message"), printable and short; "" if it says nothing. */
void tn_error_read(const char *text, size_t size, char out[256]);

/* pull.c: as much of a result as the caller knows of. */
void tn_registry_give(const tn_registry_result *result, tn_registry_result *out);

#endif
