/* Registries: versions of models to and from a server that speaks OCI distribution, and what is trusted from any server of
 * files, over HTTP or HTTPS.
 *
 *     // where models are made
 *     tn_store_push(s, "press:1.2.0", "registry.example.com/line-2/press", NULL, NULL);
 *     // where they run
 *     tn_registry_options o = {.struct_size = sizeof o, .user = "edge:secret", .bytes_per_second = 500000};
 *     tn_store_pull(edge, "registry.example.com/line-2/press:1.2.0", &o, &version, NULL);
 *
 * The protocol is that of github.com/opencontainers/distribution-spec (spec.md); what goes over it are the manifests and
 * blobs of the store as they are (tenon/store.h), so that skopeo, oras and others find the same digests.
 *
 * An address is HOST[:PORT]/REPOSITORY[:TAG] or HOST[:PORT]/REPOSITORY@sha256:HEX. Without a tag, a push takes the version
 * (with _ for +, which tags cannot have) and a pull `latest`. A tag is whatever the registry says today; who needs the very
 * version pulls a digest, such as that of a signed channel (tenon/trust.h).
 *
 * HTTPS always, with the server's certificate checked. Plain HTTP only where options.plain_http says so, or to this very
 * machine (localhost, 127.0.0.1, ::1) if it does not answer in TLS.
 *
 * Push: blobs that the registry has are not sent; others go in pieces. After a cut a blob goes on where the registry says
 * that it stands, or anew if it has forgotten (as docker-registry 2.8 does, unless the cut was between pieces). The manifest
 * comes last: a version is there whole or not at all.
 *
 * Pull: the manifest is compared with the digest that was asked for, each blob with the manifest's. Bytes are written to a
 * file of the store's journal, HEX.part; what a cut leaves of it is continued by the next attempt, in this call or
 * another process, and deleted by tn_store_collect. When all is there and right the version enters the store in one step,
 * as with tn_store_put: durable, or not there. TN_E_STATE if the store has other bytes under that name and version.
 *
 * Deltas (tenon/fetch.h) that lie beside a version in the store go along with it, before it, as artifacts that have it for
 * their subject. A pull of a version whose file is not there looks for one whose base is, and is smaller, and the file is
 * made of both; any other client sees the version as ever. Registries that keep no lists of such artifacts
 * (docker-registry 2.8) are given them under the tag that the specification has for that, sha256-HEX. Nothing of the list
 * is trusted: what a delta makes is compared with the version's own digest. One that is damaged or gone is passed over for the
 * file, if most_bytes allows it.
 *
 * What is tried again, with waits that double and are random within that: connections that fail or stall, answers 429 and
 * 5xx (Retry-After is heeded, up to a minute). A transfer that gets ahead gets new attempts. What is not: wrong bytes,
 * certificates that do not fit, refusals.
 *
 * Credentials (Basic, or Basic for a Bearer token, as the registry demands) go to the registry and to the token server that
 * it names, never to where it redirects, over HTTP only to this machine or with plain_http, and into no sentence. They are
 * refused in addresses.
 *
 * A registry is not trusted: every answer has a largest size, and none of them crashes or fills a disk.
 *
 * Proxies are those of the environment (https_proxy, no_proxy), as with other programs.
 *
 * Thread-safety: that of the store that is used. Needs libcurl.so.4 where it runs, which is loaded by the first call; a
 * library built without libcurl, or without stores, answers TN_E_UNSUPPORTED. */
#ifndef TENON_REGISTRY_H
#define TENON_REGISTRY_H

#include <stdbool.h>
#include <tenon/trust.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero but struct_size is the default. */
typedef struct tn_registry_options {
    size_t struct_size;
    const char *user;    /* "NAME:PASSWORD"; NULL: anonymous */
    const char *ca_file; /* certificates of authorities to trust instead of the system's, as PEM */
    bool plain_http;
    uint64_t bytes_per_second; /* at most, each way; 0: no limit; at least 1024 */
    uint64_t most_bytes;       /* that one pull may bring, known before the first of them comes; 0: 16 GiB */
    uint64_t piece_bytes;      /* of a push in one request; 0: 16 MiB */
    int attempts;              /* of each request, and of a transfer that gets no further; 0: 6 */
    int wait_ms;               /* before the second attempt; 0: 500 */
    int connect_seconds;       /* 0: 10 */
    int stall_seconds;         /* less than 64 bytes a second for so long is a failure; 0: 30 */
    /* Hears of bytes that went over the network, in this call, of so many to go, as far as is known; false ends the
     * call with TN_E_INTERRUPTED. It is called about once a second at least, also while nothing moves. */
    bool (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
} tn_registry_options;

typedef struct tn_registry_result {
    size_t struct_size;           /* set by the caller */
    char digest[TN_STORE_DIGEST]; /* of the manifest */
    uint64_t bytes;               /* of blobs that went over the network, those of attempts that failed too */
    uint64_t resumed;   /* of a pull, bytes that were there from an earlier call; of a push, from an attempt */
    int blobs, skipped; /* that went; that the other side had */
    int deltas;         /* of a push, that went along or were there; of a pull, files that were made by one */
} tn_registry_result;

/* Options and out_result may be NULL. */
TN_API tn_status tn_store_push(tn_store *store, const char *reference, const char *address,
                               const tn_registry_options *options, tn_registry_result *out_result);
/* Options, out_version and out_result may be NULL. */
TN_API tn_status tn_store_pull(tn_store *store, const char *address, const tn_registry_options *options,
                               tn_store_version *out_version, tn_registry_result *out_result);

/* As tn_trust_update (tenon/trust.h), from the URL of a folder on any server of files, such as
 * "https://models.example.com/trust": what a mirror of a store's folder trust/ is. All is fetched before the store's lock is
 * taken, each file up to the largest size that its role may have. */
TN_API tn_status tn_trust_fetch(tn_store *store, const char *url, const tn_registry_options *options);

/* Brings a store up to date with a signed channel, "press@stable": the metadata from `trust`, a URL as above or a folder, and
 * then, if the store does not have it, the version that the channel points at from `repository`, HOST[:PORT]/REPOSITORY,
 * by its digest. Neither server is trusted. A program that follows the channel (tenon/subscription.h) calls this before
 * tn_subscription_poll. `out_version` may be NULL. */
TN_API tn_status tn_store_follow(tn_store *store, const char *channel, const char *trust, const char *repository,
                                 const tn_registry_options *options, tn_store_version *out_version);

#ifdef __cplusplus
}
#endif
#endif
