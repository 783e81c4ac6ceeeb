// Assertions. A failed check is a bug of ours: it prints the place, the expression and both operands, and aborts. What
// a caller, a guest or a disk does wrong is never checked this way; that is a Status.
//
// PAGODA_CHECK* are always on; PAGODA_DCHECK* only in debug builds
// (PAGODA_DCHECKS, which a library and its users share). Both are O(1): whole-structure proofs live in
// mm::check.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

namespace pagoda::detail {

[[noreturn]] void check_failed(const char* file, int line, const char* expression, const std::string& operands);

std::string print_operand(std::uint64_t value);
std::string print_operand(std::int64_t value);

template <class T>
std::string operand(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return print_operand(static_cast<std::uint64_t>(value));
  } else if constexpr (std::is_pointer_v<T>) {
    return print_operand(reinterpret_cast<std::uintptr_t>(value));
  } else if constexpr (std::unsigned_integral<T>) {
    return print_operand(static_cast<std::uint64_t>(value));
  } else if constexpr (std::signed_integral<T>) {
    return print_operand(static_cast<std::int64_t>(value));
  } else {
    return to_string(value);
  }
}

template <class A, class B>
[[noreturn, gnu::noinline, gnu::cold]] void check_op_failed(const char* file, int line, const char* expression,
                                                            const A& a, const B& b) {
  check_failed(file, line, expression, operand(a) + " against " + operand(b));
}

}  // namespace pagoda::detail

#define PAGODA_CHECK(condition)                                           \
  do {                                                                    \
    if (!(condition)) [[unlikely]]                                        \
      ::pagoda::detail::check_failed(__FILE__, __LINE__, #condition, ""); \
  } while (false)

#define PAGODA_CHECK_OP_(a, op, b)                                                                    \
  do {                                                                                                \
    const auto& pagoda_a_ = (a);                                                                      \
    const auto& pagoda_b_ = (b);                                                                      \
    if (!(pagoda_a_ op pagoda_b_)) [[unlikely]]                                                       \
      ::pagoda::detail::check_op_failed(__FILE__, __LINE__, #a " " #op " " #b, pagoda_a_, pagoda_b_); \
  } while (false)

#define PAGODA_CHECK_EQ(a, b) PAGODA_CHECK_OP_(a, ==, b)
#define PAGODA_CHECK_NE(a, b) PAGODA_CHECK_OP_(a, !=, b)
#define PAGODA_CHECK_LT(a, b) PAGODA_CHECK_OP_(a, <, b)
#define PAGODA_CHECK_LE(a, b) PAGODA_CHECK_OP_(a, <=, b)
#define PAGODA_CHECK_GT(a, b) PAGODA_CHECK_OP_(a, >, b)
#define PAGODA_CHECK_GE(a, b) PAGODA_CHECK_OP_(a, >=, b)

#if !defined(PAGODA_DCHECKS) && defined(NDEBUG)
#define PAGODA_DCHECKS 0
#elif !defined(PAGODA_DCHECKS)
#define PAGODA_DCHECKS 1
#endif

#if !PAGODA_DCHECKS
#define PAGODA_DCHECK_OFF_(x) static_cast<void>(sizeof(static_cast<bool>(x)))
#define PAGODA_DCHECK(condition) PAGODA_DCHECK_OFF_(condition)
#define PAGODA_DCHECK_EQ(a, b) PAGODA_DCHECK_OFF_((a) == (b))
#define PAGODA_DCHECK_NE(a, b) PAGODA_DCHECK_OFF_((a) != (b))
#define PAGODA_DCHECK_LT(a, b) PAGODA_DCHECK_OFF_((a) < (b))
#define PAGODA_DCHECK_LE(a, b) PAGODA_DCHECK_OFF_((a) <= (b))
#define PAGODA_DCHECK_GT(a, b) PAGODA_DCHECK_OFF_((a) > (b))
#define PAGODA_DCHECK_GE(a, b) PAGODA_DCHECK_OFF_((a) >= (b))
#else
#define PAGODA_DCHECK(condition) PAGODA_CHECK(condition)
#define PAGODA_DCHECK_EQ(a, b) PAGODA_CHECK_EQ(a, b)
#define PAGODA_DCHECK_NE(a, b) PAGODA_CHECK_NE(a, b)
#define PAGODA_DCHECK_LT(a, b) PAGODA_CHECK_LT(a, b)
#define PAGODA_DCHECK_LE(a, b) PAGODA_CHECK_LE(a, b)
#define PAGODA_DCHECK_GT(a, b) PAGODA_CHECK_GT(a, b)
#define PAGODA_DCHECK_GE(a, b) PAGODA_CHECK_GE(a, b)
#endif
