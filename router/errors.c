#include "router/errors.h"

#define X(constant, status, code, type, is_retryable) {status, code, type, is_retryable},
const struct api_error_desc api_errors[API_ERRORS_N] = {API_ERRORS(X)};
#undef X

enum api_error api_error_of_status(int status)
{
    for (int i = 0; i < API_ERRORS_N; i++)
        if (api_errors[i].status == status)
            return (enum api_error)i;
    return ERROR_BAD_HTTP;
}
