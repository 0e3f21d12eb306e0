#include "kernels/cuda/emulator/emulator.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <deque>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define FIBERS_ARE_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBERS_ARE_CHECKED 1
#endif
#endif
#ifdef FIBERS_ARE_CHECKED
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator
{
namespace
{

constexpr size_t kStack = 256 * 1024;
constexpr size_t kRecord = 64; // bytes of a lane in an exchange

struct Fiber;

struct Barrier {
    unsigned expected = 0;
    std::vector<Fiber *> waiting;
};

struct Copy {
    unsigned char *to;
    unsigned char data[16];
    int group;
};

struct Warp {
    Barrier barrier;
    alignas(16) unsigned char record[2][32 * kRecord];
};

struct Fiber {
    ucontext_t context;
    unsigned char *stack = nullptr;
    void *fake_stack = nullptr; // the sanitizer's
    Index thread, block;
    unsigned rank, parity;
    Barrier *of_block;
    Warp *warp;
    std::vector<Copy> copies;
    int group;
    bool is_done;

    ~Fiber()
    {
        if (stack != nullptr)
            munmap(stack, kStack);
    }
};

struct Machine {
    Order order = ASCENDING;
    uint64_t random = 1;
    ucontext_t scheduler;
    void *fake_stack = nullptr;
    const void *stack_bottom = nullptr;
    size_t stack_bytes = 0;
    std::vector<std::unique_ptr<Fiber>> fibers; // kept for their stacks
    std::deque<Fiber *> ready;
    Fiber *running = nullptr;
    Barrier cluster;
    unsigned cluster_blocks = 1;
    size_t shared_bytes = 0;
    std::vector<unsigned char *> shared;
    const std::function<void()> *kernel = nullptr;
};

Machine m;

void leave_scheduler(Fiber *to)
{
#ifdef FIBERS_ARE_CHECKED
    __sanitizer_start_switch_fiber(&m.fake_stack, to->stack, kStack);
#endif
    swapcontext(&m.scheduler, &to->context);
#ifdef FIBERS_ARE_CHECKED
    __sanitizer_finish_switch_fiber(m.fake_stack, nullptr, nullptr);
#endif
}

void leave_fiber(Fiber *from)
{
#ifdef FIBERS_ARE_CHECKED
    __sanitizer_start_switch_fiber(from->is_done ? nullptr : &from->fake_stack, m.stack_bottom,
                                   m.stack_bytes);
#endif
    swapcontext(&from->context, &m.scheduler);
#ifdef FIBERS_ARE_CHECKED
    __sanitizer_finish_switch_fiber(from->fake_stack, &m.stack_bottom, &m.stack_bytes);
#endif
}

void start_fiber()
{
#ifdef FIBERS_ARE_CHECKED
    __sanitizer_finish_switch_fiber(nullptr, &m.stack_bottom, &m.stack_bytes);
#endif
    (*m.kernel)();
    m.running->is_done = true;
    leave_fiber(m.running);
}

uint64_t draw()
{
    m.random ^= m.random << 13;
    m.random ^= m.random >> 7;
    m.random ^= m.random << 17;
    return m.random;
}

// Those that were woken go first: a warp runs as far ahead of the others as the barriers allow.
void make_ready(std::vector<Fiber *> &woken)
{
    m.ready.insert(m.ready.begin(), woken.begin(), woken.end());
    woken.clear();
}

Fiber *choose_next()
{
    if (m.order == SHUFFLED)
        std::swap(m.ready.front(), m.ready[draw() % m.ready.size()]);
    Fiber *next = m.ready.front();
    m.ready.pop_front();
    return next;
}

// The last one to come lets all of them go on, itself among them.
void wait_at(Barrier &b)
{
    b.waiting.push_back(m.running);
    if (b.waiting.size() == b.expected)
        make_ready(b.waiting);
    leave_fiber(m.running);
}

unsigned char *take_stack()
{
    void *p = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        perror("emulator: mmap");
        abort();
    }
    return static_cast<unsigned char *>(p);
}

void prepare_fiber(Fiber *f, const Grid &grid, Index block, unsigned rank, unsigned thread,
                   Barrier *of_block, Warp *warp)
{
    if (f->stack == nullptr)
        f->stack = take_stack();
    f->thread = {thread, 0, 0};
    f->block = {block.x + rank, block.y, block.z};
    f->rank = rank;
    f->parity = 0;
    f->of_block = of_block;
    f->warp = warp;
    f->copies.clear();
    f->group = 0;
    f->is_done = false;
    warp->barrier.expected = 32;
    of_block->expected = grid.threads;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = kStack;
    f->context.uc_link = nullptr;
    makecontext(&f->context, start_fiber, 0);
}

void run_cluster(const Grid &grid, Index block)
{
    unsigned threads = grid.threads * grid.cluster;
    std::vector<Barrier> blocks(grid.cluster);
    std::vector<Warp> warps(threads / 32);
    std::vector<Fiber *> all;

    while (m.fibers.size() < threads)
        m.fibers.push_back(std::make_unique<Fiber>());
    for (unsigned r = 0; r < grid.cluster; r++)
        memset(m.shared[r], 0xff, m.shared_bytes);
    m.cluster.expected = threads;
    for (unsigned i = 0; i < threads; i++) {
        unsigned rank = i / grid.threads;

        prepare_fiber(m.fibers[i].get(), grid, block, rank, i % grid.threads, &blocks[rank],
                      &warps[i / 32]);
        all.push_back(m.fibers[i].get());
    }
    make_ready(all);
    unsigned done = 0;
    while (!m.ready.empty()) {
        m.running = choose_next();
        leave_scheduler(m.running);
        done += m.running->is_done;
    }
    if (done != threads) {
        fprintf(stderr, "emulator: %u of %u threads of block %u,%u,%u wait in vain\n",
                threads - done, threads, block.x, block.y, block.z);
        abort();
    }
}

} // namespace

