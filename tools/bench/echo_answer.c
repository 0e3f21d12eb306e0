#include "tools/bench/echo_answer.h"

#include "worker/sim/words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CREATED    "1700000000"
#define DATE       "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
#define REQUEST_ID "x-request-id: req_0123456789abcdef\r\n"
#define SIZE_LINE  "000000\r\n"

/* --- the request --- */

/* The text behind the first `name` in data, or NULL. */
static const char *find(const char *data, size_t len, const char *name)
{
    const char *at = memmem(data, len, name, strlen(name));
    return at != NULL ? at + strlen(name) : NULL;
}

static long read_body(const char *head, size_t head_len, const char *body, size_t body_len,
                      struct echo_request *r)
{
    const char *seed = find(body, body_len, "\"seed\":");
    const char *tokens = find(body, body_len, "\"max_tokens\":");
    const char *model = find(body, body_len, "\"model\":\"");
    const char *end = model != NULL ? memchr(model, '"', (size_t)(body + body_len - model)) : NULL;

    if (seed == NULL || tokens == NULL || end == NULL || end - model >= ECHO_MODEL_MAX)
        return -1;
    /* The digits end before the closing brace, so the conversions do. */
    *r = (struct echo_request){
        .seed = strtoull(seed, NULL, 10),
        .n_tokens = (uint32_t)strtoul(tokens, NULL, 10),
        .is_streamed = find(body, body_len, "\"stream\":true") != NULL,
        .is_chat = find(head, head_len, "/chat/completions ") != NULL,
    };
    memcpy(r->model, model, (size_t)(end - model));
    return (long)(head_len + body_len);
}

long echo_read_request(const char *data, size_t len, struct echo_request *r)
{
    const char *body = find(data, len, "\r\n\r\n");

    if (body == NULL)
        return 0;
    size_t head_len = (size_t)(body - data);
    const char *digits = find(data, head_len, "Content-Length: ");
    if (digits == NULL)
        return -1;
    size_t body_len = strtoul(digits, NULL, 10);
    if (body_len < 2 || body_len > 1u << 16)
        return -1;
    if (len - head_len < body_len)
        return 0;
    return body[body_len - 1] == '}' ? read_body(data, head_len, body, body_len, r) : -1;
}

/* --- one chunk of the stream --- */

static size_t begin_chunk(struct buf *out)
{
    buf_add(out, SIZE_LINE, sizeof SIZE_LINE - 1);
    return buf_pending(out);
}

static void end_chunk(struct buf *out, size_t at)
{
    size_t len = buf_pending(out) - at;
    char *digit = out->data + out->pos + at - 3;

    for (; len > 0; len >>= 4)
        *digit-- = "0123456789abcdef"[len & 15];
    buf_add(out, "\r\n", 2);
}

static void add_id(const struct echo_request *r, struct buf *out)
{
    static const char hex[] = "0123456789abcdef";
    char id[24];

    memcpy(id, "00000000", 8);
    for (int i = 0; i < 16; i++)
        id[8 + i] = hex[r->seed >> (60 - 4 * i) & 15];
    buf_add_str(out, r->is_chat ? "chatcmpl-" : "cmpl-");
    buf_add(out, id, sizeof id);
}

static void add_front(const struct echo_request *r, bool is_chunk, struct buf *out)
{
    buf_add_str(out, is_chunk ? "data: {\"id\":\"" : "{\"id\":\"");
    add_id(r, out);
    buf_add_str(out, "\",\"object\":\"");
    buf_add_str(out, !r->is_chat ? "text_completion"
                     : is_chunk  ? "chat.completion.chunk"
                                 : "chat.completion");
    buf_add_str(out, "\",\"created\":" CREATED ",\"model\":\"");
    buf_add_str(out, r->model);
    buf_add_char(out, '"');
}

static void add_choice(const struct echo_request *r, const char *role, const char *text,
                       const char *reason, struct buf *out)
{
    size_t at = begin_chunk(out);

    add_front(r, true, out);
    buf_add_str(out, ",\"choices\":[{\"index\":0,");
    buf_add_str(out, r->is_chat ? "\"delta\":{" : "\"text\":");
    if (role != NULL) {
        buf_add_str(out, "\"role\":\"");
        buf_add_str(out, role);
        buf_add_str(out, "\",");
    }
    if (text != NULL) {
        buf_add_str(out, r->is_chat ? "\"content\":\"" : "\"");
        buf_add_str(out, text);
        buf_add_char(out, '"');
    }
    buf_add_str(out, r->is_chat ? "},\"logprobs\":null,\"finish_reason\":"
                                : ",\"logprobs\":null,\"finish_reason\":");
    buf_add_str(out, reason != NULL ? reason : "null");
    buf_add_str(out, "}]}\n\n");
    end_chunk(out, at);
}

static void add_usage(const struct echo_request *r, double decode_ms, struct buf *out)
{
    buf_printf(out,
               ",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":%u,\"total_tokens\":%u,"
               "\"prompt_tokens_details\":{\"cached_tokens\":0},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":0}},"
               "\"timing\":{\"queue_ms\":0.000,\"prefill_ms\":0.000,\"decode_ms\":%.3f}}",
               r->n_tokens, r->n_tokens + 3, decode_ms);
}

/* --- answers --- */

void echo_begin(const struct echo_request *r, struct buf *out)
{
    buf_add_str(out, "HTTP/1.1 200 OK\r\n" DATE
                     "Content-Type: text/event-stream; charset=utf-8\r\n" REQUEST_ID
                     "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n");
    if (r->is_chat)
        add_choice(r, "assistant", "", NULL, out);
}

void echo_token(const struct echo_request *r, uint32_t index, struct buf *out)
{
    char word[SIM_WORD_MAX];

    sim_word(r->seed, index, word);
    add_choice(r, NULL, word, NULL, out);
}

void echo_end(const struct echo_request *r, double decode_ms, struct buf *out)
{
    add_choice(r, NULL, r->is_chat ? NULL : "", "\"length\"", out);

    size_t at = begin_chunk(out);
    add_front(r, true, out);
    buf_add_str(out, ",\"choices\":[]");
    add_usage(r, decode_ms, out);
    buf_add_str(out, "\n\n");
    end_chunk(out, at);

    at = begin_chunk(out);
    buf_add_str(out, "data: [DONE]\n\n");
    end_chunk(out, at);
    buf_add_str(out, "0\r\n\r\n");
}

void echo_whole(const struct echo_request *r, double decode_ms, struct buf *out)
{
    static struct buf body; /* kept: one answer is like the other */
    char word[SIM_WORD_MAX];

    buf_clear(&body);
    add_front(r, false, &body);
    buf_add_str(&body, ",\"choices\":[{\"index\":0,");
    buf_add_str(&body,
                r->is_chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"text\":\"");
    for (uint32_t i = 0; i < r->n_tokens; i++)
        buf_add(&body, word, sim_word(r->seed, i, word));
    buf_add_str(&body, r->is_chat ? "\",\"refusal\":null}" : "\"");
    buf_add_str(&body, ",\"logprobs\":null,\"finish_reason\":\"length\"}]");
    add_usage(r, decode_ms, &body);

    buf_add_str(out, "HTTP/1.1 200 OK\r\n" DATE "Content-Type: application/json\r\n" REQUEST_ID
                     "Content-Length: ");
    buf_add_u64(out, buf_pending(&body));
    buf_add_str(out, "\r\n\r\n");
    buf_add(out, body.data, buf_pending(&body));
}
