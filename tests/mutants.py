#!/usr/bin/env python3
"""Do the tests find bugs? Plants them one at a time and demands that something turns red.

Each mutant is a small replacement in a copy of the sources, the kind of mistake that a later change
could make. First come a few seeds of the simulator, then the scripted stories, then more seeds: 300 of
the world of one group, or as many and of that world as the table says. A mutant whose old text does not
stand in its file exactly once is a failure: the table has to follow the code. So is one that does not
compile, and so is one that nothing finds.

`mutants.py NAME ...` tries just those; `--list` names them all; `--short` passes over those that
want many seeds. Closes with "N passed, M failed".
"""

import concurrent.futures
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDS_FIRST = 20
SEEDS = 300
MAPS = 2000000000  # the first seed of the world in which maps change
DISKS = 3000000000  # ... in which nodes have disks
SECONDS_MAX = 300  # for a build, and for seeds, with a second for each of them on top
STORY_SECONDS_MAX = 60  # a mutant may also hang
JOBS = len(os.sched_getaffinity(0))
STORIES = [name for name in ("test_cluster", "test_schedules", "test_handover", "test_forward", "test_pairs",
                            "test_node", "test_peer", "test_metadata", "test_handshake", "test_sha256", "test_recover")
           if (ROOT / "tests" / f"{name}.c").exists()]
TARGETS = ["sim-build", *(f"build/sim/tests/{name}" for name in STORIES)]


class Mutant(typing.NamedTuple):
    name: str  # what is wrong then
    file: str
    old: str
    new: str
    seeds: int = SEEDS  # it wants so many...
    first: int = 1      # ...from here on
    story: str = ""     # it is no matter of the simulator: this one finds it, or nothing does


