"""Is a stream what its specification says? check_stream() takes the bytes of a whole one, of any server
in the dialect "chat", "completions", "messages" or "responses", raises BadStream at the first event
that may not be where it is, and tells what was said."""
from . import chat, messages, responses
from .rules import BadStream, Call, Summary

__all__ = ["BadStream", "Call", "PATHS", "Summary", "check_stream"]

CHECKS = {"chat": chat.check_chat, "completions": chat.check_completions,
          "messages": messages.check, "responses": responses.check}
PATHS = {"/v1/chat/completions": "chat", "/v1/completions": "completions",
         "/v1/messages": "messages", "/v1/responses": "responses"}


def check_stream(dialect, raw):
    return CHECKS[dialect](raw)
