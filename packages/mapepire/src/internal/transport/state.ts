/**
 * Statements that stay with the job: what they set holds for whatever is run on it later, by anybody. A session of the
 * pool must not be given to the next one like that.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"

/** Schema, path, special registers and users; the library list, by the procedure that runs CL. Not SET TRANSACTION. */
const staying =
  /^\s*(?:--[^\n]*\n\s*|\/\*[^]*?\*\/\s*)*(?:set\s+(?:current|schema|path|session|encryption|connection)\b|call\s+(?:qsys2?\s*[./]\s*)?qcmdexc\s*\(\s*'\s*(?:\w+\/)?(?:chglibl|addlible|rmvlible|chgcurlib)\b)/i

export const staysWithJob = (text: string): boolean => staying.test(text)

export const wouldStay = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Unsupported",
    message:
      "What this sets would stay with a session that others get next. Set it for all sessions (libraries, registers or " +
      "onOpen of the layer), or use sql.reserve: its session is closed afterwards",
    statement
  })