# What is not here, because nothing finds it at present: who stands by, too, is fed for ever (`stays` in
# replica.c; seed 2000009462 did when it was found).
# What is not here, because it is no bug by itself:
#   stamps without the stored version's time     the replica's clock has passed it when it was merged
#   the greatest part is acknowledged            what lifted one slot's D was delivered elsewhere
#   slots that have become equal stay apart      costs bytes in rows, nothing else
#   no trail, or nothing done where a write is   each levels the slots where the other does not; see
#     here already                               "D of one slot advances, not of the others"
#   held writes not looked at after an image     the next tick does
#   pruned on rows that are not synced, or of    a row that has the dot, has it
#     another map
#   waived though not all are ready              so has a row that has it not, if all present boots
#                                                have been heard
#   who is catching up begins a newborn group    the map names its process, so nothing was written there
#                                                before; but then nobody is seen to have no base, and
#                                                members that all do so are never ready
#   dropped when the owners have its D only      what they lack of base is begun anew with what they have
#   an actor is introduced with the next row     the end of a turn opens the outputs to all, which
#                                                introduces it as well
#   frames taken of who is out                   its links are closed, and who is not in its view
#                                                sends it nothing
#   the actor of the process before stays        nobody heeds an acknowledgement of its writes
#   what the process before had acknowledged     whatever is under way comes after that
#   debts not noted when a member becomes ready  the next write notes them; a member that is heard and
#                                                never delivers needs another bug
#   residue does not pull                        who has it mostly owns slots of the same group, too, and asks
#                                                for all at once; a gap is asked for anyway
#   residue is dropped while a later map waits,  what comes back is pulled again
#     or by the word of who lives by one
#   ... or while an own write to it is under way a change of group has waited for those
#   base is asked of who lives by a smaller map  it comes without
#   ready though slots are not whole             keys are not served then, ready or not
#   a group begins though others have base       its reads want that base, too
#   an image drops nothing that it has not       nothing is ever absent before tombstones are collected
MUTANTS = [Mutant(*row) for row in (
    # ---- What clients know: serve.c, node.c, metadata.c, cluster.c ----
    ("reads do not check dependencies", "node.c",
     "if (!serve_covers(&n->serve, op->claim, t->place.slot)) {",
     "if (op->kind != OP_GET && !serve_covers(&n->serve, op->claim, t->place.slot)) {"),
    ("writes do not check dependencies", "node.c",
     "if (!serve_covers(&n->serve, op->claim, t->place.slot)) {",
     "if (op->kind == OP_GET && !serve_covers(&n->serve, op->claim, t->place.slot)) {"),
    ("what is parked is read again with each write", "node.c",
     "        if (!serve_still_lacks(&n->serve, &p->lack, p->op.slot)) return true;\n",
     "        return true;\n"),
    ("what is parked is not tried again when what it lacked has come", "serve.c",
     "    case LACK_DOT: return !covers_dot(s, l->dot, slot);\n",
     "    case LACK_DOT: return true;\n"),
    ("all that is parked is read again at once when its time is up", "node.c",
     "    if (n->reread_bytes >= REREAD_BYTES_MAX) return false;\n",
     ""),
    ("the greedy do not rest", "greed.c",
     "    if (g->others) g->rest_until_ms = (now_us + GREED_REST * g->spent_us) / 1000 + 1;\n",
     "", SEEDS, 1, "test_greed"),
    ("a map that is not known is no obstacle", "serve.c",
     "        if (cluster_knows_map(s->cluster, map)) continue;\n",
     "        if (true) continue;\n"),
    ("an actor that is not known is no obstacle", "serve.c",
     "buffer_put(&s->missing, buffer_slice(&c->unknown));",
     ""),
    ("SYNCING serves", "serve.c",
     "    return serve_owns(s, slot) && c->maps.is_decided && replica_serves(&c->replica);\n",
     "    return serve_owns(s, slot) && c->maps.is_decided;\n"),
    ("stamps without the metadata's time", "serve.c",
     "seen = hlc_max(seen, g->seen->time);",
     ""),
    ("stamps by the wall clock alone", "serve.c",
     "uint64_t seen = hlc_max(s->cluster->replica.hlc, hlc_of_wall(s->wall_ms));",
     "uint64_t seen = hlc_of_wall(s->wall_ms);"),
    ("404 without the tombstone's dot", "serve.c",
     "    replica_observe(g->seen, &g->old);\n    if (g->old.is_tombstone) return NODE_NO_KEY;\n",
     "    if (g->old.is_tombstone) return NODE_NO_KEY;\n    replica_observe(g->seen, &g->old);\n"),
    ("a delete of nothing does not say what it met", "serve.c",
     "    if (g->old.is_tombstone) {\n        replica_observe(g->seen, &g->old);\n",
     "    if (g->old.is_tombstone) {\n"),
    ("a write does not say what it met", "deliver.c",
     "if (known && seen != NULL) replica_observe(seen, &old);",
     ""),
    ("a lone write does not say what it met", "serve.c",
     "    if (g->known) replica_observe(g->seen, &g->old);\n",
     ""),
    ("a write's answer does not name it", "broadcast.c",
     "        vclock_raise(&u->seen.clock, in.dot);\n",
     ""),
    ("what a version depends on is not told to its readers", "replica.c",
     "    metadata_join_packed(seen, v->deps);\n",
     ""),
    ("a version keeps no dependencies of its own group", "deliver.c",
     "if (actor != ACTOR_NONE) vclock_raise(&m->clock, (struct dot){actor, dep.n});",
     "if (actor != ACTOR_NONE && actors_get(r->actors, actor)->group != r->group)\n"
     "            vclock_raise(&m->clock, (struct dot){actor, dep.n});"),
    ("pruned on the rows of the view only", "cluster.c",
     "        if (!lives_here(c, row)) return false;\n        if (shard == SHARD_NONE) continue;\n",
     "        if (!peer_in_view(r->others[i]) || shard == SHARD_NONE) continue;\n"
     "        if (!lives_here(c, row)) return false;\n"),
    ("pruned without looking at the rows", "cluster.c",
     "        if (!row_has(row, dot, maps_slots(&c->maps, m->group[shard]), of)) return false;\n",
     "", 3000),
    ("pruned without naming the map", "cluster.c",
     "    m->clock.len = kept;\n    if (kept < before) metadata_add_map(m, cluster_map_ref(c));\n",
     "    m->clock.len = kept;\n"),
    ("pruned under a first map", "cluster.c",
     "    if (c->maps.map->epoch == 1) return;\n",
     ""),
    ("pruned though its boot goes on", "cluster.c",
     "bool goes = replica_is_past(&c->replica, dot.actor) && all_have(c, dot);",
     "bool goes = all_have(c, dot);"),
    ("everybody in view proposes maps", "cluster.c",
     "        if (peer_in_view(p) && p->row.synced && map_has_node(c->maps.map, &p->address))\n            return false;\n",
     ""),
    ("a map is taken over before the data that it stands for", "catchup.c",
     "    return !r->provisional || p->is_met;",
     "    return p != NULL && r != NULL;"),

    # ---- Own writes, deliveries, acknowledgements: replica.c ----
    ("an actor is used again after a restart", "replica.c",
     "actors_learn(r->actors, r->random64(), &r->peers->self",
     "actors_learn(r->actors, r->peers->self.ipv4, &r->peers->self"),
    ("visible before the second copy", "broadcast.c",
     "    if (broadcast_is_alone(r)) broadcast_deliver_own(r, r->assigned);\n}",
     "    broadcast_deliver_own(r, r->assigned);\n}"),
    ("alone among members that have not written", "broadcast.c",
     "if (counts_as_copy(r, r->mates[i])) return false;",
     "if (counts_as_copy(r, r->mates[i]) && r->mates[i]->actor != ACTOR_NONE) return false;"),
    ("alone when the link is down for a moment", "broadcast.c",
     "if (counts_as_copy(r, r->mates[i])) return false;",
     "if (r->mates[i]->is_fed && counts_as_copy(r, r->mates[i])) return false;"),
    ("D is not advanced when last-writer-wins loses", "deliver.c",
     "    bool replaced = deliver_merge(r, &in->w, in->dot.actor, seen);\n",
     "    uint64_t lost = r->stats.superseded;\n"
     "    bool replaced = deliver_merge(r, &in->w, in->dot.actor, seen);\n"
     "    if (r->stats.superseded != lost) return replaced;\n"),
    ("the last to arrive wins", "deliver.c",
     "        if (!stamp_less(mine, theirs)) return replaced;\n",
     ""),
    ("equal clock readings: the first to arrive wins", "deliver.c",
     "if (!stamp_less(mine, theirs)) return replaced;",
     "if (mine.hlc >= theirs.hlc) return replaced;"),
    ("delivered without what it depends on", "deliver.c",
     "return depends_on_missing(r, in, here, missing) ? HAS_DEPS : IS_NEXT;",
     "return IS_NEXT;"),
    ("held back, and delivered without what it depends on", "deliver.c",
     "        if (verdict == IS_NEXT) {\n",
     "        if (verdict == IS_NEXT || verdict == HAS_DEPS) {\n"),
    ("what is held back is not looked at again", "broadcast.c",
     "        deliver_next(r, &in, frame, NULL);\n"
     "        ring_keep(&r->ring, kept_create(in.dot, in.slot, frame));\n        deliver_release(r);\n",
     "        deliver_next(r, &in, frame, NULL);\n"
     "        ring_keep(&r->ring, kept_create(in.dot, in.slot, frame));\n"),
    ("acknowledged before delivery", "broadcast.c",
     "    uint64_t n = of == NULL ? 0 : parts_least(&r->parts, of, p->actor);\n",
     "    uint64_t n = of == NULL ? 0 : parts_least(&r->parts, of, p->actor);\n"
     "    uint64_t held = held_first(&r->held, p->actor);\n"
     "    if (held > n) n = held;\n"),
    ("own writes under way are not sent again", "broadcast.c",
     "    for (struct under_way *u = r->under_way; u != NULL; u = u->next)\n"
     "        send_to(r, p, kept_frame(u->write));\n",
     ""),
    ("acknowledgements are not told again on a new link", "broadcast.c",
     "    p->is_fed_whole = p->has_slots;\n    p->ack_told = 0;\n",
     "    p->is_fed_whole = p->has_slots;\n"),
    ("who began before it had the slots is not fed again", "broadcast.c",
     "else if ((!p->is_fed || (p->has_slots && !p->is_fed_whole)) && peer_output(p) != NULL)",
     "else if (!p->is_fed && peer_output(p) != NULL)", 620),
    ("who has acknowledged before is not fed on its return", "broadcast.c",
     "else if ((!p->is_fed || (p->has_slots && !p->is_fed_whole)) && peer_output(p) != NULL)",
     "else if ((!p->is_fed || (p->has_slots && !p->is_fed_whole)) && peer_output(p) != NULL &&\n"
     "                 p->acked == 0)"),
    ("own writes that come back are not delivered", "broadcast.c",
     "        if (in.dot.n > r->assigned) return false;\n"
     "        broadcast_deliver_own(r, in.dot.n);\n",
     "        if (in.dot.n > r->assigned) return false;\n"),
    ("alone is judged at the write only", "broadcast.c",
     "    if (r->under_way != NULL && broadcast_is_alone(r)) broadcast_deliver_own(r, r->assigned);\n",
     ""),
    ("what the ring drops is not noted", "kept.c",
     "    vclock_raise(&r->trimmed, k->dot);\n",
     ""),

    # ---- Catching up: catchup.c, row.c, part.c ----
    ("the ring says that it reaches though it was trimmed", "catchup.c",
     "        if (of == NULL || slots_meet(of, &part->slots)) return false;\n",
     ""),
    ("what came as an image is thought to be in the ring", "catchup.c",
     "    vclock_join(&r->ring.trimmed, clock);\n",
     ""),
    ("what was waived is thought to be in the ring", "catchup.c",
     "    vclock_raise(&r->ring.trimmed, dot);\n",
     ""),
    ("the ring is sent from behind the furthest slot on", "catchup.c",
     "        if (slots_meet(of, &part->slots) && !vclock_has(&part->clock, dot)) return true;\n    }\n"
     "    return false;\n",
     "        if (slots_meet(of, &part->slots) && vclock_has(&part->clock, dot)) return false;\n    }\n"
     "    return true;\n"),
    ("D is joined before the image is there", "cluster.c",
     "    case WIRE_SLOT: return catchup_on_slot(l, f->body);\n",
     "    case WIRE_SLOT: {\n"
     "        struct vclock clock = {0};\n"
     "        struct wire_slot m;\n"
     "        if (wire_read_slot(f->body, &m) && slots_has(&r->slots, m.slot) &&\n"
     "            row_read_dots(&clock, m.dots, r->actors))\n"
     "            parts_join_slot(&r->parts, m.slot, &clock, NULL);\n"
     "        vclock_free(&clock);\n"
     "        return catchup_on_slot(l, f->body);\n"
     "    }\n"),
    ("an image is applied as it comes", "cluster.c",
     "    case WIRE_VERSION: return catchup_on_version(l, frame);\n",
     "    case WIRE_VERSION: {\n"
     "        struct wire_write w;\n"
     "        if (!wire_read_write(f->body, &w)) return false;\n"
     "        deliver_merge(r, &w, actors_find_id(r->actors, w.dot.actor_id), NULL);\n"
     "        return true;\n"
     "    }\n"),
    ("an image has no tombstones", "catchup.c",
     "        replica_put_stored(r, out, WIRE_VERSION, &v);\n    wire_put_slot_end",
     "        if (!v.is_tombstone) replica_put_stored(r, out, WIRE_VERSION, &v);\n    wire_put_slot_end"),
    ("an image does not answer for own writes under way", "catchup.c",
     "    if (!deliver_own_within(r, clock)) return false;\n    while",
     "    while"),
    ("rows start no pull", "catchup.c",
     "    if (lagged || (lags && (!r->synced || r->pull_wanted))) pull(r, from);\n",
     "    (void)lags, (void)lagged;\n"),
    ("ready without what the others have", "catchup.c",
     "has_targets = has_targets && p->target.is_heard && !lacks(r, &p->target);",
     "has_targets = has_targets && p->target.is_heard;"),
    ("ready once one of the others says so", "catchup.c",
     "has_targets = has_targets && p->target.is_heard && !lacks(r, &p->target);",
     "has_targets = p->target.is_heard && !lacks(r, &p->target);"),
    ("ready without levelling", "catchup.c",
     "            level = level && !lacks(r, &p->row);\n",
     ""),
    ("who catches up is thrown out for what it owes", "catchup.c",
     "        from->owes_since_ms = r->peers->now_ms; /* it catches up, and owes no more than that */\n",
     "        (void)moves;\n"),
    ("a waiver holds in all slots", "catchup.c",
     "        if (!mine || !nobody_has(r, dot, s)) continue;\n",
     "        if (!mine) continue;\n"),
    ("waived though it is held back here", "catchup.c",
     "return here < dot.n && (first_held == 0 || first_held > dot.n);",
     "(void)first_held;\n    return here < dot.n;"),
    ("nothing is waived for what is held back", "catchup.c",
     "        waive_for_held(r);\n",
     ""),
    ("ready without having heard what the others have", "catchup.c",
     "has_targets = has_targets && p->target.is_heard && !lacks(r, &p->target);",
     "has_targets = has_targets && !lacks(r, &p->target);"),
    ("ready without waiting for who was not reached", "catchup.c",
     "    bool waited = peers_awake_ms(r->peers) >= r->joined_ms + CATCHUP_LEVEL_MS;\n",
     "    bool waited = true;\n"),
    ("provisional although all were reached", "catchup.c",
     "become_synced(r, !all_reached);",
     "become_synced(r, true);"),
    ("provisional for ever", "catchup.c",
     "    r->provisional = false;\n    redo_ready(",
     "    redo_ready("),
    ("waived though not all have heard all present boots", "catchup.c",
     "    return stands && has_heard_all(r, row);",
     "    (void)has_heard_all;\n    return stands;", SEEDS, 9370),
    ("waived without the word of who is in no map", "catchup.c",
     "        if (is_stranger(r, p) && !counts(r, p)) return false;\n",
     ""),
    ("waived though another hears one who is in no map", "catchup.c",
     "        if (!counts(r, p) || !has_the_same_strangers(r, &p->row)) return false;\n",
     "        if (!counts(r, p)) return false;\n"),
    ("what is lost of a group that nobody knows is waited for", "serve.c",
     "    return catchup_waive(r, dot, slot);\n",
     "    return of != NULL && catchup_waive(r, dot, slot);\n", SEEDS, MAPS + 1600),
    ("waived with a majority in view", "catchup.c",
     "static bool is_quorate(const struct replica *r) {\n",
     "static bool is_quorate(const struct replica *r) {\n"
     "    uint32_t present = 1;\n"
     "    for (uint32_t i = 0; i < r->other_count; i++)\n"
     "        present += counts(r, r->others[i]);\n"
     "    if (r->synced && 2 * present > r->other_count + 1) return true;\n"),
    ("a waiver jumps over what another has", "catchup.c",
     "if (row_shows(&r->mates[i]->row, dot, here, slot)) return false;",
     "if (row_shows(&r->mates[i]->row, dot, dot.n - 1, slot)) return false;"),
    ("waived though its boot goes on", "catchup.c",
     "if (!makes_no_more(r, dot.actor) || !is_quorate(r)) return false;",
     "if (!is_quorate(r)) return false;"),
    ("nothing is waived for clients", "serve.c",
     "    return catchup_waive(r, dot, slot);\n",
     "    return false;\n"),
    ("D advances over a gap", "part.c",
     "return vclock_get(&p->clock, dot.actor) + 1 == dot.n && ",
     "return vclock_get(&p->clock, dot.actor) + 1 <= dot.n && "),
    ("D of one slot advances, not of the others", "part.c",
     "        if (!slots_within(&ps->list[i].slots, of)) continue;\n",
     "        if (i != ps->of_slot[slot]) continue;\n"),
    ("waived though another holds it back", "catchup.c",
     "    if (r->held.count > 0) put_held(r, w);\n",
     ""),
    # ---- Who is up: peer.c, cluster.c ----
    ("views are not mutual", "peer.c",
     "(p->state == PEER_UP && p->row.is_heard && p->row.hears_me)",
     "p->state == PEER_UP"),
    ("readmitted at once", "peer.c",
     "    return p->heard_since_ms + ps->readmit_ms <= ps->now_ms &&\n",
     "    return"),
    ("a gap does not count while readmitting", "peer.c",
     "        if (silent)\n            peers_take_down(ps, p, NULL);\n        else if (is_readmitted",
     "        if (is_readmitted"),
    ("a greeting decides which process is the present one", "peer.c",
     "    else\n        ask_back(ps, p, l);\n",
     "    else {\n        on_new_boot(ps, p, l->boot);\n        take_in(ps, p, l);\n    }\n"),
    ("a process that is over may greet", "peer.c",
     "    if (peer_boot_is_over(p, hello->boot)) return \"a later process has taken that address\";\n",
     ""),
    ("the row of the process before stays", "peer.c",
     "        p->old_boots[p->old_boot_count++ % PEER_OLD_BOOTS] = p->boot;\n"
     "        row_clear(&p->row);\n",
     "        p->old_boots[p->old_boot_count++ % PEER_OLD_BOOTS] = p->boot;\n", 1000),
    ("who acknowledges nothing stays", "peer.c",
     "        else if (p->owes_since_ms != UINT64_MAX && p->owes_since_ms + PEER_SILENT_MS <= ps->now_ms)\n",
     "        else if (false)\n"),
    ("who is silent stays", "peer.c",
     "bool silent = p->heard_ms + PEER_SILENT_MS <= ps->now_ms;",
     "bool silent = false;"),
    ("a node that was stopped judges the others silent", "peer.c",
     "        if (late_ms > PEER_LATE_MS) forgive_silence(ps, late_ms);\n",
     "        (void)late_ms;\n"),
    ("who starts expects those that the group knows to be gone", "peer.c",
     "        if (theirs == NULL || !theirs->is_listed) p->listed_until_ms = ps->now_ms;\n",
     "        (void)theirs;\n"),
    ("a stale refusal takes a fresh process down", "peer.c",
     "bool heard_since = p->from != NULL && p->heard_ms + PEER_DIAL_MS >= l->deadline_ms;",
     "bool heard_since = false;"),
    ("links of the process before stay open", "peer.c",
     "        if (p->from != NULL && p->from->boot != boot) close_link(p->from);\n"
     "        if (p->to != NULL && p->to->state == LINK_OPEN && p->to->boot != boot) close_link(p->to);\n",
     ""),

    # ---- Operations of other shards: forward.c, node.c, listing.c, pairs.c ----
    ("a write is executed again elsewhere", "forward.c",
     "        end(f, s, NODE_OUTCOME_UNKNOWN);\n    } else if (s->out == dead) {",
     "        move_write(f, s, rest);\n    } else if (s->out == dead) {"),
    ("a write of which bytes have left is moved", "link.c",
     "    if (place < l->gone_bytes) return false;\n",
     "    if (place < l->gone_bytes) place = l->gone_bytes;\n"),
    ("a write that has not left is called unknown", "forward.c",
     "} else if (!link_unsent_from(s->out, s->place, &rest)) {",
     "} else if (link_unsent_from(s->out, s->place, &rest) || true) {"),
    ("the link that answers come by does not count", "forward.c",
     "if (s->out != l && s->in != l) continue;",
     "if (s->out != l) continue;"),
    ("a read is not asked again", "forward.c",
     "    if (!op_is_write(s->op.kind)) {\n        ask_again(f, s, dead);",
     "    if (!op_is_write(s->op.kind)) {\n        end(f, s, NODE_CANNOT_FORWARD);"),
    ("answers are waited for without end", "forward.c",
     "return s->errand.deadline_ms <= f->now_ms || homeless_too_long;",
     "return homeless_too_long;"),
    ("an owner that is missing is waited for without end", "forward.c",
     "return s->errand.deadline_ms <= f->now_ms || homeless_too_long;",
     "return s->errand.deadline_ms <= f->now_ms;"),
    ("who is not ready is asked", "forward.c",
     "return p->state != PEER_SELF && peer_in_view(p) && same && p->row.synced && p->holds;",
     "return p->state != PEER_SELF && peer_in_view(p) && same;"),
    ("all nodes prefer the same owner", "forward.c",
     "rotate(f->members + from, count - from, turn % (count - from));",
     "rotate(f->members + from, count - from, turn * 0);"),
    ("hops are not counted", "forward.c",
     ".hops = (uint8_t)(s->errand.hops - 1),",
     ".hops = s->errand.hops,"),
    ("sent on without end", "node.c",
     "    if (t->errand->hops == 0) return !own; ",
     "    if (t->errand->hops == 0 && !own) ((struct errand *)t->errand)->hops = 1; "),
    ("what is put behind on a link has no limit", "forward.c",
     "return link_unsent_bytes(p->to) <= FORWARD_OUTPUT_MAX;",
     "return true;"),
    ("answers have no room to wait for", "node.c",
     "if (!op_is_write(op->kind) && lacks_room(n, t->errand)) {",
     "if (false) {"),
    ("writes of one stream overtake each other", "node.c",
     "    if (lacks_turn(n, t)) {",
     "    if (false && lacks_turn(n, t)) {"),
    ("what a node has asked begins when it is gone", "node.c",
     "        if (is_orphan(n, p)) {",
     "        if (false && is_orphan(n, p)) {"),
    ("the metadata of another node's answer is lost", "forward.c",
     "s->answer.metadata.len > 0 ? s->answer.metadata : s->claim",
     "s->claim"),
    ("a slot with many keys ends where its first ones do", "pairs.c",
     "        if (!p->is_cut) return false;\n        gather_behind(p, s);\n",
     "        return false;\n"),
    ("keys behind the first ones of a slot take their place", "pairs.c",
     "    if (p->is_cut && slice_compare(key, p->keys[PAIRS_KEYS_MAX - 1]) > 0) return;\n",
     "    if (p->is_cut && slice_compare(key, p->keys[PAIRS_KEYS_MAX - 1]) < 0) return;\n"),
    ("a chunk that is cut claims the whole slot", "pairs.c",
     "if (!full || pairs_at_end(&pairs)) slots_add(&whole, slot);",
     "slots_add(&whole, slot);"),
    ("a chunk goes on from the slot, not from the key", "pairs.c",
     "struct slice after = slot == q->slot ? q->after : (struct slice){0};",
     "struct slice after = {0};"),

    # ---- Maps that change: handover.c, cluster.c, catchup.c ----
    ("a smaller map is adopted", "cluster.c",
     "    if (!map_less(ms->next != NULL ? ms->next : ms->map, m)) return;\n",
     "", SEEDS, MAPS),
    ("an actor is kept over a change of group", "replica.c",
     "    r->actor = ACTOR_NONE;\n    r->assigned = 0;\n    redo",
     "    redo", SEEDS, MAPS),
    ("a change of group does not wait for second copies", "cluster.c",
     "    if (cluster_is_leaving(c) && c->replica.under_way != NULL) return;\n",
     "", SEEDS, MAPS),
    ("a change of group delivers what has no second copy", "cluster.c",
     "    if (cluster_is_leaving(c) && c->replica.under_way != NULL) return;\n",
     "    if (cluster_is_leaving(c)) broadcast_deliver_own(&c->replica, c->replica.assigned);\n"),
    ("writes begin while the group is about to change", "serve.c",
     "    if (writes && cluster_is_leaving(s->cluster)) return false;\n",
     "    (void)writes;\n"),
    ("alone though a member has merely not heard of the map", "broadcast.c",
     "(p->holds || !row_knows_map(&p->row, r->map_id))",
     "p->holds"),
    ("only members deliver", "deliver.c",
     "    if (here == NULL) return IS_ELSEWHERE;",
     "    if (here == NULL || !slots_has(&r->slots, in->slot)) return IS_ELSEWHERE;", SEEDS, MAPS),
    ("a write advances slots that its group has not got", "part.c",
     "        if (!slots_within(&ps->list[i].slots, of)) continue;\n",
     "", SEEDS, MAPS),
    ("reads do not want base", "serve.c",
     "return !reads || handover_may_read(r, slot);",
     "return reads || true;", SEEDS, MAPS),
    ("a DELETE does not want base", "serve.c",
     "reads = kind != OP_PUT;",
     "reads = kind == OP_GET;"),
    ("base of the present map's group is enough", "handover.c",
     "        if (maps_is_past(r->maps, m) && !base_has(base, map_group(m, slot))) return false;",
     "        if (m == r->maps->map && !base_has(base, map_group(m, slot))) return false;", SEEDS, MAPS),
    ("served without the group's state", "replica.h",
     "return r->synced && r->holds;",
     "return r->synced;", SEEDS, MAPS),
    ("who leaves a group that goes on keeps its base", "handover.c",
     "if (s != shard && !m->newborn[s]) redo_demote(&r->redo, &r->parts, m->group[s]);",
     "(void)shard;"),
    ("who hears late that it had left keeps its base", "handover.c",
     "    if (maps_is_past(r->maps, m)) demote(r, m);\n    r->base_moved = true;\n",
     "    r->base_moved = true;\n"),
    ("who hears late that it had left serves as before for a turn", "handover.c",
     "    handover_judge(r); /* now: who asks in this turn must not be answered as before */\n",
     ""),
    ("base for an older question counts", "catchup.c",
     " || m->asked_map_id != r->map_id) return;",
     ") return;"),
    ("who lives by a smaller map gives base", "catchup.c",
     "return theirs != NULL && maps_is_past(r->maps, theirs);",
     "(void)theirs;\n    return true;"),
    ("who answers a call but has not called yet has nothing that others miss", "catchup.c",
     "    return heard || answers || peer_is_listed(r->peers, p);\n",
     "    (void)answers;\n    return heard || peer_is_listed(r->peers, p);\n", 20, MAPS + 7490),
    ("losses are proven by rows from before a stop", "catchup.c",
     "    if (peers_rows_are_old(r->peers)) return false;\n",
     "", 20, MAPS + 4670),
    ("ready before the maps of the past are known", "catchup.c",
     "    if (catchup_awaits_maps(r)) return;\n",
     "", 20, MAPS + 8230),
    ("what waits for a map that died is held back for ever", "catchup.c",
     "bool lost = replica_slots_of(r, actor) == NULL && makes_no_more(r, actor) &&",
     "bool lost = false && makes_no_more(r, actor) &&", 20, MAPS + 4020),
    ("nobody begins a new group", "handover.c",
     "if (r->synced && map_founds(m, &r->peers->self, r->boot)) {",
     "if (false) {"),
    ("a later process begins what its former one was told to", "shard.c",
     "return m->newborn[m->shard_of_node[i]] && (m->epoch == 1 || m->founder[i] == boot);",
     "(void)boot;\n    return m->newborn[m->shard_of_node[i]];"),
    ("nothing is void", "handover.c",
     "if (!missing || !handover_is_void(r, group, slot)) continue;",
     "(void)missing;\n        continue;", SEEDS, MAPS),
    ("void without the word of the dead", "handover.c",
     "if (!struck_off && (p == NULL || !says_lacks(r, p, group, slot))) return false;",
     "if (here && !struck_off && (p == NULL || !says_lacks(r, p, group, slot))) return false;"),
    ("void without the word of former members", "handover.c",
     "bool concerns = m->group[shard] == group || m == r->maps->map;",
     "bool concerns = m == r->maps->map;"),
    ("void without the word of the owners", "handover.c",
     "bool concerns = m->group[shard] == group || m == r->maps->map;",
     "bool concerns = m->group[shard] == group;"),
    ("dropped when an owner is merely alive", "handover.c",
     "        if (!covers_mine(r, p, slot)) return false;\n",
     "        (void)covers_mine;\n", SEEDS, MAPS),
    ("dropped when the owners have its base only", "handover.c",
     "           vclock_covers(&theirs->clock, parts_clock(&r->parts, slot)) &&\n",
     "", SEEDS, MAPS),
    ("dropped when one of two owners has it", "handover.c",
     "return have >= (roster < 2 ? roster : 2) && have > 0;",
     "(void)roster;\n    return have > 0;"),
    ("dropped while somebody lives by a smaller map", "handover.c",
     "if (r->maps->next != NULL || somebody_is_behind(r)) return;",
     "(void)somebody_is_behind;\n    if (r->maps->next != NULL) return;"),
    ("D of a dropped slot stays, and answers pulls", "handover.c",
     "        redo_drop_slot(&r->redo, &r->parts, s);\n",
     "", SEEDS, MAPS),
    ("residue goes with the next tick", "handover.c",
     "    if (r->row_came && r->has_residue) drop_residue(r);\n",
     ""),
    ("the next source is asked when time is up", "catchup.c",
     "    if (is_pulling(r) && slots_next(&r->pulled, 0) < SHARD_SLOTS) return;\n",
     "    if (is_pulling(r)) return;\n"),
    ("a reshard is over with residue", "handover.c",
     "bool settled = !r->has_residue && handover_is_complete(r);",
     "bool settled = handover_is_complete(r);", SEEDS, MAPS),
    ("a reshard is over without base", "handover.c",
     "bool settled = !r->has_residue && handover_is_complete(r);",
     "bool settled = !r->has_residue && r->holds;", SEEDS, MAPS),
    ("who wrote for another group is not past", "replica.c",
     "return a->is_over || shard == SHARD_NONE || map->group[shard] != a->group;",
     "(void)shard;\n    return a->is_over;"),
    ("writes for slots of others say nothing about those that are here", "broadcast.c",
     "        if (!deliver_advance(r, &in)) break;\n",
     "        break;\n", 20, MAPS),
    ("and are not kept for others", "deliver.c",
     "deliver_advance(r, &in)) {\n            ring_keep(&r->ring, held_take(&r->held, i));\n",
     "deliver_advance(r, &in)) {\n            free(held_take(&r->held, i));\n", 20, MAPS + 3730),
    ("a reshard waits for who dies meanwhile", "change.c",
     "    if (ch->map_id == 0 || anew) {",
     "    if (ch->map_id == 0) {"),
    ("waived though a member has not heard that the writer has left its group", "catchup.c",
     "return heard != NULL && heard->boot == boot && heard->shares_map;",
     "return heard != NULL && heard->boot == boot;", SEEDS, MAPS + 6010),
    ("a slot that somebody waits to read waits for its turn", "node.c",
     "        catchup_hurry(n->replica, t->place.slot);\n",
     ""),
    ("keys are counted before all have come", "serve.c",
     "    if (kind == OP_COUNT) return r->settled || handover_is_complete(r);\n",
     ""),

    # ---- The cluster's secret: handshake.c, sha256.c ----
    ("callers are welcome without a proof", "handshake.c",
     "} else if (h->secret.len == 0) {\n        welcome(h, l, &hello);",
     "} else if (true) {\n        welcome(h, l, &hello);"),
    ("a caller's proof is not looked at", "handshake.c",
     "if (!is_proof || !is_code(h, l, true, &proof)) {",
     "if (!is_proof) {"),
    ("a callee's proof is not looked at", "handshake.c",
     "if (l->proof == PROOF_GIVEN && wire_read_proof(body, &proof) && is_code(h, l, false, &proof))",
     "if (l->proof == PROOF_GIVEN && wire_read_proof(body, &proof))"),
    ("a welcome is taken without a proof", "handshake.c",
     "else if (h->secret.len > 0 && l->proof != PROOF_GOOD)",
     "else if (false)"),
    ("a proof is good in both directions", "handshake.c",
     'by_caller ? SLICE("kvs caller") : SLICE("kvs callee"),',
     'by_caller ? SLICE("kvs caller") : SLICE("kvs caller"),'),
    ("a proof is good on every link", "handshake.c",
     "    buffer_put(&l->said, (struct slice){(const char *)nonce->bytes, sizeof nonce->bytes});\n",
     "    (void)l, (void)nonce;\n"),
    ("secrets need only begin alike", "sha256.c",
     "if (a.len != b.len) return false;",
     "if (b.len < a.len) a.len = b.len;"),
    # ---- What survives: redo.c, recover.c ----
    ("a write that is delivered is not recorded", "deliver.c",
     "    redo_put_frames(&r->redo, frame);\n",
     "    (void)frame;\n", SEEDS, DISKS),
    ("a lone write is not recorded", "broadcast.c",
     "    if (r->redo.is_on) replica_put_stored(r, redo_output(&r->redo), WIRE_WRITE, v);\n",
     "", SEEDS, DISKS),
    ("that D moves without data is not recorded", "redo.c",
     "    if (!redo->is_on) return true;\n",
     "    return true;\n", SEEDS, DISKS),
    ("an image is not recorded", "catchup.c",
     "    redo_put_frames(&r->redo, buffer_slice(&l->image));\n",
     "", SEEDS, DISKS),
    ("its clock is recorded before its versions", "catchup.c",
     "    redo_put_frames(&r->redo, buffer_slice(&l->image));\n"
     "    redo_join_slot(&r->redo, &r->parts, m->slot, clock, NULL);\n",
     "    redo_join_slot(&r->redo, &r->parts, m->slot, clock, NULL);\n"
     "    redo_put_frames(&r->redo, buffer_slice(&l->image));\n", SEEDS, DISKS),
    ("an image that ends in the middle is joined with the next", "recover.c",
     "    if (!of_image) rc->image.len = 0; /* a process ended within one */\n",
     "    (void)of_image;\n", 3000, DISKS),
    ("slots that come with a map are not recorded", "redo.c",
     "    if (!redo->is_on || slots_next(&fresh, 0) == SHARD_SLOTS) return;\n",
     "    return;\n", SEEDS, DISKS),
    ("a slot that goes is not recorded", "redo.c",
     "    parts_drop_slot(ps, slot);\n    if (!redo->is_on) return;\n",
     "    parts_drop_slot(ps, slot);\n    return;\n", SEEDS, DISKS),
    ("base that is given is not recorded", "redo.c",
     "    parts_found(ps, slots, group);\n    if (!redo->is_on) return;\n",
     "    parts_found(ps, slots, group);\n    return;\n", SEEDS, DISKS),
    ("base that is taken is not recorded", "redo.c",
     "    parts_demote(ps, group);\n    if (!redo->is_on) return;\n",
     "    parts_demote(ps, group);\n    return;\n", 3000, DISKS),
    ("base that comes with an image is not recorded", "redo.c",
     "    uint32_t groups = base == NULL ? 0 : base->count;\n",
     "    uint32_t groups = 0;\n    (void)base;\n", SEEDS, DISKS),
    ("who has caught up does not record it", "catchup.c",
     "    redo_ready(&r->redo, true, provisional);\n",
     "", SEEDS, DISKS),
    ("maps are not recorded", "redo.c",
     "    struct buffer encoded = {0};\n    if (!redo->is_on) return;\n",
     "    struct buffer encoded = {0};\n    return;\n", SEEDS, DISKS),
    ("a snapshot brings only the actors that its versions name", "recover.c",
     "    redo_output(redo); /* all actors: the log behind takes them for known */\n",
     "", 3000, DISKS),
    ("a snapshot does not tell whether its node was ready", "recover.c",
     "        redo_ready(redo, r->synced, r->provisional);\n",
     "        redo_ready(redo, false, r->provisional);\n", SEEDS, DISKS),
    ("base is kept after a crash of the machine", "recover.c",
     "    if (!is_intact) give_up_base(r);\n",
     "    (void)give_up_base;\n", 20, DISKS),
    ("ready at once after a crash of the machine", "recover.c",
     "    bool synced = rc->synced && is_intact;\n    c->lost_tail = !is_intact;\n"
     "    if (!is_intact) give_up_base(r);\n",
     "    bool synced = rc->synced;\n    (void)give_up_base;\n", SEEDS, DISKS),
    ("ready at once only when everybody was met", "cluster.c",
     "    if (c->resume.synced) catchup_resume(&c->replica, c->resume.provisional);\n",
     "", SEEDS, DISKS),
    ("who resumes is taken for one that has nothing", "cluster.c",
     "    if (!c->resume.is_due) catchup_put_parts(&c->replica, &w);\n",
     "    (void)w;\n", SEEDS, DISKS),
    ("what is in the log is not known to be in the ring", "recover.c",
     "    vclock_join(&r->ring.trimmed, &clock); /* no frames of these are kept */\n",
     "", SEEDS, DISKS),
    # ---- Disks that are full ----
    ("a full disk takes the writes of others", "broadcast.c",
     "        if (r->is_full) { /* until there is room",
     "        if (false) { /* until there is room", SEEDS, DISKS),
    ("and what was held back", "deliver.c",
     "    while (r->held.count > 0 && !r->is_full && release_round(r)) {",
     "    while (r->held.count > 0 && release_round(r)) {", SEEDS, DISKS),
    ("and images", "catchup.c",
     "parts_clock(&r->parts, m.slot) != NULL && !r->is_full) {",
     "parts_clock(&r->parts, m.slot) != NULL) {", 3000, DISKS),
    ("and writes of its own", "serve.c",
     "    if (op_is_write(op->kind) && s->trouble.len > 0) {",
     "    if (false) {"),
    ("who is full is waited for", "broadcast.c",
     "    return peer_in_view(p) && !p->row.is_full && (",
     "    return peer_in_view(p) && (", 20, DISKS),
    ("a full owner is asked though another is not", "forward.c",
     "        if (!p->row.is_full) return p;\n",
     "        return p;\n"),
    ("residue goes when others have it in memory", "handover.c",
     "    return have && (!r->redo.is_on || now_ms >= *since_ms + HANDOVER_KEPT_MS);\n",
     "    return have;\n", 20, DISKS),
    ("what has others' data is begun anew before that has come", "handover.c",
     "        if (somebody_is_ahead(r, slot)) return;\n",
     "        if (false && somebody_is_ahead(r, slot)) return;\n", 20, DISKS + 20610),

    # ---- The log's files, and what may leave: journal.c, logread.c, server.c, links.c ----
    ("answers leave before what they tell of is in the log", "server.c",
     "return !gate_is_open(g) || node_journal(s->api.node).len > 0;",
     "return !gate_is_open(g);", SEEDS, 1, "test_server"),
    ("answers leave before the log is safe", "server.c",
     "return !gate_is_open(g) || node_journal(s->api.node).len > 0;",
     "return node_journal(s->api.node).len > 0;", SEEDS, 1, "test_server"),
    ("held answers leave with the round before", "server.c",
     "if (due > g->safe) break;",
     "if (due > g->appended) break;", SEEDS, 1, "test_server"),
    ("what a broken disk may have lost is answered", "server.c",
     "if (g->is_broken) drop_held(s);",
     "", SEEDS, 1, "test_server"),
    ("a released connection is another one by now", "server.c",
     "return c != NULL && c->number == row->number ? c : NULL;",
     "return c;", SEEDS, 1, "test_server"),
    ("peers are told before the log is safe", "links.c",
     "if (output.len > may_go) output.len = may_go;",
     "(void)may_go;", SEEDS, 1, "test_links"),
    ("peers are told with the round before", "links.c",
     "if (g->safe >= c->marked_due) c->free = c->marked;",
     "c->free = c->marked;", SEEDS, 1, "test_links"),
    ("what was safely on disk once may be bad", "logread.c",
     "if (record_position(number, end) < l->synced)",
     "if (record_position(number, end) < 0 * l->synced)", SEEDS, 1, "test_logread"),
    ("whatever is bad is taken for torn", "logread.c",
     "if (!is_sound && !was_killed && is_of_now && !after_trouble)",
     "if (is_sound && !was_killed && is_of_now && !after_trouble)", SEEDS, 1, "test_logread"),
    ("a crash of the machine leaves all intact", "logread.c",
     "(is_of_now || l->was_closed) && (is_sound || was_killed);",
     "(is_sound || was_killed);", SEEDS, 1, "test_logread"),
    ("a snapshot need not be whole", "logread.c",
     "if (record.kind == RECORD_CLOSED) break;",
     "if (record.kind == RECORD_CLOSED || r->at == r->bytes) break;", SEEDS, 1, "test_logread"),
    ("a record may stand anywhere", "record.c",
     "bool good = load_u32(head.at) == (salt ^ (uint32_t)offset) && kind > 0 &&",
     "bool good = (salt ^ (uint32_t)offset) + 1u > 0 && kind > 0 &&", SEEDS, 1, "test_record"),
    ("a snapshot is ahead of the log", "journal.c",
     "bool may_finish = j->synced >= j->compacted_to;",
     "bool may_finish = true;", SEEDS, 1, "test_journal"),
    ("a round without a sync", "journal.c",
     "if (r->error == 0) r->error = d->sync(d, r->fd);",
     "", SEEDS, 1, "test_journal"),
    ("a failed round is taken for done", "journal.c",
     "if (r->error != 0) {",
     "if (r->error < 0) {", SEEDS, 1, "test_journal"),
    ("no room is no trouble", "journal.c",
     "set_trouble(j, TROUBLE_FULL, describe(r->error), r->error);",
     "describe(r->error);", SEEDS, 1, "test_journal"),
    ("safe again before all is written anew", "journal.c",
     "j->gate.appended++; /* something that will not be safe by itself */",
     "j->gate.is_broken = false;", SEEDS, 1, "test_journal"),
    ("the torn tail stays in the log", "restart.c",
     "int error = d->cut(d, fd, f->end);",
     "int error = 0;", SEEDS, 1, "test_journal"),
    ("the last file does not say that the log goes on", "restart.c",
     "if (!end_last(r)) return false;",
     "", SEEDS, 1, "test_journal"),

    # ---- Limits: origins.c, budget.h, server.c, parked.c, forward.c ----
    ("a gap hides who stands behind it", "origins.c",
     "close_gap(o, (uint32_t)(row - o->rows));",
     "(void)close_gap;", SEEDS, 1, "test_origins"),
    ("whoever stands behind a gap moves into it", "origins.c",
     "if (away < ((next - at) & mask)) continue;",
     "(void)away;", SEEDS, 1, "test_origins"),
    ("an address that is full stays full", "origins.c",
     "o->full -= row->connections == o->each_max;",
     "", SEEDS, 1, "test_origins"),
    ("one connection more than an address may have", "origins.c",
     "if (row->connections >= o->each_max) return false;",
     "if (row->connections > o->each_max) return false;", SEEDS, 1, "test_origins"),
    ("nobody has a share of his own", "budget.h",
     "bytes < *kept || bytes <= b->share || !budget_is_spent(b);",
     "bytes < *kept || !budget_is_spent(b);", SEEDS, 1, "test_budget"),
    ("everybody gets what he wants", "budget.h",
     "bytes < *kept || bytes <= b->share || !budget_is_spent(b);",
     "true;", SEEDS, 1, "test_budget"),
    ("what is given back is not there for others", "budget.h",
     "b->bytes += bytes - *kept;",
     "if (bytes > *kept) b->bytes += bytes - *kept;", SEEDS, 1, "test_budget"),
    ("a freed connection keeps its share", "server.c",
     "    budget_set(&s->stats.buffered, &c->kept, 0);\n",
     "", SEEDS, 1, "test_server"),
    ("a connection that is closed still counts for its address", "server.c",
     "    origins_leave(&s->origins, sock->ipv4);\n",
     "", SEEDS, 1, "test_server"),
    ("one connection more than there may be", "server.c",
     "if (s->stats.connections_open >= s->config.connections_max) {",
     "if (s->stats.connections_open > s->config.connections_max) {", SEEDS, 1, "test_server"),
    ("beginnings of requests do not count", "server.c",
     "size_t bytes = c->in.cap + c->out.cap + c->aside;",
     "size_t bytes = c->out.cap + c->aside;", SEEDS, 1, "test_server"),
    ("answers that wait for the log do not count", "server.c",
     "size_t bytes = c->in.cap + c->out.cap + c->aside;",
     "size_t bytes = c->in.cap + c->aside;", SEEDS, 1, "test_server"),
    ("what is put aside does not count", "server.c",
     "c->aside = (uint32_t)output->len;",
     "", SEEDS, 1, "test_server"),
    ("what was put aside counts twice when it is kept", "server.c",
     "            c->aside = 0;\n            count_bytes(c);\n",
     "            count_bytes(c);\n", SEEDS, 1, "test_server"),
    ("who keeps too much of a request goes on", "server.c",
     "if (c->in.len > 0 && !count_bytes(c)) refuse_input(c);",
     "if (c->in.len > 0 && !count_bytes(c)) (void)refuse_input;", SEEDS, 1, "test_server"),
    ("who may not wait for the log with so much does", "server.c",
     "    c->held = true;\n    return may_keep(c);",
     "    c->held = true;\n    return may_keep(c) || true;", SEEDS, 1, "test_server"),
    ("a write that is parked does not count for its stream", "parked.c",
     "    if (op_is_write(op->kind)) p->writes[op->stream % PARKED_STREAMS]++;\n",
     "", SEEDS, 1, "test_forward"),
    ("one operation more is parked", "parked.c",
     "if (p->count >= p->limits.ops_max ||",
     "if (p->count > p->limits.ops_max ||", SEEDS, 1, "test_node"),
    ("parked bytes have no limit", "parked.c",
     "|| p->bytes + size > p->limits.bytes_max) {",
     "|| p->bytes + size > SIZE_MAX) {", SEEDS, 1, "test_node"),
    ("one operation more is sent on", "forward.c",
     "return f->stats.now < f->stats.limits.ops_max &&",
     "return f->stats.now <= f->stats.limits.ops_max &&", SEEDS, 1, "test_forward"),
)]

