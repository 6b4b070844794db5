/**
 * The JDBC properties of a connection: which there are, what they may be, and how they are written. Names and values are
 * those of the property list of IBM's JDBC driver for IBM i (JTOpen 21), the driver that daemons use.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { badConfig } from "./failure.js"

type Kind =
  | { readonly _tag: "Flag" }
  | { readonly _tag: "OneOf"; readonly values: ReadonlyArray<string> }
  | { readonly _tag: "Whole"; readonly min: number; readonly max: number }
  | { readonly _tag: "Libraries" }
  | { readonly _tag: "Text" }

const flag = { _tag: "Flag" } as const
const text = { _tag: "Text" } as const
const libraries = { _tag: "Libraries" } as const
const oneOf = <const Values extends ReadonlyArray<string>>(...values: Values) => ({ _tag: "OneOf", values }) as const
const whole = (min: number, max: number) => ({ _tag: "Whole", min, max }) as const

const maxInt = 0x7fffffff

/** Every property that may be given, but for those of who signs on. */
export const properties = {
  // Names, and the values that statements give and take.
  naming: oneOf("sql", "system"),
  libraries,
  "date format": oneOf("mdy", "dmy", "ymd", "usa", "iso", "eur", "jis", "julian"),
  "date separator": oneOf("/", "-", ".", ",", "b"),
  "time format": oneOf("hms", "usa", "iso", "eur", "jis"),
  "time separator": oneOf(":", ".", ",", "b"),
  "timestamp format": oneOf("iso", "ibmsql"),
  "decimal separator": oneOf(".", ","),
  "decfloat rounding mode": oneOf("half even", "half up", "down", "ceiling", "floor", "half down", "up"),
  "maximum precision": oneOf("31", "63"),
  "maximum scale": whole(0, 63),
  "minimum divide scale": whole(0, 9),
  "big decimal": flag,
  "data truncation": flag,
  "character truncation": oneOf("default", "warning", "none"),
  "numeric range error": oneOf("default", "warning", "none"),
  "decimal data errors": oneOf("ignore", "report", "default"),
  "query replace truncated parameter": text,
  "trim char fields": flag,
  "translate hex": oneOf("character", "binary"),
  "translate binary": flag,
  "translate boolean": flag,
  "package ccsid": oneOf("1200", "13488", "system"),
  "bidi string type": whole(4, 11),
  "bidi implicit reordering": flag,
  "bidi numeric ordering": flag,
  // Transactions and cursors.
  "auto commit": flag,
  "true autocommit": flag,
  "autocommit exception": flag,
  "transaction isolation": oneOf("none", "read uncommitted", "read committed", "repeatable read", "serializable"),
  "concurrent access resolution": oneOf("1", "2", "3"),
  "cursor hold": flag,
  "cursor sensitivity": oneOf("asensitive", "insensitive", "sensitive"),
  "hold input locators": flag,
  "hold statements": flag,
  access: oneOf("all", "read call", "read only"),
  "database name": text,
  // Speed.
  "block criteria": oneOf("0", "1", "2"),
  "block size": whole(0, 16_000),
  "maximum blocked input rows": whole(1, 32_000),
  "use block update": flag,
  "data compression": flag,
  "variable field compression": oneOf("true", "false", "insert", "all"),
  "lob threshold": whole(0, 16_777_216),
  prefetch: flag,
  "lazy close": flag,
  "full open": flag,
  "extended dynamic": flag,
  package: text,
  "package library": text,
  "package add": flag,
  "package cache": flag,
  "package criteria": oneOf("default", "select"),
  "package error": oneOf("exception", "warning", "none"),
  qaqqinilib: text,
  "query optimize goal": oneOf("0", "1", "2"),
  "query storage limit": whole(-1, 2_147_352_578),
  "query timeout mechanism": oneOf("qqrytimlmt", "cancel"),
  // Sorting, descriptions, messages.
  sort: oneOf("hex", "language", "table"),
  "sort language": text,
  "sort table": text,
  "sort weight": oneOf("shared", "unique"),
  "extended metadata": flag,
  "metadata source": oneOf("0", "1"),
  "describe option": text,
  remarks: oneOf("sql", "system"),
  errors: oneOf("basic", "full"),
  "ignore warnings": text,
  // Between the daemon and its database.
  "keep alive": flag,
  "login timeout": whole(0, maxInt),
  "receive buffer size": whole(1, maxInt),
  "send buffer size": whole(1, maxInt),
  "socket timeout": whole(0, maxInt),
  "stay alive": whole(0, maxInt),
  "tcp no delay": flag,
  secure: flag,
  "thread used": flag,
  "virtual threads": flag,
  "XA loosely coupled support": oneOf("0", "1"),
  driver: oneOf("toolbox", "native"),
  "server trace": whole(0, 126),
  "toolbox trace": text,
  trace: flag,
  authenticationVerificationId: text
} as const satisfies Readonly<Record<string, Kind>>

