/* Text: what has to be known of UTF-8 (its length in UTF-16) and of SQL (where the next statement begins). */
#include "pump.h"

#include <stdlib.h>
#include <string.h>

#define HIGH_BITS 0x8080808080808080ULL

static size_t skip_ascii(const uint8_t *text, size_t at, size_t length) {
  while (at + 8 <= length) {
    uint64_t word;
    memcpy(&word, text + at, 8);
    if (word & HIGH_BITS) break;
    at += 8;
  }
  while (at < length && text[at] < 0x80) at++;
  return at;
}

static bool follows(const uint8_t *text, size_t at, size_t count, size_t length) {
  if (at + count >= length) return false;
  for (size_t i = 1; i <= count; i++) {
    if ((text[at + i] & 0xC0) != 0x80) return false;
  }
  return true;
}

/* Bytes of the character at `at`, 0 when a decoder would not accept it (overlong, surrogate, out of range, cut off). */
static size_t sequence(const uint8_t *text, size_t at, size_t length) {
  uint8_t lead = text[at];
  if (lead >= 0xC2 && lead < 0xE0) return follows(text, at, 1, length) ? 2 : 0;
  if (lead >= 0xE0 && lead < 0xF0) {
    if (!follows(text, at, 2, length)) return 0;
    uint8_t second = text[at + 1];
    bool outside = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F);
    return outside ? 0 : 3;
  }
  if (lead >= 0xF0 && lead < 0xF5) {
    if (!follows(text, at, 3, length)) return 0;
    uint8_t second = text[at + 1];
    bool outside = (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
    return outside ? 0 : 4;
  }
  return 0;
}

size_t text_units(const uint8_t *text, size_t length, bool *nonAscii, bool *bad) {
  size_t at = skip_ascii(text, 0, length);
  if (at == length) return length;
  *nonAscii = true;
  size_t units = at;
  while (at < length) {
    if (text[at] < 0x80) {
      size_t next = skip_ascii(text, at, length);
      units += next - at;
      at = next;
      continue;
    }
    size_t bytes = sequence(text, at, length);
    if (bytes == 0) {
      *bad = true;
      bytes = 1;
    }
    units += bytes == 4 ? 2 : 1;
    at += bytes;
  }
  return units;
}

static const char *skip_line(const char *at, const char *end) {
  while (at < end && *at != '\n') at++;
  return at;
}

static const char *skip_block(const char *at, const char *end) {
  for (at += 2; at < end; at++) {
    if (at[0] == '*' && at + 1 < end && at[1] == '/') return at + 2;
  }
  return end;
}

const char *text_skip(const char *at, const char *end) {
  while (at < end) {
    size_t left = (size_t)(end - at);
    if (strchr(" \t\n\f\r;", *at) != NULL && *at != '\0') {
      at++;
    } else if (left >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0) {
      at += 3;
    } else if (left >= 2 && at[0] == '-' && at[1] == '-') {
      at = skip_line(at, end);
    } else if (left >= 3 && at[0] == '/' && at[1] == '*') {
      at = skip_block(at, end);
    } else {
      break;
    }
  }
  return at;
}

char *text_copy(const char *text) {
  if (text == NULL) return NULL;
  size_t size = strlen(text) + 1;
  char *copy = malloc(size);
  if (copy != NULL) memcpy(copy, text, size);
  return copy;
}