# ---- Copies of the sources ----

def copy_sources(to):
    for pattern in ("*.c", "*.h", "Makefile", "tests/*.c", "tests/*.h"):
        for path in ROOT.glob(pattern):
            target = to / path.relative_to(ROOT)
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(path, target)
    shutil.copytree(ROOT / "build" / "sim", to / "build" / "sim")  # what a mutant leaves alone


def write(path, text):
    """With a time of change that make cannot overlook."""
    path.write_text(text)
    later = time.time() + 1
    os.utime(path, (later, later))


def run(tree, command, seconds):
    """Its exit code and output; None: it did not end in that time."""
    process = subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the seeds that it runs
        process.communicate()
        return None, ""
    return process.returncode, output


def build(tree, jobs=1, targets=TARGETS):
    return run(tree, ["make", "-s", f"-j{jobs}", "VARIANT=sim", *targets], SECONDS_MAX)


# ---- One mutant ----

def run_seeds(tree, first, last):
    """How they find the mutant, in one line; None: they do not."""
    code, output = run(tree, ["build/sim/sim", "--seeds", f"{first}-{last}", "--jobs", "1"],
                       SECONDS_MAX + last - first)
    if not code:  # clean; or too slow to tell, for a seed that hangs is killed and counts as failed
        return None
    match = re.search(r"VIOLATION of [^\n]*|Assertion [^\n]*|DIED by [^\n]*", output)
    seed = re.search(r"make sim SEED=(\d+)", output)
    return f"seed {seed.group(1) if seed else '?'}, {match.group(0)[:80] if match else '?'}"


