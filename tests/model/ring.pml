/* ring.pml: each token reaches the journal exactly once, whatever happens to the worker.
 *
 * design   One request, one worker at a time, several incarnations of it. Every incarnation (epoch)
 *          has a fresh ring; the worker writes entry and then tail, the router writes head; the
 *          supervisor says "dead" only after it reaped the process, starts the next incarnation
 *          after that, and the router drops what was left in the dead ring and resumes at the
 *          length of its private journal. SIGKILL takes its time; a hung worker may wake up late.
 * checked  index in bounds, epoch of the entry, no loss, no duplicate, one live incarnation;
 *          <> done
 * variants -DLATE       a store of a dead incarnation may land late (DMA, io_uring): still clean
 * mutants  -DNOREAP     "dead" is said when the watchdog fires, before the process is reaped
 *          -DBLIND      resume at the dead worker's tail instead of the journal
 *          -DEARLYTAIL  tail is published before the entry is complete
 *          -DHOSTILE    the worker ignores the fill limit: the router must see it before it copies
 *          -DSHARED -DNORESET  one ring for all epochs, not reset
 *          -DSHARED -DLATE     one ring for all epochs, reset after the reaping, late store
 *          (-DSHARED alone is clean: a reset ring is safe only while nothing lands late.)
 */
#ifndef N
#define N 3       /* tokens of the request */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#define CAP  2
#define EMAX (CRASHES + 1)

#ifdef SHARED
#define SEG(e) 0
#else
#define SEG(e) (e)
#endif
#define SLOT(e, i) (SEG(e) * CAP + ((i) % CAP))

/* rings: one per epoch */
byte entry_epoch[EMAX * CAP], entry_idx[EMAX * CAP];
byte tail[EMAX];                  /* worker's */
byte head[EMAX];                  /* router's, in the segment the other way */

/* processes, as the kernel and the supervisor see them */
bool alive[EMAX], stopped[EMAX], killed[EMAX], suspect[EMAX], reaped[EMAX];
byte started;                     /* incarnations so far */
byte crashes;

/* messages supervisor -> router and worker */
bool dead_said[EMAX];
byte from[EMAX];
bool want = true;                 /* router asks for an incarnation */

/* router, private */
byte cur, journal;
bool attached, done;

#define RUNS(e) (alive[e] && !stopped[e])
#ifdef LATE
#define STORE(x) if :: RUNS(e) -> x :: !alive[e] -> goto gone fi
#else
#define STORE(x) if :: atomic { RUNS(e) -> x } :: !alive[e] -> goto gone fi
#endif

#ifdef HOSTILE
#define FULL(e) false
#else
#define FULL(e) (tail[SEG(e)] - head[SEG(e)] >= CAP)
#endif

proctype Worker(byte e)
{
    byte i = from[e], t;

    do
    :: RUNS(e) && i < N && !FULL(e) ->
        t = tail[SEG(e)];
#ifdef EARLYTAIL
        STORE(tail[SEG(e)] = t + 1);
#endif
        STORE(entry_epoch[SLOT(e, t)] = e + 1);
        STORE(entry_idx[SLOT(e, t)] = i);
#ifndef EARLYTAIL
        STORE(tail[SEG(e)] = t + 1);
#endif
        i++
    :: !alive[e] || done -> break
    od;
gone:
    skip
}

active proctype Router()
{
    byte e, i, t;

    do
    :: !done && attached && head[SEG(cur)] != tail[SEG(cur)] ->
        t = tail[SEG(cur)];
        assert(t - head[SEG(cur)] <= CAP);              /* an index from a stranger */
        e = entry_epoch[SLOT(cur, head[SEG(cur)])];     /* copy, then validate */
        i = entry_idx[SLOT(cur, head[SEG(cur)])];
        head[SEG(cur)] = head[SEG(cur)] + 1;
        assert(e == cur + 1);                           /* no foreign epoch */
        assert(i == journal);                           /* no loss, no duplicate */
        journal++;
        if :: journal == N -> done = true :: else fi
    :: !done && dead_said[cur] ->
        atomic {
            attached = false;
            from[cur + 1] = journal;
#ifdef BLIND
            from[cur + 1] = tail[SEG(cur)];
#endif
#if defined(SHARED) && !defined(NORESET)
            tail[0] = 0; head[0] = 0;
#endif
            cur++;
            want = true
        }
    :: !done && !attached && !dead_said[cur] && started == cur + 1 -> attached = true
    :: done -> break
    od
}

active proctype Supervisor()
{
    byte e;
#define LAST (started - 1)

    do
    :: atomic {
        want && started < EMAX ->
        want = false; e = started;
        assert(e == 0 || !alive[e - 1]);                /* one live incarnation */
        alive[e] = true; started++;
        run Worker(e)
       }
    :: atomic { started > 0 && !alive[LAST] && !reaped[LAST] ->
                reaped[LAST] = true; dead_said[LAST] = true }
    :: atomic { started > 0 && suspect[LAST] && alive[LAST] && !killed[LAST] -> killed[LAST] = true
#ifdef NOREAP
                ; dead_said[LAST] = true
#endif
       }
    :: done -> break
    od
}

/* A SIGKILL is carried out some time after it was sent. */
#define CARRY_OUT(e) killed[e] && alive[e] -> alive[e] = false; stopped[e] = false

active proctype Kernel()
{
    do
    :: atomic { started > 0 && CARRY_OUT(LAST) }
    :: atomic { started > 1 && CARRY_OUT(started - 2) }
    :: done -> break
    od
}

active proctype Chaos()
{
    byte e;

    do
    :: !done && crashes < CRASHES && started > 0 && alive[LAST] && !suspect[LAST] ->
        e = LAST; crashes++;
        if
        :: alive[e] = false                                         /* crash */
        :: atomic { stopped[e] = true; suspect[e] = true }          /* SIGSTOP, hung step */
        :: suspect[e] = true                                        /* false alarm */
        :: stopped[e] = true; suspect[e] = true; stopped[e] = false /* zombie wakes up */
        fi
    :: break
    od
}

ltl finishes { <> done }
