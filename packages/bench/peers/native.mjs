/** Drivers that only one section compares with. */
export { default as Libsql } from "libsql"
export { default as sqlite3 } from "sqlite3"
