/* poison.pml: a request that kills its worker is found by halving, and nobody else pays for it.
 *
 * design   P requests run in one batch, up to two of them kill the worker at any time and never
 *          finish; one more request arrives when it likes and may be such a one too. When a worker
 *          dies by a fault, its unfinished requests are suspects: they are re-run in halves, one
 *          group at a time with nothing beside it, everyone else waits. A group of one that kills
 *          its worker is failed (request_quarantined). A worker that somebody else killed (SIGKILL
 *          that was not ours, drain) blames nobody: the group runs again as it was. Runs made to
 *          find the culprit do not count as attempts.
 * checked  exactly the poisonous ones are failed, by at most 1 + 3 faults for each (P < 8);
 *          <> over
 * mutants  -DBESIDE     a new request runs beside a suspect
 *          -DBLAMEKILL  a worker killed from outside counts as a fault of its batch
 *          -DNOSPLIT    the dead batch is re-run whole
 *          -DALLGUILTY  the dead batch is failed
 *          -DATTEMPTS   a request fails after 3 worker deaths, whatever they were for
 */
#define P     7                     /* first batch: bits 0..P-1; bit P arrives later */
#define KILLS 1

byte poison, waiting, running, group;    /* sets of requests; group: suspects on trial */
byte failed, finished;
byte faults, kills, culprits;
chan suspects = [8] of { byte };
bool over;
#ifdef ATTEMPTS
byte deaths[P + 1];
#endif

#define ALL 255
#define ONE(set) ((set & (set - 1)) == 0)

/* Lower half of a set by count, so that both halves are non-empty. */
inline split(set) {
    n = 0; half = 0; rest = set;
    do
    :: rest != 0 -> rest = rest & (rest - 1); n++
    :: else -> break
    od;
    n = n / 2; rest = set;
    do
    :: n > 0 -> half = half | (rest & ~(rest - 1)); rest = rest & (rest - 1); n--
    :: else -> break
    od;
    suspects!half; suspects!rest;
    half = 0; rest = 0
}

inline quarantine(set) {
    assert((set & ~poison) == 0);                 /* the innocent are never failed */
    failed = failed | set
}

/* The router, and what may happen to the worker it runs a set of requests on. */
active proctype Router()
{
    byte n, half, rest, i;

    atomic {
        for (i : 0 .. P) {
            if
            :: culprits < 2 -> poison = poison | (1 << i); culprits++
            :: skip
            fi
        }
        i = 0; running = ALL >> (8 - P)
    }
    do
    :: atomic { running == 0 && group == 0 && nempty(suspects) -> suspects?group; running = group }
    :: atomic { group == 0 && empty(suspects) && waiting != 0 ->
                running = running | waiting; waiting = 0 }
#ifdef BESIDE
    :: atomic { group != 0 && waiting != 0 -> running = running | waiting; waiting = 0 }
#endif
    :: atomic { group != 0 && running == 0 -> group = 0 }              /* all of it finished */
    :: atomic { (running & poison) != 0 ->                             /* the worker dies */
                faults++;
                assert(faults <= 1 + 3 * culprits);
#ifdef ATTEMPTS
                for (i : 0 .. P) {
                    if
                    :: running & (1 << i) ->
                        deaths[i]++;
                        if :: deaths[i] == 3 -> quarantine((1 << i)); running = running & ~(1 << i)
                           :: else fi
                    :: else
                    fi
                }
                i = 0;
#endif
#ifdef BESIDE
                waiting = waiting | (running & (group != 0 -> ~group : 0));
                running = (group != 0 -> running & group : running);
#endif
#ifdef ALLGUILTY
                quarantine(running);
#else
#ifdef NOSPLIT
                suspects!running;
#else
                if
                :: running == 0
                :: running != 0 && ONE(running) -> quarantine(running)
                :: running != 0 && !ONE(running) -> split(running)
                fi;
#endif
#endif
                running = 0; group = 0 }
    :: atomic { kills < KILLS && running != 0 ->                       /* somebody kills it */
                kills++;
#ifdef BLAMEKILL
                if
                :: ONE(running) -> quarantine(running)
                :: else -> split(running)
                fi;
#else
                if
                :: group != 0 -> suspects!running
                :: else -> waiting = waiting | running
                fi;
#endif
                running = 0; group = 0 }
    :: atomic { kills < KILLS -> kills = KILLS }
    :: (failed | finished) == ALL && group == 0 -> break
    od;
    assert(failed == poison && finished == (ALL & ~poison));
    over = true
}

/* The worker: any innocent request may finish next. */
#define FINISH(i)                                                                            \
    :: atomic { (running & (1 << i)) && !(poison & (1 << i)) ->                              \
                running = running & ~(1 << i); finished = finished | (1 << i) }

active proctype Worker()
{
    do
    FINISH(0)
    FINISH(1)
    FINISH(2)
    FINISH(3)
    FINISH(4)
    FINISH(5)
    FINISH(6)
    FINISH(7)
    :: over -> break
    od
}

active proctype Newcomer()
{
    waiting = waiting | (1 << P)
}

ltl ends { <> over }
