/* credit.pml: credits; a slow reader pauses its own request and no other.
 *
 * design   Two requests in one worker's batch, one event ring between them and the router, a
 *          client each. The worker may be at most C tokens ahead of what the client took: SUBMIT
 *          and CREDIT carry an absolute limit, taken + C, so a later one replaces an earlier one,
 *          and one that finds the ring full is sent when there is room. The router takes every
 *          event at once. Reader 0 may stop for good; then the stall timer cancels its request.
 *          The worker may die once: resume at the journal's length, the limit again taken + C.
 * checked  journal - taken <= C always (the router's buffer for a stream), order per request;
 *          <> over; with no stall timer (-DNOTIMER) still <> (end[1] == FIN)
 * mutants  -DNOCREDIT     the worker ignores limits
 *          -DACKEARLY     credit when the router received a token, not when the client took it
 *          -DFULLGRANT    a resubmitted request starts with C beyond the journal
 *          -DDROPCREDIT   a CREDIT that finds the ring full is lost
 *          -DNOTIMER -DPOOL   one pool of credits for the whole worker
 *          -DNOTIMER -DHOLD   no credits: the router leaves events of a full stream in the ring
 */
#define R 2
#ifndef N
#define N 3
#endif
#define C 2
#ifndef CRASHES
#define CRASHES 1
#endif
#define INCS (CRASHES + 1)

mtype = { SUBMIT, CREDIT, CANCEL, TOKEN, DONE, CANCELLED };
mtype = { NONE, FIN, GONE };

chan r2w[INCS] = [2] of { mtype, byte, byte, byte };   /* type, request, from, limit */
chan w2r[INCS] = [2] of { mtype, byte, byte };         /* type, request, index */

bool alive = true, dead_said, over;
byte inc;

/* worker */
bool live[R]; byte pos[R], limit[R];

/* router, private */
byte journal[R], granted[R], cur;
bool running[R], cancelling[R];
mtype end[R] = NONE;

/* clients */
byte taken[R]; bool stalled;

#define RUNS (alive && inc == me)
#ifdef POOL
#define ALLOWED (pos[0] + pos[1] < taken[0] + taken[1] + C)
#else
#if defined(NOCREDIT) || defined(HOLD)
#define ALLOWED true
#else
#define ALLOWED (pos[r] < limit[r])
#endif
#endif

proctype Worker(byte me)
{
    mtype t; byte r, from, lim;

    do
    :: atomic { RUNS && nempty(r2w[me]) ->
                r2w[me]?t, r, from, lim;
                if
                :: t == SUBMIT ->
                    assert(!live[r]); live[r] = true; pos[r] = from; limit[r] = lim
                :: t == CREDIT -> if :: live[r] -> assert(lim > limit[r]); limit[r] = lim :: else fi
                :: t == CANCEL -> if :: live[r] -> limit[r] = 255 :: else fi   /* noted */
                fi;
                t = 0; r = 0; from = 0; lim = 0 }
    :: !RUNS || over -> break
    od
}

proctype Sequence(byte me, r)
{
    do
    :: atomic { RUNS && live[r] && limit[r] == 255 && nfull(w2r[me]) ->
                live[r] = false; w2r[me]!CANCELLED, r, 0 }
    :: atomic { RUNS && live[r] && limit[r] != 255 && pos[r] < N && ALLOWED && nfull(w2r[me]) ->
                w2r[me]!TOKEN, r, pos[r]; pos[r]++ }
    :: atomic { RUNS && live[r] && limit[r] != 255 && pos[r] == N && nfull(w2r[me]) ->
                live[r] = false; w2r[me]!DONE, r, pos[r] }
    :: !RUNS || over -> break
    od
}

inline start() {
    for (r : 0 .. R - 1) { live[r] = false; pos[r] = 0; limit[r] = 0 }
    inc = cur; alive = true;
    run Worker(cur);
    for (r : 0 .. R - 1) { run Sequence(cur, r) }
    r = 0
}

