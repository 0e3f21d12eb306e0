/* rebind.pml: several requests, two workers; the death of one moves its requests.
 *
 * design   Two workers run at any time, each incarnation with a ring pair of its own. LINK and DEAD
 *          come from the supervisor over one ordered socket, DEAD after the reaping. A worker runs
 *          a batch; the router keeps a journal per request. On DEAD it drops the rings, and every
 *          request bound to them goes to the other worker at once or to the next incarnation, from
 *          its journal's length. A request fails after A deaths with no token between them. A
 *          client may go: CANCEL, then CANCELLED, DONE or DEAD ends the request. The chaos is a
 *          SIGKILL carried out some time after it was sent: a crash, a hung worker, a false alarm
 *          and a zombie that wakes up are all orders of that.
 * checked  at most one live incarnation per request; events only for bound requests and in order;
 *          one end per request, with no live producer left; finish = whole journal; <> over
 * variants -DANYLEAVES   both clients may go (large: with -DCRASHES=1)
 * mutants  -DNOREAP      DEAD is said when the kill is sent
 *          -DTWICE       a running request may be given to the other worker as well
 *          -DBLIND       resume at the dead worker's position
 *          -DONEJOURNAL  one resume position for the whole batch
 *          -DKEEPRING    the dead ring is read on after the move
 *          -DLOSTSUBMIT  requests that had no event yet are not moved
 *          -DGONEATONCE  a request whose client is gone ends before the worker's last word
 *          -DLEAK        DEAD does not end requests that are being cancelled
 *          -DSTRICT      tokens behind a CANCEL count as a violation of the protocol
 */
#ifndef N
#define N 2         /* tokens of a request */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#define R      2
#define A      2
#define INCS   (2 + CRASHES)
#define NOBODY 255

mtype = { SUBMIT, CANCEL, TOKEN, DONE, CANCELLED, LINK, DEAD };
mtype = { WAITING, BOUND, CANCELLING, FIN, ERR, GONE };

chan r2w[INCS] = [R] of { mtype, byte, byte };     /* type, request, from */
chan w2r[INCS] = [2] of { mtype, byte, byte };     /* type, request, index */
chan sock = [4] of { mtype, byte };                /* supervisor -> router: type, incarnation */

/* processes */
bool alive[INCS], killed[INCS], said[INCS];
byte started;

/* batch of each incarnation, in the worker's own memory */
#define AT(e, r) ((e) * R + (r))
bool live[INCS * R], noted[INCS * R];
byte pos[INCS * R];

/* router, private */
mtype state[R] = WAITING;
byte bound[R] = NOBODY;
byte journal[R], base[R], deaths[R];
#ifdef BLIND
byte claim[R];
#endif
bool linked[INCS];
bool over;

proctype Worker(byte e)
{
    mtype t; byte r, from;

    do
    :: atomic { alive[e] && nempty(r2w[e]) ->
                r2w[e]?t, r, from;
                if
                :: t == SUBMIT ->
                    assert(!live[AT(e, r)]);
                    live[AT(e, r)] = true; pos[AT(e, r)] = from
                :: t == CANCEL -> noted[AT(e, r)] = live[AT(e, r)]
                fi;
                t = 0; r = 0; from = 0 }
    :: atomic { alive[e] && nfull(w2r[e]) && (live[AT(e, 0)] || live[AT(e, 1)]) ->
                if
                :: live[AT(e, 0)] -> r = 0
                :: live[AT(e, 1)] -> r = 1
                fi;
                if
                :: noted[AT(e, r)] ->
                    live[AT(e, r)] = false; noted[AT(e, r)] = false; pos[AT(e, r)] = 0;
                    w2r[e]!CANCELLED, r, 0
                :: !noted[AT(e, r)] && pos[AT(e, r)] < N ->
                    w2r[e]!TOKEN, r, pos[AT(e, r)]; pos[AT(e, r)]++
                :: !noted[AT(e, r)] && pos[AT(e, r)] == N ->
                    live[AT(e, r)] = false; pos[AT(e, r)] = 0;
                    w2r[e]!DONE, r, N
                fi;
                r = 0 }
    :: atomic { !alive[e] || over -> break }
    od
}

#define PRODUCED(e, r) (alive[e] && (live[AT(e, r)] || r2w[e]??[SUBMIT, eval(r), _]))
#define ENDED(r)       (state[r] == FIN || state[r] == ERR || state[r] == GONE)

inline no_producer(r) {
    for (x : 0 .. INCS - 1) { assert(!PRODUCED(x, r)) }
    x = 0
}

inline finish(r, how) {
    assert(!ENDED(r));
    no_producer(r);
    assert(how != FIN || journal[r] == N);
    assert(how != ERR || deaths[r] == A);
    state[r] = how; bound[r] = NOBODY; base[r] = 0; deaths[r] = 0
}

#ifdef BLIND
#define FROM claim[r]
#else
#ifdef ONEJOURNAL
#define FROM journal[0]
#else
#define FROM journal[r]
#endif
#endif
#ifdef TWICE
#define FREE_FOR(e) (state[r] == WAITING || (state[r] == BOUND && bound[r] != e && journal[r] == 0))
#else
#define FREE_FOR(e) (state[r] == WAITING)
#endif
#define PLACE(e)                                                    \
    :: atomic { linked[e] && FREE_FOR(e) && nfull(r2w[e]) ->        \
                no_producer(r);                                     \
                r2w[e]!SUBMIT, r, FROM;                             \
                state[r] = BOUND; bound[r] = e; base[r] = journal[r] }

