#include "router/api/api.h"
#include "router/api/auth.h"
#include "router/api/errors.h"

static const struct route client_routes[] = {
    {METHOD_POST, "/v1/chat/completions", AUTH_CLIENT, BODY_MAX, chat_create},
    {METHOD_POST, "/v1/completions", AUTH_CLIENT, BODY_MAX, completions_create},
    {METHOD_POST, "/v1/embeddings", AUTH_CLIENT, BODY_MAX, embeddings_create},
    {METHOD_POST, "/v1/responses", AUTH_CLIENT, BODY_MAX, responses_create},
    {METHOD_GET, "/v1/responses/*", AUTH_CLIENT, BODY_NONE, responses_show},
    {METHOD_DELETE, "/v1/responses/*", AUTH_CLIENT, BODY_NONE, responses_delete},
    {METHOD_POST, "/v1/responses/*", AUTH_CLIENT, RESPONSES_POST_MAX, responses_post},
    {METHOD_POST, "/v1/messages", AUTH_CLIENT, BODY_MAX, messages_create},
    {METHOD_POST, "/v1/messages/count_tokens", AUTH_CLIENT, BODY_MAX, messages_count},
    {METHOD_POST, "/tokenize", AUTH_CLIENT, BODY_MAX, texts_tokenize},
    {METHOD_POST, "/detokenize", AUTH_CLIENT, BODY_MAX, texts_detokenize},
    {METHOD_POST, "/apply-template", AUTH_CLIENT, BODY_MAX, texts_apply_template},
    {METHOD_GET, "/v1/models", AUTH_CLIENT, BODY_NONE, models_list},
    {METHOD_GET, "/v1/models/*", AUTH_CLIENT, BODY_NONE, models_retrieve},
    {METHOD_GET, "/health", AUTH_OPEN, BODY_NONE, health_show},
    {METHOD_HEAD, "/health", AUTH_OPEN, BODY_NONE, health_show},
    {METHOD_HEAD, "/", AUTH_OPEN, BODY_NONE, health_probe},
    {METHOD_HEAD, "/api/hello", AUTH_OPEN, BODY_NONE, health_probe},
    {METHOD_GET, NULL, AUTH_OPEN, BODY_NONE, NULL},
};

static const struct route metrics_routes[] = {
    {METHOD_GET, "/metrics", AUTH_OPEN, BODY_NONE, metrics_show},
    {METHOD_GET, "/health", AUTH_OPEN, BODY_NONE, health_show},
    {METHOD_GET, NULL, AUTH_OPEN, BODY_NONE, NULL},
};

const struct http_app client_app = {client_routes, error_refuse, auth_authorize};
const struct http_app metrics_app = {metrics_routes, error_refuse, auth_authorize};
