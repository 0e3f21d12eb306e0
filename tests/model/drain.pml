/* drain.pml: taking a worker (or the node) out of service without losing a request.
 *
 * design   Worker 0 is drained while requests run on it and others arrive; worker 1 stays. The
 *          supervisor tells the router; from then on the router places nothing on worker 0, and
 *          says IDLE when nothing is bound to it any more; then the supervisor asks the worker to
 *          exit.
 *          At the drain deadline it kills the worker instead, and the requests go on elsewhere from
 *          their journals, after the reaping, by the path of rebind.pml. A worker that exits while
 *          it drains is not started again. Worker 0 may get stuck at any time or die of itself.
 *          -DNODE: SIGTERM, both workers are drained; new requests are refused, and what is left
 *          at the deadline ends with an error.
 * checked  nothing placed on a draining worker, asked to exit only when nothing is bound, no
 *          restart, at most one live incarnation per request, one end per request, no error
 *          but with -DNODE; <> (over && down), [] (draining -> <> down)
 * mutants  -DACCEPT      the router goes on placing on a draining worker
 *          -DNODEADLINE  the drain waits for ever
 *          -DNORESUME    requests of the killed worker are not moved
 *          -DNOREAP      they are moved when the kill is sent
 *          -DEARLYIDLE   IDLE is said while a request is on its way
 *          -DRESTART     a worker that dies while it drains is started again
 *          -DNODE -DWAITS      new requests wait for a worker that will not come
 */
#define N      2         /* tokens of a request */
#define R      2
#define W      2
#define NOBODY 255

mtype = { SUBMIT, TOKEN, DONE, DRAIN, LINK, DEAD, IDLE };
mtype = { ABSENT, WAITING, BOUND, FIN, ERR };

chan r2w[W] = [R] of { byte, byte };               /* request, from */
chan w2r[W] = [2] of { mtype, byte, byte };        /* type, request, index */
chan sock = [4] of { mtype, byte };                /* supervisor -> router: type, worker */
chan back = [2] of { mtype, byte };                /* router -> supervisor */

/* processes */
bool alive[W] = true, stuck, killed[W], asked[W], said[W];
bool draining, down;                               /* supervisor's */

/* worker's own memory */
#define AT(e, r) ((e) * R + (r))
bool live[W * R];
byte pos[W * R];

/* router, private */
mtype state[R] = ABSENT;
byte bound[R] = NOBODY, journal[R];
bool linked[W] = true, drains[W], idle_said[W];
bool told[W];                                      /* DRAIN was read, for good */
bool over;

#define RUNS(e) (alive[e] && !(e == 0 && stuck))

proctype Worker(byte e)
{
    byte r, from;

    do
    :: atomic { RUNS(e) && nempty(r2w[e]) ->
                r2w[e]?r, from;
                assert(!live[AT(e, r)]);
                live[AT(e, r)] = true; pos[AT(e, r)] = from;
                r = 0; from = 0 }
    :: atomic { RUNS(e) && nfull(w2r[e]) && (live[AT(e, 0)] || live[AT(e, 1)]) ->
                if
                :: live[AT(e, 0)] -> r = 0
                :: live[AT(e, 1)] -> r = 1
                fi;
                if
                :: pos[AT(e, r)] < N -> w2r[e]!TOKEN, r, pos[AT(e, r)]; pos[AT(e, r)]++
                :: else -> live[AT(e, r)] = false; pos[AT(e, r)] = 0; w2r[e]!DONE, r, N
                fi;
                r = 0 }
    :: atomic { RUNS(e) && asked[e] -> alive[e] = false }              /* exits when asked */
    :: !alive[e] || (over && down) -> break
    od
}

#define PRODUCED(e, r) (alive[e] && (live[AT(e, r)] || r2w[e]??[eval(r), _]))
#define ENDED(r)       (state[r] == FIN || state[r] == ERR)

inline finish(r, how) {
    assert(!ENDED(r));
    assert(!PRODUCED(0, r) && !PRODUCED(1, r));
    assert(how != FIN || journal[r] == N);
#ifndef NODE
    assert(how != ERR);
#endif
    state[r] = how; bound[r] = NOBODY
}

#ifdef ACCEPT
#define OPEN(e) linked[e]
#else
#define OPEN(e) (linked[e] && !drains[e])
#endif
#define NOWHERE (drains[0] && drains[1])
#define PLACE(e)                                                    \
    :: atomic { OPEN(e) && state[r] == WAITING ->                   \
                assert(!told[e]);                                   \
                assert(!PRODUCED(0, r) && !PRODUCED(1, r));         \
                r2w[e]!r, journal[r];                               \
                state[r] = BOUND; bound[r] = e }

