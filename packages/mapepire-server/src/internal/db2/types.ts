/** Db2's types as JDBC describes them, and what SQLite stores for each. */

export interface Db2Type {
  readonly name: string
  /** Digits of a number, length of a text. */
  readonly precision: number
  readonly scale: number
  readonly displaySize: number
  /** REAL with no more digits than it has in Db2: a column that was made here, and not one of SQLite's. */
  readonly single?: boolean | undefined
}

/** How a value of a type travels, and what is done to it on the way. */
export type Kind =
  "integer" | "decimal" | "float" | "decfloat" | "char" | "text" | "binary" | "date" | "time" | "timestamp" | "boolean"

const fixed: Readonly<Record<string, readonly [precision: number, scale: number, displaySize: number]>> = {
  SMALLINT: [5, 0, 6],
  INTEGER: [10, 0, 11],
  BIGINT: [19, 0, 20],
  REAL: [24, 0, 13],
  DOUBLE: [53, 0, 22],
  DATE: [10, 0, 10],
  TIME: [8, 0, 8],
  BOOLEAN: [1, 0, 5],
  XML: [2147483647, 0, 2147483647]
}

const synonyms: Readonly<Record<string, string>> = {
  INT: "INTEGER",
  INT2: "SMALLINT",
  INT4: "INTEGER",
  INT8: "BIGINT",
  DEC: "DECIMAL",
  NUM: "NUMERIC",
  FLOAT: "DOUBLE",
  "DOUBLE PRECISION": "DOUBLE",
  CHARACTER: "CHAR",
  "CHARACTER VARYING": "VARCHAR",
  "CHAR VARYING": "VARCHAR",
  "CHARACTER LARGE OBJECT": "CLOB",
  "CHAR LARGE OBJECT": "CLOB",
  "BINARY VARYING": "VARBINARY",
  "BINARY LARGE OBJECT": "BLOB",
  "NATIONAL CHARACTER": "NCHAR",
  "NATIONAL CHARACTER VARYING": "NVARCHAR",
  TEXT: "CLOB",
  BOOL: "BOOLEAN",
  DATETIME: "TIMESTAMP"
}

/** Names of types that files of other programs have, and Db2 has not. */
const foreign = ["INT2", "INT4", "INT8", "TEXT", "BOOL", "DATETIME"]
/** Types of Db2 that are nothing without a length. */
const measured = ["VARCHAR", "NVARCHAR", "VARGRAPHIC", "VARBINARY"]

/** Lengths for types that were declared without one. */
const defaultLength: Readonly<Record<string, number>> = {
  DECIMAL: 5,
  NUMERIC: 5,
  DECFLOAT: 34,
  TIMESTAMP: 6,
  CHAR: 1,
  NCHAR: 1,
  GRAPHIC: 1,
  BINARY: 1,
  VARCHAR: 32739,
  NVARCHAR: 16369,
  VARGRAPHIC: 16369,
  VARBINARY: 32739,
  CLOB: 1048576,
  DBCLOB: 1048576,
  NCLOB: 1048576,
  BLOB: 1048576
}

export const makeType = (name: string, length?: number, scale?: number): Db2Type => {
  const known = fixed[name]
  if (known !== undefined) {
    return { name, precision: known[0], scale: known[1], displaySize: known[2] }
  }
  const size = length ?? defaultLength[name] ?? 0
  switch (name) {
    case "DECIMAL":
    case "NUMERIC":
      return { name, precision: size, scale: scale ?? 0, displaySize: size + 2 }
    case "DECFLOAT":
      return { name, precision: size, scale: 0, displaySize: size === 16 ? 23 : 42 }
    case "TIMESTAMP": {
      const display = size === 0 ? 19 : 20 + size
      return { name, precision: display, scale: size, displaySize: display }
    }
    case "BINARY":
    case "VARBINARY":
    case "BLOB":
      return { name, precision: size, scale: 0, displaySize: size * 2 }
    default:
      return { name, precision: size, scale: 0, displaySize: size }
  }
}

