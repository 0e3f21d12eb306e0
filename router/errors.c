#include "router/errors.h"

#define X(constant, status, code, type, messages, is_retryable)                                    \
    {status, code, type, MESSAGES_ERROR_##messages, is_retryable},
const struct api_error_desc api_errors[API_ERRORS_N] = {API_ERRORS(X)};
#undef X

static const struct {
    const char *type;
    int status;
} messages_errors[MESSAGES_ERRORS_N] = {
#define X(constant, text, status) {text, status},
    MESSAGES_ERRORS(X)
#undef X
};

const char *messages_error_type(enum api_error error)
{
    return messages_errors[api_errors[error].messages].type;
}

int messages_error_status(enum api_error error)
{
    int status = messages_errors[api_errors[error].messages].status;

    return status != 0 ? status : api_errors[error].status;
}

enum api_error api_error_of_status(int status)
{
    for (int i = 0; i < API_ERRORS_N; i++)
        if (api_errors[i].status == status)
            return (enum api_error)i;
    return ERROR_BAD_HTTP;
}
