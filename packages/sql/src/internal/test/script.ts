/** A script under way: which expectation is next, what has run, and what the complaints say. */
import type { Asked, Parts } from "./expectation.js"
import { matches, matchesText, namesControl, showParams, showPattern, squeeze } from "./expectation.js"
import { show } from "./values.js"

interface Line {
  readonly parts: Parts
  readonly number: number
  used: number
}

const isFloating = ({ parts }: Line): boolean => parts.times === "anyTimes"

const isOpen = ({ parts, used }: Line): boolean => parts.times !== "anyTimes" && used < parts.times

/** Statements that a complaint repeats, the latest ones. */
const remembered = 5

export class Script {
  private readonly lines: ReadonlyArray<Line>
  private readonly ran: Array<string> = []
  /** Complaints about statements that nobody expected. */
  readonly unexpected: Array<string> = []

  constructor(
    parts: ReadonlyArray<Parts>,
    private readonly order: "given" | "any"
  ) {
    this.lines = parts.map((parts, i) => ({ parts, number: i + 1, used: 0 }))
  }

  /** The lines that may come now: the next one, or any, when order does not count. */
  private get candidates(): ReadonlyArray<Line> {
    const open = this.lines.filter(isOpen)
    return this.order === "any" ? open : open.slice(0, 1)
  }

  /** The expectation that a statement meets, which counts as used then. */
  take(asked: Asked): Parts | undefined {
    return this.use(asked, () => true)
  }

  /** The same for transaction control, which only meets expectations that name it. */
  takeControl(asked: Asked): Parts | undefined {
    return this.use(asked, ({ parts }) => namesControl(parts.pattern))
  }

  private use(asked: Asked, mayMeet: (line: Line) => boolean): Parts | undefined {
    const line = [...this.candidates, ...this.lines.filter(isFloating)].find(
      (line) => mayMeet(line) && matches(line.parts, asked)
    )
    if (line !== undefined) {
      line.used++
    }
    return line?.parts
  }

  note(asked: Asked): void {
    this.ran.push(showAsked(asked))
  }

  private name({ number, parts, used }: Line): string {
    const times =
      parts.times === 1 ? "" : parts.times === "anyTimes" ? ", any times" : `, ran ${used} of ${parts.times} times`
    return `${number} of ${this.lines.length}${times}`
  }

  /** Says what was expected instead; remembers that it had to. */
  complain(asked: Asked): string {
    const due = this.candidates
    // With nothing left that must come, what may come any time is what it should have been.
    const candidates = due.length > 0 ? due : this.lines.filter(isFloating)
    const text = squeeze(asked.request.text)
    const lines = ["TestTransport.scripted: unexpected statement"]
    if (candidates.length === 0) {
      lines.push(`  expected  nothing more${this.lines.length === 0 ? "" : `: all ${this.lines.length} have run`}`)
    }
    for (const line of candidates.slice(0, remembered)) {
      lines.push(`  expected  ${showPattern(line.parts.pattern)}   (${this.name(line)})`)
      lines.push(`    params  ${showParams(line.parts.params)}`)
    }
    if (candidates.length > remembered) {
      lines.push(`            or one of ${candidates.length - remembered} more`)
    }
    lines.push(`  got       ${text}`, `    params  ${show(asked.params)}`)
    if (candidates.length === 1) {
      lines.push(...difference(candidates[0]!.parts, asked))
    }
    lines.push(...this.ranBefore("ran before it"))
    const complaint = lines.join("\n")
    this.unexpected.push(complaint)
    return complaint
  }

  /** The complaint about statements that never ran; undefined when all have. */
  get leftOver(): string | undefined {
    const left = this.lines.filter(isOpen)
    return left.length === 0
      ? undefined
      : [
          `TestTransport.scripted: ${left.length} expected statement${left.length === 1 ? " was" : "s were"} never run`,
          ...left.map(
            (line) =>
              `  ${showPattern(line.parts.pattern)}   (${this.name(line)})` +
              (line.parts.params === undefined ? "" : `\n    params  ${showParams(line.parts.params)}`)
          ),
          ...this.ranBefore("ran")
        ].join("\n")
  }

  /** The last that were run. */
  private ranBefore(title: string): ReadonlyArray<string> {
    const first = Math.max(0, this.ran.length - remembered)
    return this.ran.length === 0
      ? []
      : [`  ${title}`, ...this.ran.slice(first).map((text, i) => `    ${first + i + 1}. ${text}`)]
  }
}

const showAsked = ({ params, request }: Asked): string =>
  squeeze(request.text) + (params.length === 0 ? "" : `   ${show(params)}`)

/** Where exactly the two part. */
const difference = ({ params, pattern }: Parts, asked: Asked): ReadonlyArray<string> => {
  if (!matchesText(pattern, asked.request)) {
    if (typeof pattern !== "string") {
      return []
    }
    const expected = squeeze(pattern)
    const got = squeeze(asked.request.text)
    let at = 0
    while (at < expected.length && expected[at] === got[at]) {
      at++
    }
    return [`            ${" ".repeat(at)}^ the texts differ from here`]
  }
  if (params === undefined || typeof params === "function") {
    return ["  The text is as expected, the parameters are not."]
  }
  if (params.length !== asked.params.length) {
    return [`  The text is as expected, but ${params.length} parameters were expected, not ${asked.params.length}.`]
  }
  const wrong = params.flatMap((value, i) => (show(value) === show(asked.params[i]) ? [] : [i + 1]))
  return [`  The text is as expected, parameter ${wrong.join(", ")} is not.`]
}