def run_stories(tree, names=STORIES):
    for name in names:
        code, output = run(tree, [f"build/sim/tests/{name}"], STORY_SECONDS_MAX)
        if code != 0:
            failed = re.findall(r"^FAILED (\S+)", output, re.MULTILINE) or ["it ends early"]
            return f"{name}, {failed[0]}"
    return None


def find(tree, mutant):
    """(whether it was found, one line about it)"""
    path = tree / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return False, f"its old text stands {text.count(mutant.old)} times in {mutant.file}"
    write(path, text.replace(mutant.old, mutant.new))
    try:
        code, output = build(tree, targets=[f"build/sim/tests/{mutant.story}"] if mutant.story else TARGETS)
        if code != 0:
            return False, f"does not compile:\n{output}"
        if mutant.story:
            how = run_stories(tree, [mutant.story])
            return how is not None, f"found: {how}" if how else "NOT FOUND"
        middle = mutant.first + SEEDS_FIRST
        how = (run_seeds(tree, mutant.first, middle - 1) or run_stories(tree) or
               run_seeds(tree, middle, mutant.first + mutant.seeds - 1))
        return how is not None, f"found: {how}" if how else f"NOT FOUND in {mutant.seeds} seeds"
    finally:
        write(path, text)


# ---- All of them ----

