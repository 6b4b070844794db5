/** What a statement does to its transaction is told by its text. */
import { assert, describe, it } from "@effect/vitest"
import { transactionWordOf } from "../src/internal/transport/transactionWord.js"

describe("statements about the transaction", () => {
  const expected: Record<string, ReadonlyArray<string>> = {
    BEGIN: ["begin", " BEGIN TRANSACTION ;"],
    COMMIT: ["commit", "/* done /* really */ */ commit", "COMMIT HOLD", "commit work hold;", "-- all\ncommit -- of it"],
    ROLLBACK: ["rollback", "Rollback /* all */ work", "ROLLBACK HOLD"],
    SAVEPOINT: [
      "rollback to savepoint a",
      "/* so far */ release savepoint a",
      "ROLLBACK WORK TO SAVEPOINT",
      "release to savepoint a"
    ],
    undefined: [
      "begin delete from t; end",
      "begin atomic commit; end",
      "savepoint a on rollback retain cursors",
      "values 'commit'",
      "release a",
      ""
    ]
  }
  for (const [word, texts] of Object.entries(expected)) {
    it(`${word}`, () => {
      for (const text of texts) {
        assert.strictEqual(String(transactionWordOf(text)), word, text)
      }
    })
  }
})
