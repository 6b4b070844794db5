/* Parameters: binds tagged values. */
#include "pump.h"

#include <string.h>

static bool read_bytes(const uint8_t **at, const uint8_t *end, void *value, size_t size) {
  if ((size_t)(end - *at) < size) return false;
  memcpy(value, *at, size);
  *at += size;
  return true;
}

/* A length and so many bytes. */
static bool read_block(const uint8_t **at, const uint8_t *end, const uint8_t **block, uint32_t *length) {
  if (!read_bytes(at, end, length, 4)) return false;
  if ((size_t)(end - *at) < *length) return false;
  *block = *at;
  *at += *length;
  return true;
}

static int bind_one(const Api *api, sqlite3_stmt *stmt, int index, const uint8_t **at, const uint8_t *end,
                    sqlite3_destructor_type destructor) {
  uint8_t tag;
  if (!read_bytes(at, end, &tag, 1)) return SQLITE_MISUSE;
  switch (tag) {
    case TAG_NULL:
      return api->bind_null(stmt, index);
    case TAG_INT64: {
      int64_t value;
      if (!read_bytes(at, end, &value, 8)) return SQLITE_MISUSE;
      return api->bind_int64(stmt, index, value);
    }
    case TAG_FLOAT64: {
      double value;
      if (!read_bytes(at, end, &value, 8)) return SQLITE_MISUSE;
      return api->bind_double(stmt, index, value);
    }
    case TAG_TEXT:
    case TAG_BLOB: {
      const uint8_t *block;
      uint32_t length;
      if (!read_block(at, end, &block, &length)) return SQLITE_MISUSE;
      if (tag == TAG_BLOB) return api->bind_blob64(stmt, index, block, length, destructor);
      return api->bind_text64(stmt, index, (const char *)block, length, destructor, SQLITE_UTF8);
    }
    default:
      return SQLITE_MISUSE;
  }
}

int parameters_bind(Statement *statement, const uint8_t **at, const uint8_t *end, int count, bool keep) {
  const Api *api = statement->connection->api;
  /* SQLite takes no parameters while a statement runs. */
  if (statement->running || statement->held != HELD_NOTHING) statement_reset(statement);
  for (int index = 1; index <= count; index++) {
    int code = bind_one(api, statement->stmt, index, at, end, keep ? SQLITE_TRANSIENT : SQLITE_STATIC);
    if (code != SQLITE_OK) return code;
  }
  return SQLITE_OK;
}
