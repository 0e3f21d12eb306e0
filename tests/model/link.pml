/* link.pml: the router dies, the worker dies, both die; every pair that meets gets fresh rings.
 *
 * design   A link is a pair of rings with an epoch of its own. Whenever the supervisor has reaped a
 *          router or a worker and started its successor, it makes a new link for the pair as it is
 *          now and hands it to both over their sockets (to the router after DEAD for the old one;
 *          to the worker, taking the old one down and handing over the new one is one step here).
 *          A router's requests die with it: a worker that is handed a link drops its batch. A step
 *          that was under way then gives a token of the old link; each sequence carries the epoch
 *          it came with, and a token of another epoch than the current one is dropped, not posted.
 *          A worker that waits for room in a ring nobody reads any more also waits for its socket.
 *          Request ids start again with each router here, so nothing but epochs tells them apart.
 * checked  the router gets only entries of its link, for a request it sent there, in order; the
 *          worker gets only requests of its link; <> over (some router finishes its request)
 * mutants  -DSAMERING   the successor router gets the old pair
 *          -DRESET      the old pair is emptied in place, the worker is told to drop its batch
 *          -DNOCHECK    a token of another epoch is posted
 *          -DKEEPBATCH  sequences live on under the new link
 *          -DNOWAKE     a worker that waits for room does not listen to its socket
 *          -DNOTELL     only the router learns of the new link
 *          -DNODEAD     a router is not told that the worker of its link died
 */
#ifndef N
#define N 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#define INCS (CRASHES + 1)
#define MAX  (CRASHES + 2)       /* epochs; 0 is no link */

mtype = { LINK, DEAD };

chan r2w[MAX] = [1] of { byte, byte };            /* epoch, from */
chan w2r[MAX] = [1] of { byte, byte };            /* epoch, index */
chan rsock[INCS] = [2 * INCS] of { mtype, byte }; /* supervisor -> router: type, epoch */
chan wsock[INCS] = [INCS] of { byte };            /* supervisor -> worker: epoch */

/* supervisor */
byte router, worker, epoch = 1;
bool router_alive, worker_alive;
bool over;

#define RUNS (router_alive && router == me)

proctype Router(byte me)
{
    mtype t; byte e, i, link, journal;
    bool sent;

    do
    :: atomic { RUNS && nempty(rsock[me]) ->
                rsock[me]?t, e;
                if
                :: t == LINK -> link = e
                :: t == DEAD && e == link -> link = 0; sent = false
                :: else
                fi;
                t = 0; e = 0 }
    :: atomic { RUNS && link != 0 && !sent && journal < N && nfull(r2w[link]) ->
                r2w[link]!link, journal; sent = true }
    :: atomic { RUNS && link != 0 && nempty(w2r[link]) ->
                w2r[link]?e, i;
                assert(e == link && sent);
                assert(i == journal);
                journal++;
                e = 0; i = 0;
                if :: journal == N -> over = true :: else fi }
    :: atomic { !RUNS || over -> break }
    od
}
#undef RUNS
#define RUNS (worker_alive && worker == me)

#ifdef NOWAKE
#define LISTENS (!has_out || nfull(w2r[link]))
#else
#define LISTENS true
#endif
#ifdef NOCHECK
#define CURRENT true
#else
#define CURRENT (out == link)
#endif

proctype Worker(byte me)
{
    byte link, e, from;
    byte seq, pos, out, out_pos;       /* epoch and position of the sequence, and of the token */
    bool live, has_out;

    do
    :: atomic { RUNS && LISTENS && nempty(wsock[me]) ->
                wsock[me]?link;
#ifdef KEEPBATCH
                seq = link; out = link
#else
                live = false; seq = 0; pos = 0
#endif
       }
    :: atomic { RUNS && link != 0 && !live && nempty(r2w[link]) ->
                r2w[link]?e, from;
                assert(e == link);
                live = true; seq = e; pos = from;
                e = 0; from = 0 }
    :: atomic { RUNS && live && !has_out ->                              /* a step */
                has_out = true; out = seq; out_pos = pos;
                pos++;
                if :: pos == N -> live = false; seq = 0; pos = 0 :: else fi }
    :: atomic { RUNS && has_out && CURRENT && nfull(w2r[link]) ->
                w2r[link]!out, out_pos;
                has_out = false; out = 0; out_pos = 0 }
    :: atomic { RUNS && has_out && !CURRENT -> has_out = false; out = 0; out_pos = 0 }
    :: atomic { !RUNS || over -> break }
    od
}

inline new_link() {
    epoch++;
    wsock[worker]!epoch;
    rsock[router]!LINK, epoch
}

inline wipe(c) { do :: c?_, _ :: empty(c) -> break od }

active proctype Supervisor()
{
    atomic {
        router_alive = true; run Router(0);
        worker_alive = true; run Worker(0);
        wsock[0]!epoch; rsock[0]!LINK, epoch
    }
    do
    :: atomic { !router_alive ->
                do :: rsock[router]?_, _ :: empty(rsock[router]) -> break od;
                router++; router_alive = true; run Router(router);
#ifdef SAMERING
                rsock[router]!LINK, epoch
#else
#ifdef RESET
                wipe(r2w[epoch]); wipe(w2r[epoch]);
                wsock[worker]!epoch; rsock[router]!LINK, epoch
#else
#ifdef NOTELL
                epoch++; rsock[router]!LINK, epoch
#else
                wipe(r2w[epoch]); wipe(w2r[epoch]);
                new_link()
#endif
#endif
#endif
       }
    :: atomic { router_alive && !worker_alive ->
                do :: wsock[worker]?_ :: empty(wsock[worker]) -> break od;
#ifndef NODEAD
                rsock[router]!DEAD, epoch;
#endif
                worker++; worker_alive = true; run Worker(worker);
                new_link() }
    :: over -> break
    od
}

active proctype Chaos()
{
    byte n;

    do
    :: atomic { n < CRASHES && router_alive && !over -> n++; router_alive = false }
    :: atomic { n < CRASHES && worker_alive && !over -> n++; worker_alive = false }
    :: break
    od
}

ltl ends { <> over }
