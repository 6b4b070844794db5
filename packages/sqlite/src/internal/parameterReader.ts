/** Reads tagged values (see parameters.ts): the arguments and the answers of callbacks. */
import { ParameterTag, type ParameterView } from "./parameters.js"

/** SQLite's values in JavaScript. Integers are numbers where they are exact, else bigints. */
export type SqlValue = null | number | bigint | string | Uint8Array

/** Where the reader stands. */
interface At {
  offset: number
}

const read = (view: ParameterView, at: At): SqlValue => {
  const start = at.offset
  switch (view.bytes[start]) {
    case ParameterTag.integer: {
      at.offset = start + 9
      const low = view.data.getInt32(start + 1, true)
      if (view.data.getInt32(start + 5, true) === low >> 31) {
        return low
      }
      const whole = view.data.getBigInt64(start + 1, true)
      const number = Number(whole)
      return Number.isSafeInteger(number) ? number : whole
    }
    case ParameterTag.float:
      at.offset = start + 9
      return view.data.getFloat64(start + 1, true)
    case ParameterTag.text:
    case ParameterTag.blob: {
      const length = view.data.getUint32(start + 1, true)
      const from = start + 5
      at.offset = from + length
      return view.bytes[start] === ParameterTag.text
        ? view.text.utf8Slice(from, from + length)
        : view.bytes.slice(from, from + length)
    }
    default:
      at.offset = start + 1
      return null
  }
}

/** The one value at `offset`. */
export const decodeValue = (view: ParameterView, offset: number): SqlValue => read(view, { offset })

/** So many values from `offset` on. */
export const decodeValues = (view: ParameterView, offset: number, count: number): Array<SqlValue> => {
  const at = { offset }
  const values: Array<SqlValue> = []
  for (let i = 0; i < count; i++) {
    values.push(read(view, at))
  }
  return values
}
