#include "router/http/chunked.h"

#include "router/http/gate.h"

#include <stdbool.h>

#define SIZE_DIGITS_MAX 15

enum state {
    AT_SIZE,
    AT_EXTENSION,
    AT_SIZE_LF,
    AT_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_TRAILER_NAME, /* also the place of the empty line at the end */
    AT_TRAILER_VALUE,
    AT_TRAILER_LF,
    AT_END_LF,
    AT_END,
    REFUSED,
};

void chunked_init(struct chunked *c)
{
    *c = (struct chunked){.state = AT_SIZE};
}

static int refuse(struct chunked *c, const char *why)
{
    c->why = why;
    return REFUSED;
}

static int take_size(struct chunked *c, unsigned char byte)
{
    int digit = gate_hex_value((char)byte);

    if (digit >= 0) {
        if (++c->digits > SIZE_DIGITS_MAX)
            return refuse(c, "chunk size of more than 15 digits");
        c->left = c->left * 16 + (uint64_t)digit;
        return AT_SIZE;
    }
    if (c->digits == 0)
        return refuse(c, "chunk without a size");
    if (byte == '\r')
        return AT_SIZE_LF;
    if (byte != ';')
        return refuse(c, "chunk size is not a hexadecimal number");
    c->extension = 1;
    return AT_EXTENSION;
}

static int take_extension(struct chunked *c, unsigned char byte)
{
    if (byte == '\r')
        return AT_SIZE_LF;
    if (!gate_is_value_byte(byte))
        return refuse(c, "control byte in a chunk extension");
    if (++c->extension > CHUNKED_EXTENSION_MAX)
        return refuse(c, "chunk extension too long");
    return AT_EXTENSION;
}

static int take_size_lf(struct chunked *c, unsigned char byte)
{
    if (byte != '\n')
        return refuse(c, "chunk size line does not end with CRLF");
    c->digits = 0;
    return c->left > 0 ? AT_DATA : AT_TRAILER_NAME;
}

static int take_data_end(struct chunked *c, unsigned char byte)
{
    if (byte != (c->state == AT_DATA_CR ? '\r' : '\n'))
        return refuse(c, "chunk data is not followed by CRLF");
    return c->state == AT_DATA_CR ? AT_DATA_LF : AT_SIZE;
}

static int take_trailer(struct chunked *c, unsigned char byte)
{
    if (c->state == AT_TRAILER_NAME && c->line == 0 && byte == '\r')
        return AT_END_LF;
    if (++c->trailer > CHUNKED_TRAILER_MAX)
        return refuse(c, "trailers too large");
    if (c->state == AT_TRAILER_LF) {
        c->line = 0;
        return byte == '\n' ? AT_TRAILER_NAME : refuse(c, "trailer does not end with CRLF");
    }
    c->line++;
    if (c->state == AT_TRAILER_VALUE) {
        if (byte == '\r')
            return AT_TRAILER_LF;
        return gate_is_value_byte(byte) ? AT_TRAILER_VALUE : refuse(c, "control byte in a trailer");
    }
    if (byte == ':' && c->line > 1)
        return AT_TRAILER_VALUE;
    return gate_is_name_byte(byte) ? AT_TRAILER_NAME : refuse(c, "malformed trailer name");
}

/* The state after one byte of framing. */
static int take_byte(struct chunked *c, unsigned char byte)
{
    switch ((enum state)c->state) {
    case AT_SIZE:
        return take_size(c, byte);
    case AT_EXTENSION:
        return take_extension(c, byte);
    case AT_SIZE_LF:
        return take_size_lf(c, byte);
    case AT_DATA_CR:
    case AT_DATA_LF:
        return take_data_end(c, byte);
    case AT_TRAILER_NAME:
    case AT_TRAILER_VALUE:
    case AT_TRAILER_LF:
        return take_trailer(c, byte);
    case AT_END_LF:
        return byte == '\n' ? AT_END : refuse(c, "body does not end with CRLF");
    case AT_DATA:
    case AT_END:
    case REFUSED:
        break;
    }
    return c->state;
}

enum chunked_result chunked_next(struct chunked *c, const char *input, size_t len, size_t *used,
                                 const char **data, size_t *data_len)
{
    size_t at = 0;

    while (at < len && c->state != AT_DATA && c->state != AT_END && c->state != REFUSED)
        c->state = take_byte(c, (unsigned char)input[at++]);
    *used = at;
    if (c->state == REFUSED)
        return CHUNKED_REFUSED;
    if (c->state == AT_END)
        return CHUNKED_END;
    if (c->state != AT_DATA || at == len)
        return CHUNKED_MORE;

    *data = input + at;
    *data_len = len - at < c->left ? len - at : (size_t)c->left;
    c->left -= *data_len;
    if (c->left == 0)
        c->state = AT_DATA_CR;
    *used = at + *data_len;
    return CHUNKED_DATA;
}
