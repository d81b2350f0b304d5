/* The same work as our kernels do, written in C: what a C programmer would measure peaks with.

   Every function has the arguments of our kernels (bench/peaks/ir.py) and leaves the same answers behind, so
   that they are checked in the same way. Compiled twice: once for all that this processor has, and once with
   LEGACY for SSE without AVX. */

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef void kernel(void *out, const void *a, void *b, int64_t bytes, int64_t n);

/* Nothing is computed here; the compiler only cannot know that the value stays the same. */
#define OPAQUE(value) __asm__ volatile("" : "+v"(value))
#define FOR_12(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define FOR_8(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define FOR_24(DO) \
    FOR_12(DO) DO(12) DO(13) DO(14) DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23)

/* A kernel: sums in registers, ROUND(i) for each of them in every round. */
#define LOAD(i) vector s##i = sums[i];
#define STORE(i) sums[i] = s##i;
#define KERNEL(name, type, FOR_ALL, ROUND)                                          \
    void name(void *out, const void *a, void *b, int64_t bytes, int64_t n) {        \
        typedef type vector;                                                        \
        vector *sums = out, x = ((const vector *)a)[0], y = ((const vector *)a)[1]; \
        vector z = ((const vector *)a)[2];                                          \
        (void)b, (void)bytes, (void)z;                                              \
        FOR_ALL(LOAD)                                                               \
        for (; n > 0; n--) {                                                        \
            FOR_ALL(ROUND)                                                          \
        }                                                                           \
        FOR_ALL(STORE)                                                              \
    }

#if defined(LEGACY)

#define TWO_PS(i) OPAQUE(x); s##i = _mm_add_ps(s##i, _mm_mul_ps(x, y));
#define TWO_PD(i) OPAQUE(x); s##i = _mm_add_pd(s##i, _mm_mul_pd(x, y));
KERNEL(c_fp32_sse2, __m128, FOR_12, TWO_PS)
KERNEL(c_fp64_sse2, __m128d, FOR_12, TWO_PD)

#else

#if defined(__FMA__)
#define FMA_PS(i) s##i = _mm256_fmadd_ps(x, y, s##i);
#define FMA_PD(i) s##i = _mm256_fmadd_pd(x, y, s##i);
KERNEL(c_fp32_fma, __m256, FOR_12, FMA_PS)
KERNEL(c_fp64_fma, __m256d, FOR_12, FMA_PD)
#endif

#if defined(__AVX2__)
#define STEPS_256(i)                                                                     \
    OPAQUE(x);                                                                           \
    s##i = _mm256_add_epi32(s##i, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), z));
KERNEL(c_int8_avx2, __m256i, FOR_8, STEPS_256)
#endif

#if defined(__AVXVNNI__)
#define VNNI_256(i) s##i = _mm256_dpbusd_avx_epi32(s##i, x, y);
KERNEL(c_int8_avx_vnni, __m256i, FOR_12, VNNI_256)
#endif

#if defined(__AVX512F__)
#define FMA512_PS(i) s##i = _mm512_fmadd_ps(x, y, s##i);
#define FMA512_PD(i) s##i = _mm512_fmadd_pd(x, y, s##i);
KERNEL(c_fp32_avx512f, __m512, FOR_24, FMA512_PS)
KERNEL(c_fp64_avx512f, __m512d, FOR_24, FMA512_PD)
#endif

#if defined(__AVX512BW__)
#define STEPS_512(i)                                                                     \
    OPAQUE(x);                                                                           \
    s##i = _mm512_add_epi32(s##i, _mm512_madd_epi16(_mm512_maddubs_epi16(x, y), z));
KERNEL(c_int8_avx512bw, __m512i, FOR_8, STEPS_512)
#endif

#if defined(__AVX512FP16__)
#define FMA512_PH(i) s##i = _mm512_fmadd_ph(x, y, s##i);
KERNEL(c_fp16_avx512_fp16, __m512h, FOR_24, FMA512_PH)
#endif