const single: Db2Type = { ...makeType("REAL"), single: true }

/**
 * Reads a declared type, such as `DECIMAL(9, 2)`; undefined for what is none of Db2's. `TEXT_DECIMAL` is our name for
 * decimals that are stored as text (createTable.ts).
 */
export const parseType = (declared: string): Db2Type | undefined => {
  const match = /^\s*([A-Za-z_]\w*(?:\s+[A-Za-z]+)*)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?/.exec(declared)
  if (match === null) {
    return undefined
  }
  const spelled = match[1]!
    .toUpperCase()
    .replace(/\s+/g, " ")
    .replace(/^TEXT_/, "")
  const name = synonyms[spelled] ?? spelled
  if (!(name in fixed) && !(name in defaultLength)) {
    return undefined
  }
  const length = match[2] === undefined ? undefined : Number(match[2])
  const type = makeType(name, length, match[3] === undefined ? undefined : Number(match[3]))
  return name === "DOUBLE" && spelled === "FLOAT" && length !== undefined && length <= 24 ? single : type
}

/** A type in a statement, where only Db2's own are known. */
export const parseDb2Type = (declared: string): Db2Type | undefined =>
  foreign.includes(/^\w*/.exec(declared.trim())![0].toUpperCase()) ? undefined : parseType(declared)

/** Whether the type of a column needs a length and has none. */
export const lacksLength = (declared: string, type: Db2Type): boolean =>
  measured.includes(type.name) && !declared.includes("(")

const kinds: Readonly<Record<string, Kind>> = {
  SMALLINT: "integer",
  INTEGER: "integer",
  BIGINT: "integer",
  DECIMAL: "decimal",
  NUMERIC: "decimal",
  DECFLOAT: "decfloat",
  REAL: "float",
  DOUBLE: "float",
  CHAR: "char",
  NCHAR: "char",
  GRAPHIC: "char",
  BINARY: "binary",
  VARBINARY: "binary",
  BLOB: "binary",
  DATE: "date",
  TIME: "time",
  TIMESTAMP: "timestamp",
  BOOLEAN: "boolean"
}

export const kindOf = (type: Db2Type): Kind => kinds[type.name] ?? "text"

export const integerRanges: Readonly<Record<string, readonly [least: bigint, most: bigint]>> = {
  SMALLINT: [-(1n << 15n), (1n << 15n) - 1n],
  INTEGER: [-(1n << 31n), (1n << 31n) - 1n],
  BIGINT: [-(1n << 63n), (1n << 63n) - 1n]
}

const within =
  ([least, most]: readonly [bigint, bigint]) =>
  (value: bigint): boolean =>
    value >= least && value <= most

export const fitsInteger = within(integerRanges["INTEGER"]!)
export const fitsBigint = within(integerRanges["BIGINT"]!)

/** BINARY is filled up with zeros. */
export const padded = (bytes: Uint8Array, length: number): Uint8Array => {
  if (bytes.length >= length) {
    return bytes
  }
  const full = new Uint8Array(length)
  full.set(bytes)
  return full
}

/** Digits that a double holds exactly. */
const exactDigits = 15

/** Whether values of a type must be stored as text, because SQLite's numbers would lose digits of them. */
export const storedAsText = (type: Db2Type): boolean =>
  (kindOf(type) === "decimal" && type.precision > exactDigits) || kindOf(type) === "decfloat"

/** The type of SQLite's CAST that does what Db2's does; its own reading of Db2's names would make numbers of dates. */
export const castType = (type: Db2Type): string => {
  switch (kindOf(type)) {
    case "integer":
      return "INTEGER"
    case "float":
      return "REAL"
    case "decimal":
    case "decfloat":
      return storedAsText(type) ? "TEXT" : "NUMERIC"
    case "boolean":
      return "NUMERIC"
    case "binary":
      return "BLOB"
    default:
      return "TEXT"
  }
}
