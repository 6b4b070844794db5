/** Output parameters of a CALL: exact, by name and type. */
import type { SqlError } from "@effect/sql/SqlError"
import { recordOf, textIn } from "./columns.js"
import { NumberText, parseLossless } from "./lossless.js"
import { cellDecoder, cellOf, type CellOptions, ConversionError, conversionFailed } from "./values.js"

export interface OutputValue {
  /** From 1. */
  readonly index: number
  readonly name: string | undefined
  readonly type: string | undefined
  /** Undefined for IN parameters, which have none. */
  readonly value: unknown
}

/** All parameters in order. The value of a DECIMAL is text, of a BIGINT as `integers` says, as in rows. */
export const outputParameters = (
  outputs: string | undefined,
  options: CellOptions
): ReadonlyArray<OutputValue> | SqlError => {
  const list = outputs === undefined ? [] : parseLossless(outputs, (text) => new NumberText(text))
  if (!Array.isArray(list)) {
    return []
  }
  const out: Array<OutputValue> = []
  for (const item of list.map(recordOf)) {
    const name = textIn(item.name)
    const type = textIn(item.type)
    const { value } = item
    try {
      const decode = cellDecoder({ name: name ?? `${out.length + 1}`, type: type ?? "VARCHAR" }, options)
      out.push({
        index: item.index instanceof NumberText ? Number(item.index.text) : out.length + 1,
        name,
        type,
        value: value === undefined ? undefined : cellOf(value, decode)
      })
    } catch (error) {
      if (error instanceof ConversionError) {
        return conversionFailed(error)
      }
      throw error
    }
  }
  return out
}
