/* Any bytes as a Retry-After header: no overrun, and never more than the bound. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/retry_after.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t times[] = {0, 784111777ull * 1000000000, 1790000000ull * 1000000000 + 1,
                              9000000000ull * 1000000000};
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (retry_after(text, times[i]) > RETRY_AFTER_MAX)
            __builtin_trap();
    }
    free(text);
    return 0;
}
