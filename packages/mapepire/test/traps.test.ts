/**
 * What surprises in the protocol, by number, and that nothing of it is without a test: titles of tests name the numbers,
 * as `… (section 1.2)` or `… (bug 8, section 2.3.2)`.
 */
import { assert, describe, it } from "@effect/vitest"
import { named } from "./titles.js"

const traps: Readonly<Record<string, string>> = {
  "1.2": "the upgrade looks at no password: connect does; some cannot be sent at all",
  "1.3": "a one-time code is good for one connect",
  "1.4": "rules of the daemon refuse users and addresses at connect",
  "1.5": "the daemon's own certificate has one common name and no other name",
  "1.6": "older daemons have no /version; binary values are given once, to the same login",
  "1.7": "messages come as text and as binary, of any size, and nobody notices a half-open socket",
  "1.8": "a second connect takes everything away, and old cursors read as finished",
  "1.9": "exit closes the connection to the database, and not the socket",
  "2.1": "a response without success is a failure, and a failure may carry results",
  "2.2": "ids are the only match, and none may come again; unknown ones are harmless",
  "2.3.1": "requests run in no promised order",
  "2.3.2": "while cl, dove or connect run nothing is read, not even a ping",
  "2.3.4": "sqlclose before the answer makes a cursor that can never be closed",
  "2.3.5": "a client that does not read stops all others: pages are not asked for instead",
  "2.3.6": "a value that JSON does not know ends the daemon",
  "2.4": "failures of connect have text and nothing else",
  "2.5": "a change has no data and no is_done; the first word decides how a statement is run",
  "2.6": "only a text that begins with CALL has output parameters",
  "2.7": "metadata of results replaces that of parameters; the id is handle and cursor",
  "2.8": "results of execute have one page",
  "2.9": "two sqlmore at once race",
  "2.10": "a second sqlclose is refused, which means closed",
  "2.11": "statements leak, and at 9,999 the connection is of no more use",
  "2.12": "a failed command has its job log",
  "2.13": "explaining has no pages",
  "2.14": "ping does not ask the database",
  "2.15": "a job has a name of question marks without a connection",
  "2.16": "versions may have suffixes",
  "2.17": "tracing is ignored in daemon mode: the echo tells",
  "2.18": "exit, then close",
  "2.20": "what codes and states mean, also those of the driver",
  "3.1": "columns of one name",
  "3.2": "older daemons tell less of columns",
  "3.3": "types and their JSON",
  "3.4": "parameters are bound as text",
  "3.5": "counts of batches may be unknown, and a failed batch poisons its handle",
  "3.6": "NULL into INOUT, placeholders for OUT, one result set",
  "3.7": "bytes in three forms",
  "4": "an exact multiple of the page ends with an empty page",
  "6.2": "closing the socket stops nothing",
  "6.3": "a statement is stopped from another job",
  "6.4.1": "a cancel aims at a job, and may hit what runs next",
  "6.4.2": "jobs are used again: no cancel after the answer",
  "6.4.3": "who cancels needs a job of its own",
  "6.4.4": "a cancel may come too late: what was opened must be closed",
  "6.4.5": "no answer in time: the job is kept apart until it comes",
  "6.4.6": "an interrupted page closes its cursor",
  "6.4.7": "an interrupted transaction is stopped and undone",
  "6.4.8": "late answers are waited for, to tidy up",
  "6.4.9": "a connect cannot be cancelled: the socket is closed",
  "6.4.10": "deadlines take the same way",
  "6.4.11": "who may not cancel gives up the job instead",
  "6.5": "everything has an end in time"
}

describe("the list of traps", () => {
  it("has a test for each, and no test names another", () => {
    const tested = named(/\bsections? ([\d.]+(?:, [\d.]+)*)/g)
    assert.deepStrictEqual(
      Object.keys(traps)
        .filter((number) => !tested.has(number))
        .map((number) => `${number}: ${traps[number]!}`),
      []
    )
    assert.deepStrictEqual(
      [...tested].filter((number) => !Object.hasOwn(traps, number)),
      []
    )
  })
})
