// What an AEAD has opened is for its reader to parse and to branch on: it is public from there on.
// The library has no place to say so, and needs none: valgrind calls each function here in the
// place of the one whose symbol its name holds, and it calls the original. So what is checked is
// what is released.
//
// A key that was opened is hidden again where it is used next.

#include <stdint.h>
#include <valgrind/memcheck.h>

// Arguments as Rust passes them, a word each: first where the result goes, then references; a
// slice is its address and its length. The program begins by checking that this still holds.
typedef uintptr_t word;

struct vec {
    word capacity, start, len;
};

// The linker would drop what nothing refers to.
#define KEPT __attribute__((used, retain))

KEPT word
I_WRAP_SONAME_FNNAME_ZZ(NONE, _ZZN13sealwire_core4aead7AeadKey13open_detached17hZaE)(
    word result, word key, word nonce, word header, word header_len, word message,
    word message_len, word tag)
{
    OrigFn original;
    word returned;
    VALGRIND_GET_ORIG_FN(original);
    CALL_FN_W_8W(returned, original, result, key, nonce, header, header_len, message,
                 message_len, tag);
    (void)VALGRIND_MAKE_MEM_DEFINED(message, message_len);
    return returned;
}

KEPT word
I_WRAP_SONAME_FNNAME_ZZ(NONE, _ZZN13sealwire_core4aead7AeadKey9open_into17hZaE)(
    word result, word key, word nonce, word header, word header_len, word sealed,
    word sealed_len, word tag, word out, word out_len)
{
    OrigFn original;
    word returned;
    VALGRIND_GET_ORIG_FN(original);
    CALL_FN_W_10W(returned, original, result, key, nonce, header, header_len, sealed,
                  sealed_len, tag, out, out_len);
    (void)VALGRIND_MAKE_MEM_DEFINED(out, out_len);
    return returned;
}

KEPT word
I_WRAP_SONAME_FNNAME_ZZ(NONE, _ZZN13sealwire_core4aead12xchacha_open17hZaE)(
    word result, word key, word nonce, word header, word header_len, struct vec *sealed)
{
    OrigFn original;
    word returned;
    VALGRIND_GET_ORIG_FN(original);
    CALL_FN_W_6W(returned, original, result, key, nonce, header, header_len, sealed);
    (void)VALGRIND_MAKE_MEM_DEFINED(sealed->start, sealed->len);
    return returned;
}
