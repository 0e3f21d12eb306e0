#include "kernels/rope.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>

static const double PI = 3.14159265358979323846;

/* The published tables are float32 arithmetic; so is this, where it rounds. */
static float base_frequency(const struct kern_rope_config *c, int32_t i)
{
    float exponent = (float)(2 * i) / (float)c->rotated;

    return 1.0f / (float)pow(c->theta, (double)exponent);
}

static float llama3_frequency(const struct kern_rope_config *c, float freq)
{
    double wavelength = 2 * PI / (double)freq;

    if (wavelength > c->original_positions / c->low_freq_factor)
        return (float)((double)freq / c->factor);
    if (wavelength < c->original_positions / c->high_freq_factor)
        return freq;
    double smooth = (c->original_positions / wavelength - c->low_freq_factor) /
                    (c->high_freq_factor - c->low_freq_factor);
    return (float)((1 - smooth) * (double)freq / c->factor + smooth * (double)freq);
}

/* The dimension whose wave makes that many turns over the original context. */
static double yarn_dimension(const struct kern_rope_config *c, double turns)
{
    return c->rotated * log(c->original_positions / (turns * 2 * PI)) / (2 * log(c->theta));
}

static double yarn_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

static double yarn_scaling(const struct kern_rope_config *c)
{
    if (c->attention_factor > 0)
        return c->attention_factor;
    if (c->mscale > 0 && c->mscale_all_dim > 0)
        return yarn_mscale(c->factor, c->mscale) / yarn_mscale(c->factor, c->mscale_all_dim);
    return yarn_mscale(c->factor, 1);
}

static void yarn_frequencies(const struct kern_rope_config *c, float *inv_freq)
{
    double low = yarn_dimension(c, c->beta_fast), high = yarn_dimension(c, c->beta_slow);

    if (c->is_truncated) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, c->rotated - 1);
    if (low == high)
        high += 0.001;
    for (int32_t i = 0; i < c->rotated / 2; i++) {
        float period = (float)pow(c->theta, (double)((float)(2 * i) / (float)c->rotated));
        float ramp = ((float)i - (float)low) / (float)(high - low);
        float kept = 1 - fminf(fmaxf(ramp, 0), 1);

        inv_freq[i] = 1 / ((float)c->factor * period) * (1 - kept) + 1 / period * kept;
    }
}

static int check_config(const struct kern_rope_config *c)
{
    if (c->rotated < 2 || c->rotated % 2 != 0 || !(c->theta > 0) || isinf(c->theta))
        return -EINVAL;
    if (c->kind == KERN_ROPE_DEFAULT)
        return 0;
    if (!(c->factor > 0) || isinf(c->factor))
        return -EINVAL;
    if (c->kind == KERN_ROPE_LINEAR)
        return 0;
    if (!(c->original_positions > 0) || isinf(c->original_positions))
        return -EINVAL;
    if (c->kind == KERN_ROPE_LLAMA3)
        return c->low_freq_factor > 0 && c->high_freq_factor > c->low_freq_factor ? 0 : -EINVAL;
    if (c->kind == KERN_ROPE_YARN)
        return c->theta != 1 && c->beta_slow > 0 && c->beta_fast >= c->beta_slow ? 0 : -EINVAL;
    return -EINVAL;
}

int kern_rope_frequencies(const struct kern_rope_config *c, float *inv_freq, float *scaling)
{
    if (c == NULL || inv_freq == NULL || scaling == NULL || check_config(c) != 0)
        return -EINVAL;
    *scaling = c->kind == KERN_ROPE_YARN ? (float)yarn_scaling(c) : 1.0f;
    if (c->kind == KERN_ROPE_YARN) {
        yarn_frequencies(c, inv_freq);
        return 0;
    }
    for (int32_t i = 0; i < c->rotated / 2; i++) {
        float freq = base_frequency(c, i);

        if (c->kind == KERN_ROPE_LINEAR)
            freq = (float)((double)freq / c->factor);
        else if (c->kind == KERN_ROPE_LLAMA3)
            freq = llama3_frequency(c, freq);
        inv_freq[i] = freq;
    }
    return 0;
}
