/** Pieces of a response, written by hand: a number's digits must not pass through a double. */

/** Fields of an object, without its braces: `"a":1,"b":2`. */
export type Fields = string

export const field = (name: string, value: string | number | boolean | null): Fields =>
  `"${name}":${value === null ? "null" : JSON.stringify(value)}`

/** A field whose value is JSON already. */
export const rawField = (name: string, json: string): Fields => `"${name}":${json}`

export const fields = (...parts: ReadonlyArray<Fields | undefined>): Fields =>
  parts.filter((part) => part !== undefined && part !== "").join(",")
