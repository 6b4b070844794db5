/** What a statement may ask of its job: special registers and global variables. */

export interface Environment {
  /** `NUMBER/USER/NAME`. */
  readonly job: string
  readonly user: string
  readonly schema: string
  readonly application: string
  /** Whether the unit of work has changed anything so far. */
  readonly changed: boolean
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const local = (format: string) => `strftime('${format}', 'now', 'localtime')`
const now = `(${local("%Y-%m-%d %H:%M:%f")} || '000')`
const today = `(${local("%Y-%m-%d")})`
const time = `(${local("%H:%M:%S")})`

interface Register {
  readonly sql: (environment: Environment) => string
  readonly type: string
}

const text = (of: (environment: Environment) => string): Register => ({
  sql: (environment) => `(${literal(of(environment))})`,
  type: "VARCHAR(128)"
})

const user = text(({ user }) => user)

/** By the words after CURRENT; each is also known as one word, `CURRENT_TIMESTAMP`. */
const registers: Readonly<Record<string, Register>> = {
  TIMESTAMP: { sql: () => now, type: "TIMESTAMP(6)" },
  DATE: { sql: () => today, type: "DATE" },
  TIME: { sql: () => time, type: "TIME" },
  SCHEMA: text(({ schema }) => schema),
  SQLID: text(({ schema }) => schema),
  SERVER: text(() => "SLUICE"),
  USER: user,
  CLIENT_APPLNAME: text(({ application }) => application),
  CLIENT_USERID: user
}

const otherNames: Readonly<Record<string, Register>> = { USER: user, SESSION_USER: user, SYSTEM_USER: user }

/** What Db2 has besides, by the words after CURRENT. */
export const otherRegisters: ReadonlyArray<string> = [
  ...["TIMEZONE", "PATH", "DEGREE", "DEBUG", "DECFLOAT", "IMPLICIT", "LOCALE", "TEMPORAL", "FUNCTION"],
  ...["CLIENT_ACCTNG", "CLIENT_PROGRAMID", "CLIENT_WRKSTNNAME"]
]

/** The special register that begins at a word, and how many words it has. */
export const registerAt = (word: string, next: string | undefined): readonly [Register, number] | undefined => {
  if (word === "CURRENT" && next !== undefined && Object.hasOwn(registers, next)) {
    return [registers[next]!, 2]
  }
  const rest = word.startsWith("CURRENT_") ? word.slice("CURRENT_".length) : undefined
  if (rest !== undefined && Object.hasOwn(registers, rest)) {
    return [registers[rest]!, 1]
  }
  return Object.hasOwn(otherNames, word) ? [otherNames[word]!, 1] : undefined
}

export const jobName: Register = { sql: ({ job }) => `(${literal(job)})`, type: "VARCHAR(28)" }

/** The tables of the catalog that programs look at, as queries over SQLite's. */
export const catalog: Readonly<Record<string, (environment: Environment) => string>> = {
  SYSDUMMY1: () => "(SELECT 'Y' AS IBMREQD)",
  DB_TRANSACTION_INFO: ({ changed, job }) =>
    `(SELECT ${literal(job)} AS JOB_NAME, '${changed ? "YES" : "NO"}' AS LOCAL_RECORD_CHANGES_PENDING, ` +
    "'NO' AS LOCAL_OBJECT_CHANGES_PENDING)",
  SYSTABLES: ({ schema }) =>
    `(SELECT ${literal(schema)} AS TABLE_SCHEMA, upper(name) AS TABLE_NAME, ` +
    "CASE type WHEN 'view' THEN 'V' ELSE 'T' END AS TABLE_TYPE, upper(substr(name, 1, 10)) AS SYSTEM_TABLE_NAME, " +
    "NULL AS TABLE_TEXT FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\')",
  SYSCOLUMNS: ({ schema }) =>
    `(SELECT ${literal(schema)} AS TABLE_SCHEMA, upper(s.name) AS TABLE_NAME, upper(c.name) AS COLUMN_NAME, ` +
    "c.cid + 1 AS ORDINAL_POSITION, CASE upper(c.type) WHEN 'FLOAT(24)' THEN 'REAL' WHEN 'INT' THEN 'INTEGER' " +
    "ELSE upper(replace(c.type, 'TEXT_', '')) END AS DATA_TYPE, " +
    "CASE c.\"notnull\" WHEN 1 THEN 'N' ELSE 'Y' END AS IS_NULLABLE, c.dflt_value AS COLUMN_DEFAULT " +
    "FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.type IN ('table', 'view') " +
    "AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\')"
}

export const catalogSchemas: ReadonlySet<string> = new Set(["SYSIBM", "QSYS2", "SYSCAT"])
