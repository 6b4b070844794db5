/* Encode: rows are staged by column and then written as a page; src/internal/page.ts describes the bytes. */
#include "pump.h"

#include <stdlib.h>
#include <string.h>

enum { KIND_NULL, KIND_INT32, KIND_FLOAT64, KIND_INT53, KIND_INT64, KIND_TEXT, KIND_BLOB, KIND_MIXED };
enum { COLUMN_ASCII = 1, COLUMN_HAS_NULLS = 2, COLUMN_BAD_UTF8 = 4 };
enum { DESCRIPTOR_BYTES = 16 };

#define SEEN(tag) (1u << (tag))
#define SAFE_INTEGER 9007199254740991LL

static size_t align(size_t offset) {
  return (offset + 7) & ~(size_t)7;
}

/* By memcpy, so that a page may lie anywhere; compilers make plain stores of it. */
static void put_u32(uint8_t *out, uint32_t value) {
  memcpy(out, &value, 4);
}

static void put_i64(uint8_t *out, int64_t value) {
  memcpy(out, &value, 8);
}

static void put_f64(uint8_t *out, double value) {
  memcpy(out, &value, 8);
}

/* A slot of a text or blob: where it ends, in UTF-16 units (high half) and in bytes (low half). */
static int64_t pack_end(const Column *column) {
  return (int64_t)((uint64_t)column->units << 32 | (uint32_t)column->used);
}

/* ---- staging ---- */

static bool grow_column(Column *column, size_t rows) {
  uint8_t *tags = realloc(column->tags, rows);
  if (tags == NULL) return false;
  column->tags = tags;
  int64_t *slots = realloc(column->slots, rows * sizeof(int64_t));
  if (slots == NULL) return false;
  column->slots = slots;
  return true;
}

bool staging_grow(Staging *staging, int columns, size_t rows) {
  if (columns > staging->count) {
    Column *grown = realloc(staging->columns, (size_t)columns * sizeof(Column));
    if (grown == NULL) return false;
    memset(grown + staging->count, 0, (size_t)(columns - staging->count) * sizeof(Column));
    staging->columns = grown;
    size_t known = staging->rows;
    for (int i = staging->count; i < columns; i++) {
      if (known > 0 && !grow_column(&grown[i], known)) return false;
      staging->count = i + 1;
    }
  }
  if (rows <= staging->rows) return true;
  for (int i = 0; i < staging->count; i++) {
    if (!grow_column(&staging->columns[i], rows)) return false;
  }
  staging->rows = rows;
  return true;
}

bool staging_begin(Staging *staging, int columns, size_t rows) {
  if (!staging_grow(staging, columns, rows)) return false;
  for (int i = 0; i < columns; i++) {
    Column *column = &staging->columns[i];
    column->bytes = column->arena;
    column->used = 0;
    column->units = 0;
    column->seen = 0;
    column->nonAscii = false;
    column->badUtf8 = false;
    column->min = INT64_MAX;
    column->max = INT64_MIN;
  }
  return true;
}

/* column_value gives unprotected values: fine to read here, since one thread alone uses the connection. */
size_t staging_read(Staging *staging, const Api *api, sqlite3_stmt *stmt, int columns, size_t row) {
  size_t bytes = 0;
  for (int i = 0; i < columns; i++) {
    Column *column = &staging->columns[i];
    sqlite3_value *value = api->column_value(stmt, i);
    int type = api->value_type(value);
    column->tags[row] = (uint8_t)type;
    switch (type) {
      case SQLITE_INTEGER:
        column->slots[row] = api->value_int64(value);
        break;
      case SQLITE_FLOAT: {
        double number = api->value_double(value);
        memcpy(&column->slots[row], &number, 8);
        break;
      }
      case SQLITE_TEXT:
        column->value = api->value_text(value);
        if (column->value == NULL) return ROW_FAILED;
        column->length = (size_t)api->value_bytes(value);
        bytes += column->length;
        break;
      case SQLITE_BLOB:
        column->value = api->value_blob(value);
        column->length = (size_t)api->value_bytes(value);
        if (column->value == NULL && column->length > 0) return ROW_FAILED;
        bytes += column->length;
        break;
      default:
        break;
    }
  }
  return bytes;
}

static bool append(Column *column) {
  size_t needed = column->used + column->length;
  if (needed > column->arenaSize) {
    size_t size = needed * 2 + 256;
    uint8_t *arena = realloc(column->arena, size);
    if (arena == NULL) return false;
    column->arena = arena;
    column->arenaSize = size;
    column->bytes = arena;
  }
  if (column->length > 0) memcpy(column->arena + column->used, column->value, column->length);
  column->used = needed;
  return true;
}

