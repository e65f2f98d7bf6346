/* From settings to a running node, and down again. */
#ifndef KVS_STARTUP_H
#define KVS_STARTUP_H

#include "config.h"
#include "node.h"

struct process;

/* Makes the node, listens and handles signals from here on. NULL: said why on the log. Borrows the
 * settings until process_free(). */
struct process *process_create(const struct config *config);
struct node *process_node(struct process *p);
void process_run(struct process *p); /* until SIGTERM or SIGINT, and what they ask for is done */
void process_free(struct process *p);

#endif