def try_all(mutants):
    """Yields (mutant, whether it was found, one line), in any order; JOBS at a time."""
    trees = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as directory:
        for i in range(JOBS):
            tree = pathlib.Path(directory) / str(i)
            tree.mkdir()
            copy_sources(tree)
            trees.put(tree)

        def attempt(mutant):
            tree = trees.get()
            try:
                return mutant, *find(tree, mutant)
            finally:
                trees.put(tree)

        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            yield from (task.result() for task in
                        concurrent.futures.as_completed([pool.submit(attempt, m) for m in mutants]))


def chosen(names):
    known = [mutant.name for mutant in MUTANTS]
    if names == ["--short"]:
        return [mutant for mutant in MUTANTS if mutant.seeds == SEEDS]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no such mutant: {', '.join(unknown)}")
    return [mutant for mutant in MUTANTS if mutant.name in names] if names else MUTANTS


def main(names):
    if names == ["--list"]:
        print("\n".join(mutant.name for mutant in MUTANTS))
        return 0
    mutants = chosen(names)
    own = sorted({mutant.story for mutant in mutants if mutant.story})
    code, output = build(ROOT, JOBS, [*TARGETS, *(f"build/sim/tests/{name}" for name in own)])
    if code != 0:
        sys.exit(f"the sources themselves do not compile:\n{output}")
    if red := run_stories(ROOT, [*STORIES, *own]):
        sys.exit(f"red without any mutant: {red}")
    failed = 0
    for mutant, found, line in try_all(mutants):
        failed += not found
        print(f"{mutant.name}: {line}", flush=True)
    print(f"{len(mutants) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