static void note_integer(Column *column, int64_t value) {
  if (value < column->min) column->min = value;
  if (value > column->max) column->max = value;
}

static void note_text(Column *column) {
  column->units += text_units(column->value, column->length, &column->nonAscii, &column->badUtf8);
}

bool staging_add(Staging *staging, int columns, size_t row) {
  for (int i = 0; i < columns; i++) {
    Column *column = &staging->columns[i];
    int tag = column->tags[row];
    column->seen |= SEEN(tag);
    switch (tag) {
      case SQLITE_INTEGER:
        note_integer(column, column->slots[row]);
        break;
      case SQLITE_FLOAT:
        break;
      case SQLITE_TEXT:
        if (!append(column)) return false;
        note_text(column);
        column->slots[row] = pack_end(column);
        break;
      case SQLITE_BLOB:
        if (!append(column)) return false;
        column->slots[row] = pack_end(column);
        break;
      default:
        column->slots[row] = pack_end(column);
        break;
    }
  }
  return true;
}

void staging_lend(Staging *staging, int columns) {
  for (int i = 0; i < columns; i++) {
    Column *column = &staging->columns[i];
    int tag = column->tags[0];
    column->seen = SEEN(tag);
    if (tag == SQLITE_INTEGER) note_integer(column, column->slots[0]);
    if (tag == SQLITE_NULL) column->slots[0] = 0;
    if (tag == SQLITE_TEXT || tag == SQLITE_BLOB) {
      column->bytes = column->value;
      column->used = column->length;
      if (tag == SQLITE_TEXT) note_text(column);
      column->slots[0] = pack_end(column);
    }
  }
}

void staging_free(Staging *staging) {
  for (int i = 0; i < staging->count; i++) {
    free(staging->columns[i].tags);
    free(staging->columns[i].slots);
    free(staging->columns[i].arena);
  }
  free(staging->columns);
  *staging = (Staging){0};
}

/* ---- sizes ---- */

static int kind_of(unsigned seen, int64_t min, int64_t max) {
  switch (seen & ~SEEN(SQLITE_NULL)) {
    case 0:
      return KIND_NULL;
    case SEEN(SQLITE_INTEGER):
      if (min >= INT32_MIN && max <= INT32_MAX) return KIND_INT32;
      return min >= -SAFE_INTEGER && max <= SAFE_INTEGER ? KIND_INT53 : KIND_INT64;
    case SEEN(SQLITE_FLOAT):
      return KIND_FLOAT64;
    case SEEN(SQLITE_TEXT):
      return KIND_TEXT;
    case SEEN(SQLITE_BLOB):
      return KIND_BLOB;
    default:
      return KIND_MIXED;
  }
}

static size_t column_bytes(int kind, bool nulls, size_t rows, size_t used) {
  switch (kind) {
    case KIND_NULL:
      return 0;
    case KIND_INT32:
      return rows * 4 + (nulls ? rows : 0);
    case KIND_TEXT:
    case KIND_BLOB:
      return rows * 4 + used + (nulls ? rows : 0);
    case KIND_MIXED:
      return rows * 9 + used;
    default:
      return rows * 8 + (nulls ? rows : 0);
  }
}

size_t staging_size(const Staging *staging, int columns, size_t rows, bool unread) {
  size_t size = HEADER_BYTES + DESCRIPTOR_BYTES * (size_t)columns;
  for (int i = 0; i < columns; i++) {
    const Column *column = &staging->columns[i];
    unsigned seen = column->seen;
    size_t used = column->used;
    int64_t min = column->min;
    int64_t max = column->max;
    if (unread) {
      int tag = column->tags[rows - 1];
      seen |= SEEN(tag);
      if (tag == SQLITE_INTEGER) {
        int64_t value = column->slots[rows - 1];
        min = value < min ? value : min;
        max = value > max ? value : max;
      }
      if (tag == SQLITE_TEXT || tag == SQLITE_BLOB) used += column->length;
    }
    size = align(size) + column_bytes(kind_of(seen, min, max), (seen & SEEN(SQLITE_NULL)) != 0, rows, used);
  }
  return size;
}

size_t page_size(const Header *header, size_t size) {
  if (header->flags & FLAG_COLUMNS) size = align(size) + header->namesBytes;
  if (header->message != NULL) size = align(size) + 4 + header->messageBytes;
  return align(size);
}

/* ---- writing ---- */

static size_t write_bytes(uint8_t *out, size_t offset, const void *bytes, size_t length) {
  if (length > 0) memcpy(out + offset, bytes, length);
  return offset + length;
}

static size_t write_ends(const Column *column, size_t rows, bool units, uint8_t *out, size_t offset) {
  int shift = units ? 32 : 0;
  for (size_t row = 0; row < rows; row++) {
    put_u32(out + offset + 4 * row, (uint32_t)((uint64_t)column->slots[row] >> shift));
  }
  return offset + 4 * rows;
}