void set_order(Order order, uint64_t seed)
{
    m.order = order;
    m.random = 2 * seed + 1;
}

void run(const Grid &grid, const std::function<void()> &kernel)
{
    if (grid.threads % 32 != 0 || grid.blocks.x % grid.cluster != 0) {
        fprintf(stderr, "emulator: a block is whole warps, a grid whole clusters\n");
        abort();
    }
    m.kernel = &kernel;
    m.cluster_blocks = grid.cluster;
    m.shared_bytes = grid.shared_bytes;
    for (unsigned r = 0; r < grid.cluster; r++) // exact, so that a sanitizer sees one byte too many
        m.shared.push_back(static_cast<unsigned char *>(
            aligned_alloc(128, (grid.shared_bytes + 127) / 128 * 128 + 128)));
    for (unsigned z = 0; z < grid.blocks.z; z++)
        for (unsigned y = 0; y < grid.blocks.y; y++)
            for (unsigned x = 0; x < grid.blocks.x; x += grid.cluster)
                run_cluster(grid, {x, y, z});
    for (unsigned char *p : m.shared)
        free(p);
    m.shared.clear();
}

const Index &thread()
{
    return m.running->thread;
}

const Index &block()
{
    return m.running->block;
}

unsigned cluster_rank()
{
    return m.running->rank;
}

unsigned cluster_blocks()
{
    return m.cluster_blocks;
}

unsigned char *shared(unsigned rank)
{
    return m.shared[rank];
}

void wait_block()
{
    wait_at(*m.running->of_block);
}

void wait_cluster()
{
    wait_at(m.cluster);
}

// Two sets of records in turn: a lane may be one exchange ahead of another, not two.
const unsigned char *exchange(const void *mine, size_t bytes)
{
    Fiber *f = m.running;
    unsigned char *records = f->warp->record[f->parity ^= 1];

    if (bytes > 0)
        memcpy(records + (f->thread.x & 31) * kRecord, mine, bytes);
    wait_at(f->warp->barrier);
    return records;
}

void copy_later(void *to, const void *from, size_t bytes, bool is_there)
{
    Copy c = {static_cast<unsigned char *>(to), {}, m.running->group};

    if (is_there)
        memcpy(c.data, from, bytes);
    memset(to, 0xff, bytes);
    m.running->copies.push_back(c);
}

void copies_commit()
{
    m.running->group++;
}

void copies_wait(int groups_left)
{
    Fiber *f = m.running;
    size_t n = 0;

    while (n < f->copies.size() && f->copies[n].group < f->group - groups_left) {
        memcpy(f->copies[n].to, f->copies[n].data, sizeof f->copies[n].data);
        n++;
    }
    f->copies.erase(f->copies.begin(), f->copies.begin() + (ptrdiff_t)n);
}

} // namespace emulator
