/** The answers of a recording, by statement and parameters. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Either from "effect/Either"
import * as SqlFailure from "../../SqlFailure.js"
import type { AnswerData, RecordingData, StatementData, Way } from "./recordingFile.js"
import { encode, type Json, redactedParameter, textOf } from "./values.js"

const anything = textOf(redactedParameter)

/** A redacted parameter, at any depth a batch has, equals every value. */
const isSame = (recorded: Json, given: Json): boolean =>
  textOf(recorded) === anything ||
  textOf(recorded) === textOf(given) ||
  (Array.isArray(recorded) &&
    Array.isArray(given) &&
    recorded.length === given.length &&
    recorded.every((part: Json, i) => isSame(part, given[i] as Json)))

/** Higher is better; below 0 it is no answer to such a request. */
const likeness = (answer: AnswerData, way: Way): number =>
  answer.use === way.use
    ? 4 + Number(answer.shape === way.shape) * 2 + Number(answer.integers === way.integers)
    : (answer.use === "run" || answer.use === "open") && (way.use === "run" || way.use === "open")
      ? Number(answer.integers === way.integers)
      : -1

/** How many statements a failure names. */
const named = 3

export class Recorded {
  private readonly byText = new Map<string, Array<StatementData>>()
  private readonly used = new Set<AnswerData>()

  constructor(
    recording: RecordingData,
    private readonly file: string,
    private readonly exhausted: "repeat" | "fail"
  ) {
    for (const statement of recording.statements) {
      const same = this.byText.get(statement.text)
      if (same === undefined) {
        this.byText.set(statement.text, [statement])
      } else {
        same.push(statement)
      }
    }
  }

  /** The next answer to a request like this one. */
  take(way: Way, text: string, params: ReadonlyArray<unknown>): Either.Either<AnswerData, SqlError> {
    const statements = this.byText.get(text) ?? []
    const given = encode(params)
    // One recorded with just these parameters comes before one whose parameters were redacted.
    const known =
      statements.find((statement) => textOf(statement.params) === textOf(given)) ??
      statements.find((statement) => isSame(statement.params, given))
    const answers = (known?.answers ?? []).filter((answer) => likeness(answer, way) >= 0)
    if (answers.length === 0) {
      return Either.left(this.missing(text, given as ReadonlyArray<Json>))
    }
    const free = answers.filter((answer) => !this.used.has(answer))
    if (free.length === 0 && this.exhausted === "fail") {
      return Either.left(
        this.failure(
          text,
          `the statement was recorded ${answers.length} times with these parameters, and runs once more`
        )
      )
    }
    const from = free.length === 0 ? [...answers].reverse() : free
    const best = from.reduce((best, answer) => (likeness(answer, way) > likeness(best, way) ? answer : best))
    this.used.add(best)
    return Either.right(best)
  }

  describe(text: string): AnswerData | undefined {
    return this.byText
      .get(text)
      ?.flatMap(({ answers }) => answers)
      .find(({ use }) => use === "describe")
  }

  undescribed(text: string): SqlError {
    return this.failure(text, "the statement was not described when the recording was made")
  }

  cutOff(text: string, rows: number): SqlError {
    return this.failure(text, `when it was made, this result was read no further than row ${rows}`)
  }

  private failure(statement: string, why: string): SqlError {
    return SqlFailure.make({
      reason: "Unsupported",
      message: `TestTransport.replay has no answer in ${this.file}: ${why}`,
      statement
    })
  }

  /** Parameters are named by number only: the recording may be of real data. */
  private missing(text: string, given: ReadonlyArray<Json>): SqlError {
    const same = this.byText.get(text)?.filter(({ answers }) => answers.some(({ use }) => use !== "describe")) ?? []
    const hint =
      same.length > 0
        ? [
            "  The same text is recorded:",
            ...same.slice(0, named).map((statement) => `    ${differs(statement.params, given)}`)
          ]
        : ["  The nearest that are recorded:", ...this.nearest(text).map((near) => `    ${near}`)]
    const nothing = this.byText.size === 0 ? ["  Nothing is recorded."] : hint
    return this.failure(
      text,
      [`the statement is not recorded${same.length > 0 ? " with these parameters" : ""}`, `  ${text}`, ...nothing].join(
        "\n"
      )
    )
  }

  private nearest(text: string): ReadonlyArray<string> {
    const wanted = words(text)
    return [...this.byText.keys()]
      .map((candidate) => [candidate, overlap(wanted, words(candidate))] as const)
      .sort(([, a], [, b]) => b - a)
      .slice(0, named)
      .map(([candidate]) => candidate)
  }
}

const differs = (recorded: ReadonlyArray<Json>, given: ReadonlyArray<Json>): string => {
  if (recorded.length !== given.length) {
    return `with ${recorded.length} parameters, not ${given.length}`
  }
  const numbers = recorded.flatMap((value, i) => (isSame(value, given[i]!) ? [] : [i + 1]))
  return numbers.length === 0 ? "in another way (sql.many)" : `with another parameter ${numbers.join(", ")}`
}

const words = (text: string): ReadonlySet<string> => new Set(text.toLowerCase().match(/\w+|[^\s\w]/g) ?? [])

/** Share of the words that both have. */
const overlap = (a: ReadonlySet<string>, b: ReadonlySet<string>): number => {
  const both = [...a].filter((word) => b.has(word)).length
  return both / Math.max(1, a.size + b.size - both)
}
