/** The texts in which a script complains. */
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, TestTransport } from "@sluice/sql"
import { Cause, Effect, Exit, Logger, Option } from "effect"

const { on } = TestTransport

/** Runs a body over a script. */
const play = <A, E>(
  script: ReadonlyArray<TestTransport.Expectation>,
  body: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>,
  options?: TestTransport.ScriptOptions
) =>
  Effect.flatMap(SqlClient.SqlClient, body).pipe(
    Effect.provide(SqlClient.layer),
    Effect.provide(TestTransport.scripted(script, options))
  )

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), SqlFailure.from)

/** What a program dies of. */
const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
    assert.isDefined(defect, "should have died")
    return defect instanceof Error ? defect.message : String(defect)
  })

/** What is logged as a warning while an effect runs. */
const warningsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void (logLevel.label === "WARN" && lines.push(String(message))))
  return Effect.as(Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)), lines)
}

describe("TestTransport.scripted complains about", () => {
  describe("an unexpected statement", () => {
    it.effect("fails, and its message sets it beside what was expected", () =>
      Effect.gen(function* () {
        const wrong = yield* failureOf(
          play([on("select 1"), on("insert into audit values (?)").params([1])], (sql) =>
            Effect.zipRight(sql`select 1`, sql`insert into audits values (${2})`)
          )
        )
        assert.strictEqual(wrong.reason, "Unsupported")
        assert.strictEqual(
          wrong.message,
          [
            "TestTransport.scripted: unexpected statement",
            "  expected  insert into audit values (?)   (2 of 2)",
            "    params  [1]",
            "  got       insert into audits values (?)",
            "    params  [2]",
            "                             ^ the texts differ from here",
            "  ran before it",
            "    1. select 1"
          ].join("\n")
        )
      })
    )

    it.effect("with the right text tells which parameter is wrong", () =>
      Effect.gen(function* () {
        const wrong = (expected: ReadonlyArray<unknown>) =>
          Effect.map(
            failureOf(play([on(/insert/).params(expected)], (sql) => sql.unsafe("insert", [1, "b"]))),
            ({ message }) => message
          )
        assert.include(yield* wrong([1, "a"]), "The text is as expected, parameter 2 is not.")
        assert.include(yield* wrong([1]), "1 parameters were expected, not 2.")
      })
    )

    it.effect("after the last one says so", () =>
      Effect.map(failureOf(play([on("one")], (sql) => Effect.zipRight(sql`one`, sql`two`))), ({ message }) => {
        assert.include(message, "expected  nothing more: all 1 have run")
      })
    )

    it.effect("after the last one names those that may come any times", () =>
      Effect.gen(function* () {
        for (const order of ["given", "any"] as const) {
          const { message } = yield* failureOf(
            play([on("one"), on("beat").anyTimes], (sql) => Effect.zipRight(sql`one`, sql`two`), { order })
          )
          assert.include(message, "expected  beat   (2 of 2, any times)")
          assert.notInclude(message, "nothing more")
        }
      })
    )

    it.effect("that the program handles is logged when the layer is closed", () =>
      Effect.map(warningsOf(play([], (sql) => Effect.ignore(sql`select ${1}`))), (lines) => {
        assert.lengthOf(lines, 1)
        assert.include(lines[0]!, "got       select ?")
        assert.include(lines[0]!, "The program handled this failure.")
      })
    )

    it.effect("is a defect on request", () =>
      Effect.map(defectOf(play([], (sql) => Effect.ignore(sql`one`), { unexpected: "die" })), (message) => {
        assert.include(message, "unexpected statement")
      })
    )
  })

  describe("statements never run", () => {
    it.effect("make the close die and are named", () =>
      Effect.map(
        defectOf(
          play(
            [
              on("one"),
              on(/insert into audit/)
                .params(["x"])
                .times(2),
              on(/maybe/).anyTimes
            ],
            (sql) => Effect.zipRight(sql`one`, sql.unsafe("insert into audit", ["x"]))
          )
        ),
        (message) => {
          assert.strictEqual(
            message,
            [
              "TestTransport.scripted: 1 expected statement was never run",
              "  /insert into audit/   (2 of 3, ran 1 of 2 times)",
              `    params  ["x"]`,
              "  ran",
              "    1. one",
              `    2. insert into audit   ["x"]`
            ].join("\n")
          )
        }
      )
    )

    it.effect("are not mentioned when the test has failed anyway", () =>
      Effect.map(Effect.exit(play([on("one")], () => Effect.fail("mine"))), (exit) => {
        assert.deepStrictEqual(exit, Exit.fail("mine"))
      })
    )
  })
})