proctype Request(byte r)
{
    do
    :: atomic { state[r] == ABSENT -> state[r] = WAITING }
    PLACE(0)
    PLACE(1)
#ifndef WAITS
    :: atomic { state[r] == WAITING && NOWHERE -> finish(r, ERR) }
#endif
    :: ENDED(r) -> break
    od
}

#define EVENT(e)                                                    \
    :: atomic { linked[e] && nempty(w2r[e]) ->                      \
                w2r[e]?t, r, i;                                     \
                assert(bound[r] == e);                              \
                if                                                  \
                :: t == TOKEN -> assert(i == journal[r]); journal[r]++ \
                :: t == DONE -> finish(r, FIN)                      \
                fi;                                                 \
                t = 0; r = 0; i = 0 }
#ifdef EARLYIDLE
#define BUSY(e, r) (bound[r] == e && journal[r] > 0)
#else
#define BUSY(e, r) (bound[r] == e)
#endif
#define REPORT(e)                                                   \
    :: atomic { linked[e] && drains[e] && !idle_said[e] && !BUSY(e, 0) && !BUSY(e, 1) -> \
                idle_said[e] = true; back!IDLE, e }

active proctype Router()
{
    mtype t; byte r, i, e;

    atomic { run Worker(0); run Worker(1); run Request(0); run Request(1) }
    do
    EVENT(0)
    EVENT(1)
    REPORT(0)
    REPORT(1)
    :: atomic { sock?t, e ->
                if
                :: t == DRAIN -> drains[e] = true; told[e] = true
                :: t == LINK -> linked[e] = true; drains[e] = false
                :: t == DEAD ->
                    linked[e] = false;
                    do
                    :: r2w[e]?_, _
                    :: w2r[e]?_, _, _
                    :: empty(r2w[e]) && empty(w2r[e]) -> break
                    od;
                    for (r : 0 .. R - 1) {
                        if
#ifndef NORESUME
                        :: bound[r] == e -> state[r] = WAITING; bound[r] = NOBODY
#endif
                        :: else
                        fi;                          /* the worker's memory is gone: */
                        live[AT(e, r)] = live[AT(e, r)] && alive[e];
                        pos[AT(e, r)] = (alive[e] -> pos[AT(e, r)] : 0)
                    }
                fi;
                t = 0; e = 0; r = 0 }
    :: atomic { ENDED(0) && ENDED(1) && !over -> over = true }
    :: over && down -> break
    od
}

#ifdef NODE
#define LEAVING(e) draining
#else
#define LEAVING(e) (draining && e == 0)
#endif
#ifdef NOREAP
#define GONE(e) (!alive[e] || killed[e])
#else
#define GONE(e) (!alive[e])
#endif
#ifdef NODEADLINE
#define DEADLINE(e) false
#else
#define DEADLINE(e) (LEAVING(e) && alive[e])       /* any time after the drain began */
#endif
#define OUT(e) (said[e] && !alive[e])
#define CHILD(e)                                                    \
    :: atomic { DEADLINE(e) && !killed[e] -> killed[e] = true }     \
    :: atomic { GONE(e) && !said[e] -> said[e] = true; sock!DEAD, e }

active proctype Supervisor()
{
    byte e;

    do
    :: atomic { !draining ->
                draining = true;
                sock!DRAIN, 0;
#ifdef NODE
                sock!DRAIN, 1
#endif
       }
    :: atomic { back?IDLE, e ->
                assert(LEAVING(e));
                assert(!alive[e] || (bound[0] != e && bound[1] != e));
                asked[e] = true; e = 0 }
    CHILD(0)
    CHILD(1)
#ifdef RESTART
    :: atomic { said[0] && !asked[0] && !killed[0] && !down ->
                said[0] = false; alive[0] = true; run Worker(0); sock!LINK, 0 }
#endif
    :: atomic { draining && OUT(0) && (OUT(1) || !LEAVING(1)) && !down -> down = true }
    :: over && down -> break
    od
}

active proctype Kernel()
{
    do
    :: atomic { killed[0] && alive[0] -> alive[0] = false }    /* a SIGKILL takes its time */
    :: atomic { killed[1] && alive[1] -> alive[1] = false }
    :: over && down -> break
    od
}

active proctype Chaos()
{
    if
    :: stuck = true
    :: atomic { alive[0] && draining && !down -> alive[0] = false }
    :: skip
    fi
}

ltl ends       { <> (over && down) }
ltl drains_end { [] (draining -> <> down) }
