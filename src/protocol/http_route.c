/* Which of the configured templates a path matches: what stands as http.route. */
#include "protocol/http_message.h"

#include "protocol/http_text.h"

/* "..." and "{name...}" as the last segment: whatever is left of the path, which may be nothing. */
static bool takes_rest(struct text segment)
{
    if (text_is(segment, "..."))
        return true;
    return segment.length >= 5 && segment.data[0] == '{' &&
           !memcmp(segment.data + segment.length - 4, "...}", 4);
}

static bool segment_matches(struct text template, struct text segment)
{
    if (template.length >= 2 && template.data[0] == '{' &&
        template.data[template.length - 1] == '}')
        return segment.length > 0;
    return template.length == segment.length &&
           (!segment.length || !memcmp(template.data, segment.data, segment.length));
}

/* Both begin with '/'. Segment by segment, so that no template costs more than its length. */
static bool matches(struct text template, struct text path)
{
    for (size_t t = 0, p = 0;;) {
        size_t template_end = http_find(template, t + 1, '/');
        size_t path_end = http_find(path, p + 1, '/');
        struct text wanted = http_piece(template, t + 1, template_end);

        if (template_end == template.length && takes_rest(wanted))
            return true;
        if (!segment_matches(wanted, http_piece(path, p + 1, path_end)))
            return false;
        if (template_end == template.length || path_end == path.length)
            return template_end == template.length && path_end == path.length;
        t = template_end;
        p = path_end;
    }
}

const char *http_route(const char *const *templates, size_t count, struct text path)
{
    if (!path.length || path.data[0] != '/')
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (templates[i] && templates[i][0] == '/' && matches(text_of(templates[i]), path))
            return templates[i];
    }
    return NULL;
}
