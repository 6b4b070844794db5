/**
 * Reads terse rows, as daemons write them, straight from a message's text: one look at each character, no number through
 * a double that is not one. Where something is not as expected, it says so and the caller takes the careful way.
 *
 * Strings are cut with `slice`, which in V8 keeps alive what they are cut from as long as one cut of 13 or more
 * characters lives. So long texts are read in windows, copies of their own: one kept value holds on to so much at most.
 */
import { Escaped } from "./escaped.js"
import { valueEnd, stringEnd } from "./lossless.js"
import { generated } from "./scanGenerated.js"
import type { CellDecoder, CellOptions } from "./values.js"

/** The text is not what `scan` reads. */
export class Unexpected extends Error {}

export interface ScanPlan {
  readonly names: ReadonlyArray<string>
  readonly decoders: ReadonlyArray<CellDecoder>
  readonly shape: "objects" | "arrays"
  readonly integers: NonNullable<CellOptions["integers"]>
  readonly dates: NonNullable<CellOptions["dates"]>
}

/** Reads cells one by one; generated functions (scanGenerated.ts) do the usual ones themselves and come here for the rest. */
export class Scanner {
  /** Where the next character is. */
  at: number
  /** Where the row begins that is being read. */
  row: number
  /** Where the next text with an escape begins, its quote; the text's length if there is none. */
  quote: number
  private readonly escaped: Escaped

  constructor(
    readonly text: string,
    start: number,
    end: number,
    readonly decoders: ReadonlyArray<CellDecoder>
  ) {
    this.at = start
    this.row = start
    this.escaped = new Escaped(text, start, end)
    this.quote = this.escaped.quote
  }

  cell(column: number): unknown {
    const { at, text } = this
    const first = text.charCodeAt(at)
    if (first === 34) {
      return this.decoders[column]!.other(this.string())
    }
    if (first === 45 || (first >= 48 && first <= 57)) {
      return this.decoders[column]!.number(this.number())
    }
    if (first === 110) {
      return this.word("null", null)
    }
    if (first === 116) {
      return this.decoders[column]!.other(this.word("true", true))
    }
    if (first === 102) {
      return this.decoders[column]!.other(this.word("false", false))
    }
    if (first === 123) {
      const value = this.json(valueEnd(text, at))
      this.quote = this.escaped.skip(this.at)
      return this.decoders[column]!.other(value)
    }
    throw new Unexpected()
  }

  /** The text that begins here. */
  string(): string {
    const { at, text } = this
    if (at !== this.quote) {
      const end = text.indexOf('"', at + 1)
      if (end < 0) {
        throw new Unexpected()
      }
      this.at = end + 1
      return text.slice(at + 1, end)
    }
    const value = this.escaped.take()
    if (value === undefined) {
      const parsed = this.json(stringEnd(text, at)) as string
      this.quote = this.escaped.skip(this.at)
      return parsed
    }
    this.at = this.escaped.end
    this.quote = this.escaped.quote
    return value
  }

  private number(): string {
    const { at, text } = this
    let end = at + 1
    for (let c = text.charCodeAt(end); isNumeric(c); c = text.charCodeAt(++end));
    if (end === text.length) {
      // Perhaps only its beginning is in this window.
      throw new Unexpected()
    }
    this.at = end
    return text.slice(at, end)
  }

  private word<A>(word: string, value: A): A {
    if (!this.text.startsWith(word, this.at)) {
      throw new Unexpected()
    }
    this.at += word.length
    return value
  }

  private json(end: number): unknown {
    try {
      const value: unknown = JSON.parse(this.text.slice(this.at, end))
      this.at = end
      return value
    } catch {
      throw new Unexpected()
    }
  }
}

/**
 * With the last object of a hidden class V8 drops the class, and all code that was made for it, at the next full garbage
 * collection. So one scanner stays: without it every collection between two results cost the functions that read rows,
 * and half of the time of the next result.
 */
export const staying = new Scanner("", 0, 0, [])

/** Digits, and `+ - . E e`. */
const isNumeric = (c: number): boolean =>
  (c >= 48 && c <= 57) || c === 46 || c === 45 || c === 69 || c === 101 || c === 43

/** Reads rows from the scanner's place on until the array ends. `scanner.row` tells where it stopped if it throws. */
export type ReadRows = (scanner: Scanner, out: Array<unknown>) => void

const interpret =
  ({ names, shape }: ScanPlan): ReadRows =>
  (scanner, out) => {
    const { text } = scanner
    const last = names.length - 1
    for (;;) {
      scanner.row = scanner.at
      if (text.charCodeAt(scanner.at++) !== 91) {
        throw new Unexpected()
      }
      const row: Array<unknown> = []
      for (let i = 0; i <= last; i++) {
        row.push(scanner.cell(i))
        if (text.charCodeAt(scanner.at++) !== (i < last ? 44 : 93)) {
          throw new Unexpected()
        }
      }
      const after = text.charCodeAt(scanner.at)
      if (after !== 44 && after !== 93) {
        throw new Unexpected()
      }
      out.push(shape === "arrays" ? row : objectOf(names, row))
      if (after === 93) {
        return
      }
      scanner.at++
    }
  }

/** A row as an object; of equal names the last wins. */
export const objectOf = (names: ReadonlyArray<string>, row: ReadonlyArray<unknown>): Record<string, unknown> => {
  const object: Record<string, unknown> = {}
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!
    if (name === "__proto__") {
      // Assigning it would set the row's prototype.
      Object.defineProperty(object, name, { value: row[i], writable: true, enumerable: true, configurable: true })
    } else {
      object[name] = row[i]
    }
  }
  return object
}

/**
 * Characters of a window, and the length from which a text is read in windows: they cost a third more, so pages of usual
 * size are read in one go.
 */
const windowLength = 256 * 1024
const defaultWindowsFrom = 32 * 1024 * 1024
/** Characters of rows from which on a generated function pays (some 50 µs to make). */
const generateFrom = 4 * 1024

/**
 * The rows between two places of a text (an array of arrays), added to `out`. Throws `Unexpected` for any other JSON and
 * for none, `ConversionError` at a value that cannot be given as asked; the rows before that one are in `out`.
 */
export const scan = (
  text: string,
  start: number,
  end: number,
  plan: ScanPlan,
  out: Array<unknown>,
  windowsFrom = defaultWindowsFrom
): void => {
  if (text.charCodeAt(start) !== 91) {
    throw new Unexpected()
  }
  if (text.charCodeAt(start + 1) === 93) {
    return
  }
  const read = (end - start >= generateFrom ? generated(plan) : undefined) ?? interpret(plan)
  if (end - start < windowsFrom) {
    read(new Scanner(text, start + 1, end, plan.decoders), out)
    return
  }
  let length = windowLength
  for (let at = start + 1; ;) {
    const last = at + length >= end
    // A concatenation is copied when it is first read, and then knows nothing of what it was made of.
    const window = text.slice(at, last ? end : at + length) + " "
    const scanner = new Scanner(window, 0, window.length, plan.decoders)
    const before = out.length
    try {
      read(scanner, out)
      return
    } catch (error) {
      if (!(error instanceof Unexpected) || last) {
        throw error
      }
      // The row that is cut off by the window's end is the first of the next window; one that fills a window needs more.
      length = out.length === before ? length * 2 : windowLength
    }
    at += scanner.row
  }
}
