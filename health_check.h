/* `kvs --health`: asks the node that these settings describe, on this machine, whether it is up.
 *
 * For the HEALTHCHECK of a container, in which there is nothing but kvs: no shell, no curl. What is
 * asked is GET /health, so a node that catches up is healthy; whether it may be sent requests is
 * what /health/ready says.
 */
#ifndef KVS_HEALTH_CHECK_H
#define KVS_HEALTH_CHECK_H

#include "config.h"

#define HEALTH_CHECK_MS 1000 /* an answer takes less than a millisecond; a node must not stall */

/* Blocks for up to HEALTH_CHECK_MS. NULL: it answered with 200; otherwise what is wrong. */
const char *health_check(const struct config *config);

#endif
