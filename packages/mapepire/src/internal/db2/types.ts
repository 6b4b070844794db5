/** The type that a marker is given where nothing else tells one: that of its value, wide enough for its like. */
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"

/** Steps, so that texts differ seldom; characters of UTF-8 have up to four bytes. */
const lengths = [255, 4_000, 32_000]

const sized = (small: string, large: string, bytes: number): string => {
  const length = lengths.find((length) => bytes <= length)
  return length === undefined ? `${large}(${Math.max(bytes, 1_048_576)})` : `${small}(${length})`
}

const minBigint = -(2n ** 63n)

/** For all values of one column: nulls and undefined say nothing. */
export const typeOf = (values: ReadonlyArray<unknown>): string => {
  const known = values.filter((value) => value !== null && value !== undefined)
  if (known.length === 0) {
    return text(0)
  }
  const types = new Set(known.map(kindOf))
  const only = types.size === 1 ? [...types][0]! : undefined
  switch (only) {
    case "boolean":
      return "BOOLEAN"
    case "timestamp":
      return "TIMESTAMP"
    case "bigint":
      return "BIGINT"
    case "decimal":
      return decimal(known)
    case "double":
      return "DOUBLE"
    case "bytes":
      return sized(
        "VARBINARY",
        "BLOB",
        longest(known, (value) => (value as ArrayBufferView | ArrayBuffer).byteLength)
      )
  }
  const numbers = new Set(["bigint", "decimal", "double"])
  if ([...types].every((type) => numbers.has(type))) {
    return types.has("double") ? "DOUBLE" : decimal(known)
  }
  return text(longest(known, (value) => Buffer.byteLength(String(value))))
}

const longest = (values: ReadonlyArray<unknown>, length: (value: unknown) => number): number =>
  values.reduce<number>((longest, value) => Math.max(longest, length(value)), 0)

/** Unicode, whatever the job's own character set. */
const text = (bytes: number): string => `${sized("VARCHAR", "CLOB", bytes)} CCSID 1208`

type ValueKind = "boolean" | "timestamp" | "bigint" | "decimal" | "double" | "bytes" | "text"

const kindOf = (value: unknown): ValueKind => {
  switch (typeof value) {
    case "boolean":
      return "boolean"
    case "bigint":
      return value >= minBigint && value < -minBigint ? "bigint" : "decimal"
    case "number":
      return Number.isSafeInteger(value) ? "bigint" : "double"
    case "object":
      return value instanceof Date || DateTime.isDateTime(value)
        ? "timestamp"
        : BigDecimal.isBigDecimal(value)
          ? "decimal"
          : ArrayBuffer.isView(value) || value instanceof ArrayBuffer
            ? "bytes"
            : "text"
    default:
      return "text"
  }
}

/** 31 digits are what a job allows unless it is told otherwise. */
const decimal = (values: ReadonlyArray<unknown>): string => {
  const scale = longest(values, (value) => (BigDecimal.isBigDecimal(value) ? Math.max(0, value.scale) : 0))
  const whole = longest(values, (value) =>
    BigDecimal.isBigDecimal(value)
      ? Math.max(0, digits(value.value) - value.scale)
      : digits(typeof value === "bigint" ? value : BigInt(value as number))
  )
  return `DECIMAL(${Math.max(31, whole + scale)},${scale})`
}

const digits = (value: bigint): number => (value < 0n ? -value : value).toString().length
