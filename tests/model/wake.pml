/* wake.pml: no wake-up is lost, in either direction, for entries (DATA) or for room (SPACE).
 *
 * design   A link: two sides, a ring each way, one `asleep` word and one eventfd per side. A side
 *          that published tail does a full fence and then looks at the peer's DATA bit; one that
 *          published head, at the peer's SPACE bit; bit set = write the peer's eventfd. A side
 *          with nothing to do sets the bits of all it waits for, full fence, looks again, sleeps
 *          on its eventfd (and on the socket that brings the supervisor's "dead" message). There
 *          is no periodic sweep in the model: it must not be needed.
 *          (A seq_cst store followed by a seq_cst load is such a fence.)
 * memory   Each store goes into a buffer of its own first and reaches memory at any later time,
 *          in any order (weaker than x86); a fence waits for all of the side's buffers; a release
 *          store of tail waits for the entry before it.
 * checked  no deadlock (= nobody sleeps for ever), entries arrive whole and in order; <> all_done
 * variants -DCRASH       side 1 dies anywhere, also between publishing and signalling
 * mutants  -DNOFENCE_TAIL, -DNOFENCE_HEAD, -DNOFENCE_SLEEP  that fence is dropped
 *          -DNORECHECK   sleeps without looking again
 *          -DLATECLEAR   clears the eventfd after it looked, just before it sleeps
 *          -DNODATA      publishing tail wakes nobody
 *          -DNOSPACE     publishing head wakes nobody: the wait for room is forgotten
 *          -DONEBIT      sets only DATA when it also waits for room
 *          -DBLOCKING    while it waits for room, takes no entries: both sides stuck
 *          -DNORELEASE   tail may be seen before the entry
 *          -DNOACQUIRE   the entry is read before the tail that covers it
 *          -DCRASH -DNODEADMSG  the sleeper does not listen to the supervisor
 */
#ifndef M
#define M 3          /* entries each way */
#endif
#define CAP   1
#define NONE  255
#define DATA  1
#define SPACE 2
#define PEER  (1 - s)

/* shared memory; side s writes [s] and nothing else */
byte tail[2], head[2], asleep[2], entry[2];
/* store buffers */
byte b_tail[2] = NONE, b_head[2] = NONE, b_asleep[2] = NONE, b_entry[2] = NONE;
bool efd[2];                                  /* eventfds: the peer writes, the owner clears */
bool dead, dead_said;                         /* side 1; supervisor -> side 0 */
bool over[2];
#define all_done (over[0] && over[1])

#define DRAINED \
    (b_tail[s] == NONE && b_head[s] == NONE && b_asleep[s] == NONE && b_entry[s] == NONE)
#ifdef NOFENCE_TAIL
#define FENCE_TAIL skip
#else
#define FENCE_TAIL DRAINED
#endif
#ifdef NOFENCE_HEAD
#define FENCE_HEAD skip
#else
#define FENCE_HEAD DRAINED
#endif
#ifdef NOFENCE_SLEEP
#define FENCE_SLEEP skip
#else
#define FENCE_SLEEP DRAINED
#endif
#ifdef NORELEASE
#define RELEASED true
#else
#define RELEASED (b_entry[s] == NONE)
#endif
#ifdef CRASH
#define MAYDIE if :: skip :: s == 1 -> goto died fi
#else
#define MAYDIE skip
#endif

#define STORE(b, v) atomic { b[s] == NONE -> b[s] = v }

active [2] proctype Memory()
{
    byte s = _pid;

    do
    :: atomic { b_entry[s] != NONE -> entry[s] = b_entry[s]; b_entry[s] = NONE }
    :: atomic { b_tail[s] != NONE && RELEASED -> tail[s] = b_tail[s]; b_tail[s] = NONE }
    :: atomic { b_head[s] != NONE -> head[s] = b_head[s]; b_head[s] = NONE }
    :: atomic { b_asleep[s] != NONE -> asleep[s] = b_asleep[s]; b_asleep[s] = NONE }
    :: over[s] && DRAINED -> break
    od
}

#define CAN_TAKE (seen < M && tail[PEER] != seen)
#define CAN_PUT  (sent < M && sent - head[PEER] < CAP)
#ifdef BLOCKING
#define TAKES (CAN_TAKE && (sent == M || CAN_PUT))
#else
#define TAKES CAN_TAKE
#endif

active [2] proctype Side()
{
    byte s = _pid - 2, sent, seen, v;

    do
    :: TAKES ->
#ifndef NOACQUIRE
        v = entry[PEER];
#endif
        assert(v == seen + 1);
        seen++;
        STORE(b_head, seen);
        MAYDIE;
        FENCE_HEAD;
#ifndef NOSPACE
        if :: asleep[PEER] & SPACE -> MAYDIE; efd[PEER] = true :: else fi
#endif
    :: CAN_PUT ->
        sent++;
        STORE(b_entry, sent);
        MAYDIE;
        STORE(b_tail, sent);
        MAYDIE;
        FENCE_TAIL;
#ifndef NODATA
        if :: asleep[PEER] & DATA -> MAYDIE; efd[PEER] = true :: else fi
#endif
    :: sent == M && seen == M -> break
    :: s == 0 && dead_said -> break              /* what is left in the ring is dropped */
    :: else ->
#ifdef ONEBIT
        STORE(b_asleep, DATA);
#else
        STORE(b_asleep, (seen < M -> DATA : 0) + (sent < M -> SPACE : 0));
#endif
        FENCE_SLEEP;
        MAYDIE;
#ifdef NOACQUIRE
        v = entry[PEER];
#endif
#ifndef NORECHECK
        if :: TAKES -> goto awake :: else fi;
        if :: CAN_PUT -> goto awake :: else fi;
#endif
#ifdef LATECLEAR
        efd[s] = false;
#endif
#if defined(CRASH) && !defined(NODEADMSG)
        (efd[s] || (s == 0 && dead_said));
#else
        (efd[s]);
#endif
        efd[s] = false;
awake:
        STORE(b_asleep, 0)
    od;
    goto out;
died:
    dead = true;
    DRAINED;                                     /* what was stored before death arrives */
    dead_said = true;
out:
    over[s] = true
}

ltl no_sleep { <> all_done }