#ifdef ANYLEAVES
#define LEAVES(r) true
#else
#define LEAVES(r) (r == 1)      /* the requests are alike: let the client of one go */
#endif

/* Placement and client of one request (in the router, like all that reads state[]). */
proctype Request(byte r)
{
    byte x;

    do
    PLACE(0)
    PLACE(1)
#if CRASHES > 0
    PLACE(2)
#endif
#if CRASHES > 1
    PLACE(3)
#endif
    :: atomic { state[r] == WAITING && LEAVES(r) -> finish(r, GONE) }
    :: atomic { state[r] == BOUND && LEAVES(r) && nfull(r2w[bound[r]]) ->
                r2w[bound[r]]!CANCEL, r, 0;
#ifdef GONEATONCE
                finish(r, GONE)
#else
                state[r] = CANCELLING
#endif
       }
    :: atomic { ENDED(r) -> break }
    od
}

#ifdef STRICT
#define EXPECTS(r) (state[r] == BOUND)
#else
#define EXPECTS(r) (state[r] == BOUND || state[r] == CANCELLING)
#endif
#ifdef KEEPRING
#define READS(e) true
#else
#define READS(e) linked[e]
#endif
#define EVENT(e)                                                    \
    :: atomic { READS(e) && nempty(w2r[e]) ->                       \
                w2r[e]?t, r, i;                                     \
                assert(bound[r] == e && EXPECTS(r));                \
                if                                                  \
                :: t == TOKEN && state[r] == BOUND ->               \
                    assert(i == journal[r]); journal[r]++           \
                :: t == TOKEN && state[r] != BOUND                  \
                :: t == DONE && state[r] == BOUND -> finish(r, FIN) \
                :: t == DONE && state[r] != BOUND -> finish(r, GONE) \
                :: t == CANCELLED ->                                \
                    assert(state[r] == CANCELLING); finish(r, GONE) \
                fi;                                                 \
                t = 0; r = 0; i = 0 }

active proctype Router()
{
    mtype t; byte r, i, e, x;

    atomic { run Request(0); run Request(1) }
    do
    EVENT(0)
    EVENT(1)
#if CRASHES > 0
    EVENT(2)
#endif
#if CRASHES > 1
    EVENT(3)
#endif
    :: atomic { sock?t, e ->
                if
                :: t == LINK -> linked[e] = true
                :: t == DEAD ->
                    linked[e] = false;
#ifndef KEEPRING
                    do
                    :: r2w[e]?_, _, _
                    :: w2r[e]?_, _, _
                    :: empty(r2w[e]) && empty(w2r[e]) -> break
                    od;
#endif
                    for (r : 0 .. R - 1) {
                        if
#ifndef LEAK
                        :: bound[r] == e && state[r] == CANCELLING -> finish(r, GONE)
#endif
#ifdef LOSTSUBMIT
                        :: bound[r] == e && state[r] == BOUND && journal[r] > base[r] ->
#else
                        :: bound[r] == e && state[r] == BOUND ->
#endif
#ifdef BLIND
                            claim[r] = pos[AT(e, r)];
#endif
                            deaths[r] = (journal[r] == base[r] -> deaths[r] + 1 : 1);
                            if
                            :: deaths[r] == A -> finish(r, ERR)
                            :: else -> state[r] = WAITING; bound[r] = NOBODY; base[r] = 0
                            fi
                        :: else
                        fi
                    }
                    for (r : 0 .. R - 1) {                   /* its memory is gone */
                        live[AT(e, r)] = live[AT(e, r)] && alive[e];
                        noted[AT(e, r)] = noted[AT(e, r)] && alive[e];
                        pos[AT(e, r)] = (alive[e] -> pos[AT(e, r)] : 0)
                    }
                fi;
                t = 0; e = 0; r = 0; i = 0 }
    :: atomic { ENDED(0) && ENDED(1) -> break }
    od;
    over = true
}

#ifdef NOREAP
#define GONE_BY(e) killed[e]
#else
#define GONE_BY(e) (killed[e] && !alive[e])
#endif
#define REAP(e)                                                     \
    :: atomic { GONE_BY(e) && !said[e] ->                           \
                said[e] = true;                                     \
                sock!DEAD, e;                                       \
                alive[started] = true; run Worker(started);         \
                sock!LINK, started;                                 \
                started++ }
#define KILL(e)                                                     \
    :: atomic { kills < CRASHES && alive[e] && !killed[e] && !over -> killed[e] = true; kills++ } \
    :: atomic { killed[e] && alive[e] -> alive[e] = false }

active proctype Supervisor()
{
    atomic {
        alive[0] = true; linked[0] = true; run Worker(0);
        alive[1] = true; linked[1] = true; run Worker(1);
        started = 2
    }
    do
    REAP(0)
    REAP(1)
#if CRASHES > 1
    REAP(2)
#endif
    :: over -> break
    od
}

active proctype Chaos()
{
    byte kills;

    do
    KILL(0)
    KILL(1)
#if CRASHES > 1
    KILL(2)
#endif
    :: kills < CRASHES -> kills = CRASHES                   /* no more of it */
    :: over -> break
    od
}

ltl ends { <> over }