/** Who signs on is said elsewhere, a prompt has nobody to ask, and a proxy would get the password. */
const refused: ReadonlySet<string> = new Set([
  "user",
  "password",
  "prompt",
  "proxy server",
  "secondary url",
  "key ring name",
  "key ring password",
  "additionalauthenticationfactor"
])

type Name = keyof typeof properties

type ValueOf<K> = K extends { readonly _tag: "Flag" }
  ? boolean
  : K extends { readonly _tag: "OneOf"; readonly values: ReadonlyArray<infer V extends string> }
    ? V
    : K extends { readonly _tag: "Whole" }
      ? number
      : K extends { readonly _tag: "Libraries" }
        ? ReadonlyArray<string>
        : string

/** What may be asked of a connection; see the driver's documentation for what each one means. */
export type JdbcOptions = { readonly [N in Name]?: ValueOf<(typeof properties)[N]> | undefined } & {
  /** Properties that are not known here, or values that are new, as they are to be written. */
  readonly raw?: Readonly<Record<string, string | number | boolean>> | undefined
}

/** Names come back from users' settings in any case; the driver wants them as in the table. */
const spelling: ReadonlyMap<string, Name> = new Map(
  (Object.keys(properties) as ReadonlyArray<Name>).map((name) => [name.toLowerCase(), name])
)

/** `name=value;name=value`, or what is wrong. There is no way to write a semicolon within a value. */
export const encodeJdbc = (options: JdbcOptions): string | SqlError => {
  const parts: Array<string> = []
  const { raw, ...known } = options
  for (const [given, value] of Object.entries(known)) {
    if (value === undefined) {
      continue
    }
    const name = spelling.get(given.toLowerCase())
    if (refused.has(given.toLowerCase()) || name === undefined) {
      return refusalOf(given)
    }
    const written = write(name, value)
    if (typeof written !== "string") {
      return written
    }
    parts.push(`${name}=${written}`)
  }
  for (const [name, value] of Object.entries(raw ?? {})) {
    if (refused.has(name.trim().toLowerCase())) {
      return refusalOf(name)
    }
    if (name.trim() === "" || /[;=]/.test(name)) {
      return badConfig("The name of a JDBC property must not be empty, nor contain a semicolon or an equals sign")
    }
    const written = String(value)
    if (/[;\p{Cc}]/u.test(written)) {
      return unwritable(name)
    }
    parts.push(`${name}=${written}`)
  }
  return parts.join(";")
}

const refusalOf = (name: string): SqlError =>
  badConfig(
    refused.has(name.trim().toLowerCase())
      ? `The JDBC property "${name.trim().toLowerCase()}" must not be set here: credentials have options of their own, the others are not for daemons`
      : `No JDBC property is called "${name.slice(0, 60)}". If your driver knows it, give it in "raw"`
  )

const unwritable = (name: string): SqlError =>
  badConfig(
    `The JDBC property "${name}" must not contain a semicolon or a control character: there is no way to write it`
  )

const write = (name: Name, value: unknown): string | SqlError => {
  const kind: Kind = properties[name]
  switch (kind._tag) {
    case "Flag":
      return typeof value === "boolean" || value === "true" || value === "false"
        ? String(value)
        : badConfig(`The JDBC property "${name}" must be true or false`)
    case "OneOf":
      return kind.values.includes(String(value))
        ? String(value)
        : badConfig(`The JDBC property "${name}" must be one of: ${kind.values.join(" ")}`)
    case "Whole": {
      const number = Number(value)
      return Number.isInteger(number) && number >= kind.min && number <= kind.max && value !== ""
        ? String(number)
        : badConfig(`The JDBC property "${name}" must be a whole number from ${kind.min} to ${kind.max}`)
    }
    case "Libraries": {
      const list = Array.isArray(value) ? (value as ReadonlyArray<unknown>) : String(value).split(/[\s,]+/)
      // System names, or *LIBL and the like; a quoted one may hold anything but what separates them.
      const wrong = list.some(
        (library) => !/^(\*[A-Z]+|[\p{L}@#$][\p{L}\p{N}@#$_.]{0,9}|"[^",;\p{Cc}]{1,10}")$/iu.test(String(library))
      )
      return list.length === 0 || wrong
        ? badConfig(`The JDBC property "${name}" must be a list of library names of at most 10 characters, or *LIBL`)
        : list.join(",")
    }
    case "Text":
      return /[;\p{Cc}]/u.test(String(value)) ? unwritable(name) : String(value)
  }
}

/**
 * What a client asked for, by the names of the table; names in any case. What is not known is ignored, as the driver does,
 * and the last of two equal ones counts.
 */
export const parseJdbc = (props: string | undefined): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const part of (props ?? "").split(";")) {
    const at = part.indexOf("=")
    const name = at < 0 ? undefined : spelling.get(part.slice(0, at).trim().toLowerCase())
    if (name !== undefined) {
      found.set(name, part.slice(at + 1).trim())
    }
  }
  return found
}
