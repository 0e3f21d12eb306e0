/* seq.pml: the sequence lock of status records; a torn copy is never accepted, readers never hang.
 *
 * design   The writer sets seq |= 1, release fence, words, seq + 1 (release store). It may be
 *          killed between any two of these; its successor finds seq odd and keeps it odd by "| 1".
 *          The reader takes seq (acquire), the words, acquire fence, seq again; it tries a bounded
 *          number of times and then reports that no whole copy was to be had.
 * memory   The writer's stores go through buffers that drain in any order, as in wake.pml.
 * checked  an accepted copy is one record; <> over for the reader
 * mutants  -DPLUSONE    seq + 1 instead of seq | 1: the successor of a dead writer makes it even
 *          -DNOFENCE    words may be seen before seq is odd
 *          -DNORELEASE  the closing seq may be seen before the words
 *          -DNORECHECK  the reader does not compare seq
 *          -DEARLYCHECK the reader loads the second seq before the words (no acquire fence)
 *          -DUNBOUNDED  the reader tries for ever: it hangs behind a dead writer
 */
#define TRIES 3
#define NONE  255

byte seq, a, b;
byte b_seq = NONE, b_a = NONE, b_b = NONE;
bool over;

#define DRAINED (b_seq == NONE && b_a == NONE && b_b == NONE)
#ifdef PLUSONE
#define ODD(x) (x + 1)
#else
#define ODD(x) (x | 1)
#endif
#ifdef NOFENCE
#define FENCE skip
#else
#define FENCE DRAINED
#endif
#ifdef NORELEASE
#define RELEASED true
#else
#define RELEASED (b_a == NONE && b_b == NONE)
#endif
#define STORE(buf, v) atomic { buf == NONE -> buf = v }
#define MAYDIE if :: skip :: incarnation == 1 -> goto died fi

active proctype Memory()
{
end:
    do
    :: atomic { b_a != NONE -> a = b_a; b_a = NONE }
    :: atomic { b_b != NONE -> b = b_b; b_b = NONE }
    :: atomic { b_seq != NONE && RELEASED -> seq = b_seq; b_seq = NONE }
    od
}

/* Records are {v, v}. The first incarnation publishes 1 and 2 and may die; the second, 3 and 4. */
active proctype Writer()
{
    byte incarnation = 1, i, open, v;

start:
    i = 0;
    do
    :: i < 2 ->
        i++; v++;
        DRAINED;                             /* reads back what it stored itself */
        open = ODD(seq);
        STORE(b_seq, open);
        MAYDIE;
        FENCE;
        STORE(b_a, v);
        MAYDIE;
        STORE(b_b, v);
        MAYDIE;
        STORE(b_seq, open + 1)
    :: i == 2 -> break
    od;
died:
    DRAINED;                                 /* what was stored arrives before the reaping */
    if
    :: incarnation == 1 -> incarnation = 2; v = 2; goto start
    :: skip                                  /* the end, perhaps with no successor */
    fi
}

active proctype Reader()
{
    byte s1, s2, x, y, tries;

    do
    :: s1 = seq;
        if
        :: s1 % 2 == 0 ->
#ifdef EARLYCHECK
            s2 = seq; x = a; y = b;
#else
            x = a; y = b; s2 = seq;
#endif
#ifdef NORECHECK
            s2 = s1;
#endif
            if :: s2 == s1 -> assert(x == y); break :: else fi
        :: else
        fi;
#ifndef UNBOUNDED
        tries++;
        if :: tries == TRIES -> break :: else fi
#endif
    od;
    over = true
}

ltl ends { <> over }