#if defined(__AVX512BF16__)
#define BF16_512(i) s##i = _mm512_dpbf16_ps(s##i, (__m512bh)x, (__m512bh)y);
KERNEL(c_bf16_avx512_bf16, __m512, FOR_24, BF16_512)
#endif

#if defined(__AVX512VNNI__)
#define VNNI_512(i) s##i = _mm512_dpbusd_epi32(s##i, x, y);
KERNEL(c_int8_avx512_vnni, __m512i, FOR_24, VNNI_512)
#endif

#if defined(__aarch64__)
typedef float float4 __attribute__((vector_size(16)));
typedef double double2 __attribute__((vector_size(16)));
#define FMLA(i) s##i += x * y; /* one instruction: GCC contracts by default */
#undef OPAQUE
#define OPAQUE(value) __asm__ volatile("" : "+w"(value))
#define OPAQUE_FMLA(i) OPAQUE(x); FMLA(i)
KERNEL(c_fp32_asimd, float4, FOR_24, OPAQUE_FMLA)
KERNEL(c_fp64_asimd, double2, FOR_24, OPAQUE_FMLA)
#endif

/* Memory: the widest vectors, 16 a round, as our kernels. */
#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
typedef uint32_t words __attribute__((vector_size(WIDTH)));
#define UNROLLED 16

/* Passes over a stream; what has been read is not remembered from one pass to the next. */
#define PASSES(stream_bytes)                                                                 \
    for (int64_t vectors = (stream_bytes) / WIDTH, pass = n * UNROLLED / vectors; pass > 0; \
         pass--, atomic_signal_fence(memory_order_seq_cst))
#define STEPS for (int64_t i = 0; i < vectors; i += UNROLLED)
#define ALL_16(DO) FOR_12(DO) DO(12) DO(13) DO(14) DO(15)

void c_read(void *out, const void *a, void *b, int64_t bytes, int64_t n) {
    const words *from = a;
    words s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0}, s6 = {0}, s7 = {0};
    (void)b;
    PASSES(bytes) {
        STEPS {
/* In the order of the addresses: left alone, the compiler begins in the middle, and prefetching suffers. */
#define READ(k) s##k += from[i + k]; OPAQUE(s##k);
#define READ_ON(k) s##k += from[i + 8 + k]; OPAQUE(s##k);
            FOR_8(READ)
            FOR_8(READ_ON)
        }
    }
    words *sums = out;
#define KEEP(k) sums[k] = s##k;
    FOR_8(KEEP)
}

void c_write(void *out, const void *a, void *b, int64_t bytes, int64_t n) {
    words *to = b, value = *(words *)out;
    (void)a;
    PASSES(bytes) {
        STEPS {
#define WRITE(k) to[i + k] = value;
            ALL_16(WRITE)
        }
    }
}

void c_copy(void *out, const void *a, void *b, int64_t bytes, int64_t n) {
    const words *restrict from = a;
    words *restrict to = b;
    (void)out;
    PASSES(bytes) {
        STEPS {
#define FETCH(k) words v##k = from[i + k];
#define PUT(k) to[i + k] = v##k;
            ALL_16(FETCH)
            ALL_16(PUT)
        }
    }
}

void c_add(void *out, const void *a, void *b, int64_t bytes, int64_t n) {
    const words *restrict from = a, *restrict too = (const words *)((const char *)a + bytes);
    words *restrict to = b;
    (void)out;
    PASSES(bytes) {
        STEPS {
#define SUM(k) to[i + k] = from[i + k] + too[i + k];
            ALL_16(SUM)
        }
    }
}

/* Starts a kernel together with other threads, and looks at the clock before and after. */
void c_timed(kernel *run, void *out, const void *a, void *b, int64_t bytes, int64_t n, int64_t warm,
             _Atomic int64_t *gate, int64_t target, struct timespec *times, int clock) {
    if (warm > 0) run(out, a, b, bytes, warm);
    atomic_fetch_add(gate, 1);
    while (atomic_load(gate) < target) {
    }
    clock_gettime(clock, &times[0]);
    run(out, a, b, bytes, n);
    clock_gettime(clock, &times[1]);
}

#endif
