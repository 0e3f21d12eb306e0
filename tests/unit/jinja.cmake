cortex_test(jinja_test SRC jinja_test.c LIBS cortex_jinja LABELS unit)
# Bombs run for as long as the limits let them: seconds here, minutes under a sanitizer.
cortex_test(jinja_limits_test SRC jinja_limits_test.c LIBS cortex_jinja Threads::Threads LABELS limits)
# The published chat templates are not part of the tree; without them their prompts are skipped.
target_compile_definitions(jinja_test PRIVATE
    FIXTURES="${PROJECT_SOURCE_DIR}/tests/golden"
    TEMPLATES="${PROJECT_SOURCE_DIR}/../shared/data/chat_templates")
