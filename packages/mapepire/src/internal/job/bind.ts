import type { SqlError } from "@effect/sql/SqlError"
import type { Parameter } from "../../Protocol.js"
export const encodeParameters = (params: ReadonlyArray<unknown>): ReadonlyArray<Parameter> | SqlError =>
  params.map((value) => (typeof value === "bigint" ? String(value) : (value as Parameter)))
export type JdbcOptions = Readonly<Record<string, string | number | boolean | ReadonlyArray<string> | undefined>>
export const encodeJdbc = (options: JdbcOptions): string | SqlError =>
  Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${Array.isArray(value) ? value.join(",") : String(value)}`)
    .join(";")