static size_t write_mixed(const Column *column, size_t rows, uint8_t *out, size_t offset) {
  for (size_t row = 0; row < rows; row++) {
    int64_t slot = column->slots[row];
    uint8_t tag = column->tags[row];
    if (tag == SQLITE_TEXT || tag == SQLITE_BLOB) slot = (int64_t)(uint32_t)slot;
    if (tag == SQLITE_NULL) slot = 0;
    put_i64(out + offset + 8 * row, slot);
  }
  return offset + 8 * rows;
}

static size_t write_integers(const Column *column, int kind, size_t rows, uint8_t *out, size_t offset) {
  if (kind == KIND_INT32) {
    for (size_t row = 0; row < rows; row++) {
      put_u32(out + offset + 4 * row, (uint32_t)column->slots[row]);
    }
    return offset + 4 * rows;
  }
  for (size_t row = 0; row < rows; row++) {
    put_f64(out + offset + 8 * row, (double)column->slots[row]);
  }
  return offset + 8 * rows;
}

static size_t write_column(const Column *column, size_t rows, uint8_t *descriptor, uint8_t *out, size_t offset) {
  int kind = kind_of(column->seen, column->min, column->max);
  bool nulls = (column->seen & SEEN(SQLITE_NULL)) != 0 && kind != KIND_NULL && kind != KIND_MIXED;
  int flags = nulls ? COLUMN_HAS_NULLS : 0;
  if (kind == KIND_TEXT) {
    if (!column->nonAscii) flags |= COLUMN_ASCII;
    if (column->badUtf8) flags |= COLUMN_BAD_UTF8;
  }
  size_t data = align(offset);
  size_t aux = 0;
  offset = data;
  switch (kind) {
    case KIND_NULL:
      break;
    case KIND_INT32:
    case KIND_INT53:
      offset = write_integers(column, kind, rows, out, offset);
      break;
    case KIND_TEXT:
    case KIND_BLOB:
      offset = write_ends(column, rows, kind == KIND_TEXT && !column->badUtf8, out, offset);
      aux = offset;
      offset = write_bytes(out, offset, column->bytes, column->used);
      break;
    case KIND_MIXED:
      offset = write_mixed(column, rows, out, offset);
      aux = offset;
      offset = write_bytes(out, offset, column->tags, rows);
      offset = write_bytes(out, offset, column->bytes, column->used);
      break;
    default:
      offset = write_bytes(out, offset, column->slots, 8 * rows);
      break;
  }
  if (nulls) offset = write_bytes(out, offset, column->tags, rows);
  put_u32(descriptor, (uint32_t)kind | (uint32_t)flags << 8);
  put_u32(descriptor + 4, (uint32_t)data);
  put_u32(descriptor + 8, (uint32_t)aux);
  put_u32(descriptor + 12, aux == 0 ? 0 : (uint32_t)column->used);
  return offset;
}

size_t page_write(const Staging *staging, const Header *header, uint8_t *out) {
  size_t offset = HEADER_BYTES + DESCRIPTOR_BYTES * (size_t)header->columns;
  for (uint32_t i = 0; i < header->columns; i++) {
    uint8_t *descriptor = out + HEADER_BYTES + DESCRIPTOR_BYTES * (size_t)i;
    offset = write_column(&staging->columns[i], header->rows, descriptor, out, offset);
  }
  size_t columnsOffset = 0;
  if (header->flags & FLAG_COLUMNS) {
    columnsOffset = align(offset);
    offset = write_bytes(out, columnsOffset, header->names, header->namesBytes);
  }
  size_t errorOffset = 0;
  if (header->message != NULL) {
    errorOffset = align(offset);
    put_u32(out + errorOffset, (uint32_t)header->messageBytes);
    offset = write_bytes(out, errorOffset + 4, header->message, header->messageBytes);
  }
  offset = align(offset);
  put_u32(out, header->rows);
  put_u32(out + 4, header->flags);
  put_u32(out + 8, (uint32_t)header->code);
  put_u32(out + 12, header->why);
  put_u32(out + 16, (uint32_t)offset);
  put_u32(out + 20, header->columns);
  /* The words between (seq, queueNanos) are the worker loop's. */
  put_u32(out + 28, (uint32_t)columnsOffset);
  put_u32(out + 32, (uint32_t)errorOffset);
  put_u32(out + 36, (uint32_t)header->detail);
  put_f64(out + 48, header->changes);
  put_i64(out + 56, header->lastInsertRowid);
  put_f64(out + 64, header->engineNanos);
  return offset;
}
