/**
 * The list of what has gone wrong in clients of this daemon, and that none of it is without a test: titles name the
 * numbers, as `bug 7: …` or `… (bugs 2, 3)`.
 */
import { assert, describe, it } from "@effect/vitest"
import { named } from "./titles.js"

const bugs: ReadonlyArray<string> = [
  "answers are not matched by id",
  "requests hang for ever after the end of the socket",
  "the end of the socket looks like the caller's own cancellation",
  "the cursor of a caller who left stays open",
  "JSON is put together from texts",
  "fields and properties are misspelled",
  "a message limit of the library ends the connection",
  "a timeout for connecting that does nothing, pings that a busy daemon cannot answer",
  "a table that is changed while it is walked",
  "trust is changed for the whole process",
  "verified by default, which verifies nothing",
  "credentials are joined without a look at them",
  "sqlclose is left out when all was read or something failed",
  "a registry keeps every query",
  "only the first page",
  "a change counts as an open cursor",
  "a cursor that is used again leaks the query before",
  "a round trip per row",
  "one message with everything",
  "what is one batch here is a loop there",
  "output parameters are dropped",
  "columns of one name are lost",
  "the text of a message is patched",
  "results of execute are thought to have pages",
  "numbers lose digits",
  "bytes come as hexadecimal text",
  "the job log of a failed command is lost",
  "nulls break a batch",
  "a job has several owners",
  "no job is ready and none is busy",
  "nobody waits for the growth of the pool",
  "options are lost on their way to the job",
  "dead jobs stay in the pool",
  "nobody waits, and everybody is put on the same job",
  "a job is lost when its statement cannot be sent",
  "a connect that failed leaves its state",
  "two first uses open two sockets",
  "a new connection that nobody is told of",
  "leaving hides the first failure",
  "failures are one line of text",
  "the library writes to the console",
  "the text of a failure is thrown away",
  "tracing is believed to be on",
  "lists are joined without commas"
]

describe("the list of bugs", () => {
  it("has a test for each of its numbers, and no test has another number", () => {
    const tested = new Set([...named(/\bbugs? (\d+(?:, \d+)*)/g)].map(Number))
    const numbers = bugs.map((_, i) => i + 1)
    assert.strictEqual(bugs.length, 44)
    assert.deepStrictEqual(
      numbers.filter((number) => !tested.has(number)).map((number) => `${number}: ${bugs[number - 1]!}`),
      []
    )
    assert.deepStrictEqual(
      [...tested].filter((number) => !numbers.includes(number)),
      []
    )
  })
})
