/**
 * The texts with escapes among some rows, all read in one go: daemons escape every apostrophe and every `<`, `>`, `&`
 * and `=`, and one `JSON.parse` per text is what would cost the most of all.
 */

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

const digit = (c: number): number =>
  c >= 48 && c <= 57 ? c - 48 : c >= 97 && c <= 102 ? c - 87 : c >= 65 && c <= 70 ? c - 55 : 0xfffff

/** The code unit that four hex digits stand for; beyond 0xffff if they are none. */
const unit = (text: string, at: number): number => {
  const high = digit(text.charCodeAt(at)) * 4096 + digit(text.charCodeAt(at + 1)) * 256
  return high + digit(text.charCodeAt(at + 2)) * 16 + digit(text.charCodeAt(at + 3))
}

export class Escaped {
  /** Where the next such text begins, its quote; the text's length if there is none. */
  quote: number
  /** The place after the one that was taken last. */
  end = 0
  /** For each: its quote, the place after it, and where its value begins in `values`. */
  private readonly places: Array<number> = []
  private values = ""
  private next = 0
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
    const width = wide ? 2 : 1
    const out = bufferOf((end - text.lastIndexOf('"', first)) * width)
    let to = 0
    for (let backslash = first; backslash >= 0 && backslash < end;) {
      const quote = text.lastIndexOf('"', backslash)
      places.push(quote, 0, to / width)
      let at = quote + 1
      let c = text.charCodeAt(at)
      for (; c !== 34 && at < end; c = text.charCodeAt(++at)) {
        if (c === 92) {
          c = text.charCodeAt(++at)
          if (c === 117) {
            c = unit(text, at + 1)
            at += 4
          } else {
            c = c < 128 ? meaning[c]! || 0x10000 : 0x10000
          }
        }
        if (c > 255 && !wide && c <= 0xffff) {
          places.length = 0
          return this.read(first, end, true)
        }
        if (c > 0xffff) {
          break
        }
        out[to++] = c
        if (wide) {
          out[to++] = c >> 8
        }
      }
      if (c !== 34 || at >= end) {
        to = places.at(-1)! * width
        places.length -= 3
        this.stopped = quote
        break
      }
      places[places.length - 2] = at + 1
      backslash = text.indexOf("\\", at + 1)
    }
    this.values = wide ? out.toString("utf16le", 0, to) : out.toString("latin1", 0, to)
  }
}
