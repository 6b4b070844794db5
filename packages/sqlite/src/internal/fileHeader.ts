/** What a database file begins with (https://www.sqlite.org/fileformat.html#the_database_header). */

const fileHeaderBytes = 100

const magic = Buffer.from("SQLite format 3\0", "latin1")

/** Where the versions for writing and reading stand: 2 in WAL mode, else 1. */
export const versionsAt = [18, 19] as const

/** Whether it begins as a database does. */
export const isDatabase = (bytes: Uint8Array): boolean =>
  bytes.length >= fileHeaderBytes && magic.compare(bytes, 0, magic.length) === 0
