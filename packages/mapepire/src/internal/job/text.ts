/** What a statement's text tells before Db2 has seen it. */
import { commentEnd } from "../db2/tokens.js"

/**
 * The text from its first word on. Daemon and driver look at that word only: a comment before it would make a query an
 * update for them, and a CALL lose its output parameters.
 */
export const fromVerb = (text: string): string => {
  let at = 0
  for (;;) {
    while (/\s/.test(text[at] ?? "")) {
      at++
    }
    if (text.startsWith("--", at)) {
      const end = text.indexOf("\n", at)
      at = end < 0 ? text.length : end + 1
    } else if (text.startsWith("/*", at)) {
      at = commentEnd(text, at)
    } else {
      return at === 0 ? text : text.slice(at)
    }
  }
}

/** Its result may have to be paged, so it must be run in the way that can be. */
export const mayHaveRows = (text: string): boolean => !/^(insert|update|delete|merge|set)\b/i.test(text)

export const isCall = (text: string): boolean => /^call\b/i.test(text)

/**
 * It closes the cursors of its job: ROLLBACK, also with HOLD, which puts them back to where the transaction began; not to
 * a savepoint. And COMMIT where cursors are not held.
 */
export const closesCursors = (text: string, held: boolean): boolean =>
  /^rollback\b(?!\s+(?:work\s+)?to\b)/i.test(text) || (!held && /^commit\b(?!\s+(?:work\s+)?hold\b)/i.test(text))

/**
 * A query, a change, or the end of a transaction or of a part of it: all others need a look at what they consist of. A CL
 * command may be run from anywhere in a statement.
 */
export const isPlain = (text: string): boolean =>
  /^(?:select|with|values|insert|update|delete|merge|commit|rollback|savepoint|release\s+savepoint)\b/i.test(text) &&
  !/qcmdexc/i.test(text)

/** Statements after which the same text may mean something else: other schemas and libraries, other tables. */
export const changesMeaning = (text: string): boolean => !isPlain(text)
