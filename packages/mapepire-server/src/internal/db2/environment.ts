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

/** In SQLite's words a type is `DECIMAL ( 9 , 2 )`, or has a name of ours (createTable.ts). */
const declared =
  "CASE replace(upper(c.type), ' ', '') WHEN 'FLOAT(24)' THEN 'REAL' WHEN 'INT' THEN 'INTEGER' ELSE upper(replace(c.type, 'TEXT_', '')) END"

const columns = ({ schema }: Environment): string =>
  `(SELECT ${literal(schema)} AS TABLE_SCHEMA, t AS TABLE_NAME, n AS COLUMN_NAME, upper(substr(n, 1, 10)) AS SYSTEM_COLUMN_NAME, ` +
  "cid + 1 AS ORDINAL_POSITION, CASE k WHEN 'TIMESTAMP' THEN 'TIMESTMP' WHEN 'DOUBLE' THEN 'FLOAT' WHEN 'REAL' THEN 'FLOAT' " +
  "WHEN 'VARBINARY' THEN 'VARBIN' WHEN 'VARGRAPHIC' THEN 'VARG' WHEN 'INT' THEN 'INTEGER' WHEN 'DEC' THEN 'DECIMAL' " +
  "WHEN 'CHARACTER' THEN 'CHAR' ELSE k END AS DATA_TYPE, " +
  "CASE k WHEN 'SMALLINT' THEN 2 WHEN 'INTEGER' THEN 4 WHEN 'BIGINT' THEN 8 WHEN 'REAL' THEN 4 WHEN 'DOUBLE' THEN 8 WHEN 'FLOAT' THEN 8 " +
  "WHEN 'DATE' THEN 4 WHEN 'TIME' THEN 3 WHEN 'TIMESTAMP' THEN 10 WHEN 'BOOLEAN' THEN 1 " +
  "ELSE CASE WHEN d LIKE '%(%' THEN CAST(substr(d, instr(d, '(') + 1) AS INTEGER) END END AS LENGTH, " +
  "CASE WHEN k IN ('DECIMAL', 'NUMERIC', 'DEC') THEN CASE WHEN d LIKE '%,%' THEN CAST(substr(d, instr(d, ',') + 1) AS INTEGER) ELSE 0 END " +
  "WHEN k IN ('SMALLINT', 'INTEGER', 'BIGINT') THEN 0 END AS NUMERIC_SCALE, " +
  "CASE \"notnull\" OR identity WHEN 1 THEN 'N' ELSE 'Y' END AS IS_NULLABLE, " +
  "CASE WHEN identity THEN CASE WHEN sql LIKE '%SLUICE_ALWAYS_OF_%' THEN 'I' ELSE 'J' END " +
  "WHEN dflt_value IS NULL AND \"notnull\" THEN 'N' ELSE 'Y' END AS HAS_DEFAULT, dflt_value AS COLUMN_DEFAULT, " +
  "CASE WHEN identity THEN 'YES' ELSE 'NO' END AS IS_IDENTITY, NULL AS COLUMN_TEXT FROM (" +
  'SELECT upper(s.name) AS t, upper(c.name) AS n, c.cid, c."notnull", c.dflt_value, s.sql, ' +
  `${declared} AS d, trim(substr(${declared}, 1, instr(${declared} || '(', '(') - 1)) AS k, ` +
  "(c.pk = 1 AND s.sql LIKE '%AUTOINCREMENT%') AS identity FROM sqlite_schema s, pragma_table_info(s.name) c " +
  "WHERE s.type IN ('table', 'view') AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'))"

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
  SYSCOLUMNS: columns,
  SYSCOLUMNS2: columns
}

/** Libraries of Db2's own tables. */
export const catalogSchemas: ReadonlySet<string> = new Set(["SYSIBM", "QSYS2", "SYSIBMADM", "SYSTOOLS"])