inline submit(r) {
    running[r] = true;
#ifdef FULLGRANT
    granted[r] = journal[r] + C;
#else
    granted[r] = taken[r] + C;
#endif
    r2w[cur]!SUBMIT, r, journal[r], granted[r]
}

#ifdef ACKEARLY
#define ACKED(r) journal[r]
#else
#define ACKED(r) taken[r]
#endif
#define OWES(r) (running[r] && !cancelling[r] && granted[r] < ACKED(r) + C && granted[r] < N)
#ifdef DROPCREDIT
#define ROOM(r) true
#else
#define ROOM(r) nfull(r2w[cur])
#endif
#ifdef HOLD
#define READS (w2r[cur]?[CANCELLED, 0, 0] || w2r[cur]?[DONE, _, _] || \
               (w2r[cur]?[TOKEN, 0, _] && journal[0] - taken[0] < C) || \
               (w2r[cur]?[TOKEN, 1, _] && journal[1] - taken[1] < C))
#else
#define READS nempty(w2r[cur])
#endif

/* The router's half of the credits, and its timer for a stream that does not drain. */
proctype Stream(byte r)
{
    do
    :: atomic { OWES(r) && !dead_said && ROOM(r) ->
                granted[r] = ACKED(r) + C;
                if
                :: nfull(r2w[cur]) -> r2w[cur]!CREDIT, r, 0, granted[r]
                :: else
                fi }
#ifndef NOTIMER
    :: atomic { r == 0 && stalled && running[r] && !cancelling[r] &&
                !dead_said && nfull(r2w[cur]) ->
                cancelling[r] = true; r2w[cur]!CANCEL, r, 0, 0 }
    :: atomic { r == 0 && stalled && end[r] == NONE && !running[r] -> end[r] = GONE }
#endif
    :: atomic { end[r] == NONE && !running[r] && !cancelling[r] && taken[r] == N -> end[r] = FIN }
    :: end[r] != NONE -> break
    od
}

active proctype Router()
{
    mtype t; byte r, i;

    atomic {
        start();
        for (r : 0 .. R - 1) { submit(r); run Stream(r) }
        r = 0
    }
    do
    :: atomic { READS ->
                w2r[cur]?t, r, i;
                assert(running[r]);
                if
                :: t == TOKEN ->
                    if
                    :: cancelling[r]
                    :: else ->
                        assert(i == journal[r]);
                        journal[r]++;
                        assert(journal[r] - taken[r] <= C)
                    fi
                :: t == DONE ->                       /* now only the client has to read */
                    assert(cancelling[r] || journal[r] == N);
                    running[r] = false;
                    if :: cancelling[r] -> end[r] = GONE :: else fi
                :: t == CANCELLED -> assert(cancelling[r]); running[r] = false; end[r] = GONE
                fi;
                t = 0; r = 0; i = 0 }
    :: atomic { dead_said ->
                do
                :: r2w[cur]?_, _, _, _
                :: w2r[cur]?_, _, _
                :: empty(r2w[cur]) && empty(w2r[cur]) -> break
                od;
                dead_said = false; cur++;
                start();
                for (r : 0 .. R - 1) {
                    if
                    :: running[r] && cancelling[r] -> running[r] = false; end[r] = GONE
                    :: running[r] && !cancelling[r] -> submit(r)
                    :: else
                    fi
                }
                r = 0 }
    :: end[0] != NONE && end[1] != NONE -> break
    od;
    over = true
}

active [R] proctype Client()
{
    byte r = _pid - 1;
    bool stalls;

    if :: r == 0 -> stalls = true :: skip fi;
    do
    :: !(r == 0 && stalled) && taken[r] < journal[r] -> taken[r]++
    :: stalls && taken[r] < N -> stalled = true; break
    :: taken[r] == N || end[r] != NONE -> break
    od
}

active proctype Chaos()
{
    byte n;

    do
    :: atomic { n < CRASHES && alive && !over -> n++; alive = false; dead_said = true }
    :: break
    od
}

ltl ends  { <> over }
ltl other { <> (end[1] == FIN) }
