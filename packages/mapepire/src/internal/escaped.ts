/**
 * The texts with escapes among some rows, all read in one go: daemons escape every apostrophe and every `<`, `>`, `&`
 * and `=`, and one `JSON.parse` per text is what would cost the most of all.
 */

import { endianness } from "node:os"

/** Bytes that are kept for this from page to page; more are got for the one page that needs them. */
const keptBytes = 1024 * 1024

let kept: Buffer | undefined

const bufferOf = (bytes: number): Buffer =>
  bytes > keptBytes ? Buffer.allocUnsafeSlow(bytes) : (kept ??= Buffer.allocUnsafeSlow(keptBytes))

/** What a backslash and this character stand for; 0: nothing. */
const meaning = new Uint8Array(128)
for (const [character, means] of [
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"]
] as const) {
  meaning[character.charCodeAt(0)] = means.charCodeAt(0)
}

/** What a hex digit stands for; 0x10000, which is no code unit and stays visible in a sum: it is none. */
const digits = new Int32Array(128).fill(0x10000)
for (let i = 0; i < 16; i++) {
  digits[i.toString(16).charCodeAt(0)] = i
  digits[i.toString(16).toUpperCase().charCodeAt(0)] = i
}

/** The code unit that four hex digits stand for; beyond 0xffff if they are none. */
const unit = (text: string, at: number): number => {
  const a = text.charCodeAt(at)
  const b = text.charCodeAt(at + 1)
  const c = text.charCodeAt(at + 2)
  const d = text.charCodeAt(at + 3)
  return (a | b | c | d) < 128 ? (digits[a]! << 12) | (digits[b]! << 8) | (digits[c]! << 4) | digits[d]! : 0x10000
}

/** What `unescape` answers where it cannot go on. */
const [noJson, tooWide] = [-1, -2]

export class Escaped {
  /** Where the next such text begins, its quote; the text's length if there is none. */
  quote: number
  /** The place after the one that was taken last. */
  end = 0
  /** For each: its quote, the place after it, and where its value begins in `values`. */
  private readonly places: Array<number> = []
  private values = ""
  private next = 0
  /** The place after the text that was unescaped last. */
  private unescaped = 0
  /** The quote of the first that could not be read, or the text's length. */
  private stopped: number

  /** The rows lie between the two places. Nothing is ever thrown: what is no JSON is not read. */
  constructor(
    private readonly text: string,
    start: number,
    end: number
  ) {
    const first = text.indexOf("\\", start)
    this.stopped = text.length
    if (first >= 0 && first < end) {
      this.read(first, end, false)
    }
    this.quote = this.places.length > 0 ? this.places[0]! : this.stopped
  }

  /** The value of the text that begins at `quote`; undefined: it is to be read in another way, and then `skip`ped. */
  take(): string | undefined {
    const { next, places } = this
    if (next >= places.length) {
      return undefined
    }
    this.end = places[next + 1]!
    const value = this.values.slice(places[next + 2], next + 5 < places.length ? places[next + 5] : undefined)
    this.next = next + 3
    this.quote = this.next < places.length ? places[this.next]! : this.stopped
    return value
  }

  /** Goes on after a place; answers `quote`. */
  skip(to: number): number {
    const { places } = this
    while (this.next < places.length && places[this.next]! < to) {
      this.next += 3
    }
    if (this.next >= places.length && this.stopped < to) {
      const backslash = this.text.indexOf("\\", to)
      this.stopped = backslash < 0 ? this.text.length : this.text.lastIndexOf('"', backslash)
    }
    return (this.quote = this.next < places.length ? places[this.next]! : this.stopped)
  }

  /**
   * From a backslash on, which is the first one in its text, so the last quote before it is that text's. One byte per
   * character as long as that is enough, else two.
   */
  private read(first: number, end: number, wide: boolean): void {
    const { places, text } = this
    const length = end - text.lastIndexOf('"', first)
    const out = wide ? new Uint16Array(length) : bufferOf(length)
    let to = 0
    for (let backslash = first; backslash >= 0 && backslash < end; backslash = text.indexOf("\\", this.unescaped)) {
      const quote = text.lastIndexOf('"', backslash)
      const next = this.unescape(quote + 1, end, out, to, wide ? 0xffff : 0xff)
      if (next === tooWide) {
        places.length = 0
        return this.read(first, end, true)
      }
      if (next === noJson) {
        this.stopped = quote
        break
      }
      places.push(quote, this.unescaped, to)
      to = next
    }
    this.values = textOf(out, to)
  }

  /**
   * Writes the characters of the text that begins at `at`, after its quote, from `to` on; answers the place after them. A
   * function of its own, and a short one: as a loop within a loop V8 made it anew for every page.
   */
  private unescape(at: number, end: number, out: Uint8Array | Uint16Array, to: number, most: number): number {
    const { text } = this
    for (; at < end; at++) {
      let c = text.charCodeAt(at)
      if (c === 34) {
        this.unescaped = at + 1
        return to
      }
      if (c === 92) {
        c = text.charCodeAt(++at)
        if (c === 117) {
          c = unit(text, at + 1)
          at += 4
        } else {
          c = c < 128 ? meaning[c]! || 0x10000 : 0x10000
        }
      }
      if (c > most) {
        return c > 0xffff ? noJson : tooWide
      }
      out[to++] = c
    }
    return noJson
  }
}

const textOf = (units: Buffer | Uint16Array, length: number): string => {
  if (units instanceof Buffer) {
    return units.toString("latin1", 0, length)
  }
  const bytes = Buffer.from(units.buffer, 0, length * 2)
  return (endianness() === "LE" ? bytes : bytes.swap16()).toString("utf16le")
}
