/* The endpoints, one file each; api/routes.c holds the table. */
#ifndef ROUTER_API_API_H
#define ROUTER_API_API_H

#include "router/http/server.h"

extern const struct http_app client_app;  /* :31313 */
extern const struct http_app metrics_app; /* :31314 */

enum handler_result chat_create(struct exchange *x);
enum handler_result completions_create(struct exchange *x);
enum handler_result embeddings_create(struct exchange *x);
#define RESPONSES_POST_MAX 4096 /* cancel, with whatever body a client thinks it needs */
enum handler_result responses_create(struct exchange *x);
enum handler_result responses_show(struct exchange *x);
enum handler_result responses_delete(struct exchange *x);
enum handler_result responses_post(struct exchange *x);
enum handler_result messages_create(struct exchange *x);
enum handler_result messages_count(struct exchange *x);
enum handler_result texts_tokenize(struct exchange *x);
enum handler_result texts_detokenize(struct exchange *x);
enum handler_result texts_apply_template(struct exchange *x);
enum handler_result models_list(struct exchange *x);
enum handler_result models_retrieve(struct exchange *x);
enum handler_result health_show(struct exchange *x);
enum handler_result health_probe(struct exchange *x);
enum handler_result metrics_show(struct exchange *x);

#endif
