/** JSON whose numbers stay what they were, for the small parts of the protocol where a double will not do. */

/** Hands every number's text to `number`. Undefined if the text is no JSON. */
export const parseLossless = (text: string, number: (text: string) => unknown = exactNumber): unknown => {
  const reader = new Reader(text, number)
  try {
    return reader.document()
  } catch (error) {
    if (error instanceof SyntaxError) {
      return undefined
    }
    throw error
  }
}

/** A number if a double holds exactly what was written, else a bigint for a whole number, else the text itself. */
export const exactNumber = (text: string): number | bigint | string => {
  const value = Number(text)
  if (/^-?\d+$/.test(text)) {
    return Number.isSafeInteger(value) ? value : BigInt(text)
  }
  // Fifteen digits survive the way through a double.
  const digits = text
    .replace(/e.*$/i, "")
    .replace(/^-?0*\.?0*/, "")
    .replace(".", "")
  return digits.length <= 15 && Number.isFinite(value) ? value : text
}

/** Text of a number, told apart from a text: for those who know later what it is. */
export class NumberText {
  constructor(readonly text: string) {}
}

/** The same value with ordinary numbers in it, as `JSON.parse` gives it. */
export const withNumbers = (value: unknown): unknown =>
  value instanceof NumberText
    ? Number(value.text)
    : Array.isArray(value)
      ? value.map(withNumbers)
      : typeof value === "object" && value !== null
        ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withNumbers(inner)]))
        : value

const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const spacePattern = /[ \t\r\n]*/y

/** The place after the string that begins at `start`; the end of the text if it does not end. No pattern: long ones. */
export const stringEnd = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === 92) {
      backslashes++
    }
    if (backslashes % 2 === 0) {
      return end + 1
    }
  }
  return text.length
}

/** The place after the value that begins at `start`, in a text that is known to be JSON. */
export const valueEnd = (text: string, start: number): number => {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 34:
        at = stringEnd(text, at) - 1
        break
      case 91:
      case 123:
        depth++
        break
      case 93:
      case 125:
        if (--depth <= 0) {
          return depth < 0 ? at : at + 1
        }
        break
      case 44:
        if (depth === 0) {
          return at
        }
    }
  }
  return text.length
}

/** How deep a document may nest; nothing in the protocol comes near. */
const maxDepth = 200

class Reader {
  private at = 0

  constructor(
    private readonly text: string,
    private readonly number: (text: string) => unknown
  ) {}

  document(): unknown {
    const value = this.value(0)
    this.space()
    if (this.at < this.text.length) {
      this.fail()
    }
    return value
  }

  private value(depth: number): unknown {
    this.space()
    switch (this.text[this.at]) {
      case "{":
        return this.object(depth)
      case "[":
        return this.array(depth)
      case '"':
        return this.string()
      case "t":
        return this.word("true", true)
      case "f":
        return this.word("false", false)
      case "n":
        return this.word("null", null)
      default:
        return this.number(this.token(numberPattern))
    }
  }

  private object(depth: number): Record<string, unknown> {
    const out: Record<string, unknown> = {}
    this.items("}", depth, () => {
      this.space()
      const key = this.string()
      this.space()
      this.expect(":")
      // Not assigned: `__proto__` is a name like any other.
      const value = this.value(depth + 1)
      Object.defineProperty(out, key, { value, configurable: true, enumerable: true, writable: true })
    })
    return out
  }

  private array(depth: number): Array<unknown> {
    const out: Array<unknown> = []
    this.items("]", depth, () => out.push(this.value(depth + 1)))
    return out
  }

  private items(end: string, depth: number, item: () => void): void {
    if (depth > maxDepth) {
      this.fail()
    }
    this.at++
    this.space()
    if (this.text[this.at] === end) {
      this.at++
      return
    }
    for (;;) {
      item()
      this.space()
      if (this.text[this.at] === end) {
        this.at++
        return
      }
      this.expect(",")
    }
  }

  private string(): string {
    const end = this.text[this.at] === '"' ? stringEnd(this.text, this.at) : this.fail()
    const token = this.text.slice(this.at, end)
    this.at = end
    return JSON.parse(token) as string
  }

  private word<A>(word: string, value: A): A {
    if (!this.text.startsWith(word, this.at)) {
      this.fail()
    }
    this.at += word.length
    return value
  }

  private token(pattern: RegExp): string {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)
    if (found === null) {
      return this.fail()
    }
    this.at = pattern.lastIndex
    return found[0]
  }

  private space(): void {
    spacePattern.lastIndex = this.at
    spacePattern.test(this.text)
    this.at = spacePattern.lastIndex
  }

  private expect(character: string): void {
    if (this.text[this.at] !== character) {
      this.fail()
    }
    this.at++
  }

  private fail(): never {
    throw new SyntaxError(`Unexpected text at ${this.at}`)
  }
}
