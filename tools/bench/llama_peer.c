/* llama.cpp on a GGUF file, timed: prompt of P tokens, then G tokens, for S sequences at once.
 *   llama-peer BACKENDS_DIR MODEL.gguf THREADS P G S      -> one line of JSON
 * Tokens are made up: a file of random weights has no use for text. */
#include <ggml-backend.h>
#include <llama.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void no_log(enum ggml_log_level level, const char *text, void *to)
{
    (void)to;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static void add(struct llama_batch *b, llama_token token, int pos, int seq, int wants_logits)
{
    int i = b->n_tokens++;

    b->token[i] = token;
    b->pos[i] = pos;
    b->n_seq_id[i] = 1;
    b->seq_id[i][0] = seq;
    b->logits[i] = (int8_t)wants_logits;
}

static void decode(struct llama_context *c, struct llama_batch *b)
{
    if (llama_decode(c, *b) != 0) {
        fprintf(stderr, "llama_decode failed\n");
        exit(1);
    }
    llama_synchronize(c);
    b->n_tokens = 0;
}

static llama_token argmax(const float *x, int n)
{
    int best = 0;

    for (int i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: llama-peer BACKENDS_DIR MODEL.gguf THREADS P G S\n");
        return 100;
    }
    int threads = atoi(argv[3]), n_prompt = atoi(argv[4]), n_gen = atoi(argv[5]);
    int n_seq = atoi(argv[6]);

    llama_log_set(no_log, NULL);
    ggml_backend_load_all_from_path(argv[1]);
    llama_backend_init();
    struct llama_model_params mp = llama_model_default_params();
    mp.n_gpu_layers = 0;
    struct llama_model *m = llama_model_load_from_file(argv[2], mp);
    struct llama_context_params cp = llama_context_default_params();
    cp.n_ctx = (uint32_t)(n_seq * (n_prompt + n_gen + 64));
    cp.n_batch = cp.n_ubatch = 512;
    cp.n_seq_max = (uint32_t)n_seq;
    cp.n_threads = cp.n_threads_batch = threads;
    struct llama_context *c = m != NULL ? llama_init_from_model(m, cp) : NULL;
    if (c == NULL) {
        fprintf(stderr, "cannot load %s\n", argv[2]);
        return 1;
    }
    int vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
    struct llama_batch b = llama_batch_init(512, 0, 1);

    add(&b, 1, 0, 0, 1); /* warm up: pages, graph */
    decode(c, &b);
    llama_memory_clear(llama_get_memory(c), true);

    double begun = now_s();
    for (int s = 0; s < n_seq; s++)
        for (int i = 0; i < n_prompt; i++) {
            add(&b, (i * 7919 + s * 104729) % vocab, i, s, i == n_prompt - 1);
            if (b.n_tokens == 512 || i == n_prompt - 1)
                decode(c, &b);
        }
    double prefilled = now_s();
    llama_token next[64];
    for (int s = 0; s < n_seq; s++)
        next[s] = s + 5;
    for (int i = 0; i < n_gen; i++) {
        for (int s = 0; s < n_seq; s++)
            add(&b, next[s], n_prompt + i, s, 1);
        decode(c, &b);
        for (int s = 0; s < n_seq; s++)
            next[s] = argmax(llama_get_logits_ith(c, s), vocab);
    }
    double ended = now_s();
    printf("{\"prefill\": %.2f, \"decode\": %.2f}\n", n_seq * n_prompt / (prefilled - begun),
           n_seq * n_gen / (ended - prefilled));
    return 0;
}
