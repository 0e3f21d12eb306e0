/* slot.pml: cancelling, and using a request slot again.
 *
 * design   A slot serves one request after another; messages carry (slot, generation). Client gone:
 *          the router sends CANCEL and waits in CANCELLING for the worker's last word (DONE or
 *          CANCELLED, exactly one per request) or for the worker's death; only then the slot is
 *          FREE. In the worker a front-end thread takes messages and an engine thread owns the
 *          sequences; a cancel is a note with a generation that the engine reads at a step
 *          boundary, and it forgets a sequence before it posts the last word. A CANCEL that crosses
 *          a DONE is ignored. The worker may die once; running requests go to the next incarnation.
 * checked  a FREE slot has no live producer, no message for another generation, one end per
 *          request, CANCELLED only for cancelled ones; no deadlock (all slots come back); <> over
 * mutants  -DFREEATONCE  the slot is free as soon as CANCEL is sent
 *          -DNOGEN       the engine's cancel note has no generation
 *          -DLATEFREE    the engine posts the last word before it forgets the sequence
 *          -DNOANSWER    a cancelled sequence is dropped without CANCELLED
 *          -DDOUBLE      CANCELLED also for a request that is over
 *          -DNODEADFREE  slots in CANCELLING are not freed when the worker dies
 */
#define SLOTS 2
#ifndef GENS
#define GENS  2      /* requests per slot */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define INCS  (CRASHES + 1)

mtype = { FREE, RUNNING, CANCELLING, SUBMIT, CANCEL, TOKEN, DONE, CANCELLED };

chan r2w[INCS] = [2] of { mtype, byte, byte };     /* type, slot, generation */
chan w2r[INCS] = [2] of { mtype, byte, byte };

bool alive = true;
byte inc;                                          /* incarnation that was started last */
bool dead_said;
bool over;

/* worker: the front-end writes hand and cancel, the engine seq */
byte hand[SLOTS], seq[SLOTS], cancel[SLOTS];
bool spoke[SLOTS];

#define RUNS (alive && inc == me)

proctype Front(byte me)
{
    mtype t; byte s, g;

    do
    :: atomic { RUNS && nempty(r2w[me]) ->
                r2w[me]?t, s, g;
                if
                :: t == SUBMIT -> assert(hand[s] == 0 && seq[s] == 0); hand[s] = g
                :: t == CANCEL -> cancel[s] = g
                fi;
                t = 0; s = 0; g = 0 }
    :: !RUNS || over -> break
    od
}

#ifdef NOGEN
#define TOLD (cancel[s] != 0)
#else
#define TOLD (cancel[s] == seq[s])
#endif
#define FORGET seq[s] = 0; spoke[s] = false

/* The engine's work for the sequence of one slot; it posts at most one token per request here. */
proctype Sequence(byte me, s)
{
    do
    :: atomic { RUNS && hand[s] != 0 && seq[s] == 0 -> seq[s] = hand[s]; hand[s] = 0 }
    :: atomic { RUNS && seq[s] != 0 && TOLD && nfull(w2r[me]) ->
#ifndef NOANSWER
                w2r[me]!CANCELLED, s, seq[s];
#endif
                cancel[s] = 0; FORGET }
    :: atomic { RUNS && seq[s] != 0 && !TOLD && !spoke[s] && nfull(w2r[me]) ->
                w2r[me]!TOKEN, s, seq[s]; spoke[s] = true }
#ifdef LATEFREE
    :: atomic { RUNS && seq[s] != 0 && !TOLD && nfull(w2r[me]) -> w2r[me]!DONE, s, seq[s] }
       if :: atomic { RUNS -> FORGET } :: !RUNS -> break fi
#else
    :: atomic { RUNS && seq[s] != 0 && !TOLD && nfull(w2r[me]) ->
                w2r[me]!DONE, s, seq[s]; FORGET }
#endif
#ifdef DOUBLE
    :: atomic { RUNS && hand[s] == 0 && seq[s] == 0 && cancel[s] != 0 && nfull(w2r[me]) ->
                w2r[me]!CANCELLED, s, cancel[s]; cancel[s] = 0 }
#endif
    :: !RUNS || over -> break
    od
}

/* router, private */
mtype state[SLOTS] = FREE;
byte gen[SLOTS], cur;

inline start() {                                  /* one incarnation, with its empty memory */
    for (s : 0 .. SLOTS - 1) { hand[s] = 0; seq[s] = 0; cancel[s] = 0; spoke[s] = false }
    inc = cur; alive = true;
    run Front(cur);
    for (s : 0 .. SLOTS - 1) { run Sequence(cur, s) }
    s = 0
}

inline finish() {
    assert(!alive || (hand[s] != gen[s] && seq[s] != gen[s]));
    assert(!r2w[cur]??[SUBMIT, eval(s), eval(gen[s])] || !alive);
    state[s] = FREE
}

/* The router's client side: requests come, and clients go. */
proctype Clients(byte s)
{
    bool leaves;

    do
    :: atomic { state[s] == FREE && gen[s] < GENS && !dead_said && nfull(r2w[cur]) ->
                gen[s]++; state[s] = RUNNING; r2w[cur]!SUBMIT, s, gen[s];
                if :: leaves = true :: leaves = false fi }
    :: atomic { leaves && state[s] == RUNNING && !dead_said && nfull(r2w[cur]) ->
                r2w[cur]!CANCEL, s, gen[s];
#ifdef FREEATONCE
                finish()
#else
                state[s] = CANCELLING
#endif
       }
    :: over -> break
    od
}

active proctype Router()
{
    mtype t; byte s, g;

    atomic { start(); for (s : 0 .. SLOTS - 1) { run Clients(s) } s = 0 }
    do
    :: atomic { w2r[cur]?t, s, g ->
                assert(state[s] != FREE && g == gen[s]);
                if
                :: t == TOKEN
                :: t == DONE -> finish()
                :: t == CANCELLED -> assert(state[s] == CANCELLING); finish()
                fi;
                t = 0; g = 0; s = 0 }
    :: atomic { dead_said ->
                do                                /* the rings of a dead epoch are unmapped */
                :: r2w[cur]?_, _, _
                :: w2r[cur]?_, _, _
                :: empty(r2w[cur]) && empty(w2r[cur]) -> break
                od;
                dead_said = false; cur++;
                start();
                for (s : 0 .. SLOTS - 1) {
                    if
                    :: state[s] == RUNNING -> r2w[cur]!SUBMIT, s, gen[s]
#ifndef NODEADFREE
                    :: state[s] == CANCELLING -> state[s] = FREE
#endif
                    :: else
                    fi
                }
                s = 0 }
    :: state[0] == FREE && state[1] == FREE && gen[0] == GENS && gen[1] == GENS -> break
    od;
    over = true
}

active proctype Chaos()
{
    byte n;

    do
    :: atomic { n < CRASHES && alive && !over -> n++; alive = false; dead_said = true }
    :: break
    od
}

ltl ends { <> over }
