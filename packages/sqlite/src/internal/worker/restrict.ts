/** A connection for the statements of strangers: they read, one per text, within bounds. */
import type { UntrustedRules } from "../opening.js"
import { Flag, Header } from "../page.js"
import { quoted } from "../quoting.js"
import { ResultCode } from "../resultCode.js"
import { emptyPage } from "./answer.js"
import { type Connection, EngineError, type Prepared } from "./engine.js"
import { expandedLength, viewLengths } from "./expandedLength.js"
import { queryRows } from "./queryRows.js"

/** Throws `EngineError` where the engine cannot do that. */
export const restrict = (connection: Connection, rules: UntrustedRules): Connection => {
  connection.restrict()
  const views = viewsOf(connection)
  return {
    ...connection,
    prepare: (text) => {
      if (text.length > rules.text) {
        throw new EngineError(ResultCode.toobig, `the statement is longer than ${rules.text} characters`)
      }
      if (expandedLength(text, views()) > rules.expandedText) {
        throw new EngineError(
          ResultCode.toobig,
          `the statement is longer than ${rules.expandedText} characters (maxExpandedText) with its common table ` +
            "expressions and views put in wherever they are mentioned: mention them less often"
        )
      }
      const prepared = connection.prepare(text)
      const refusal = prepared === undefined ? undefined : refusalOf(prepared, rules)
      if (refusal !== undefined) {
        prepared!.finalize()
        throw refusal
      }
      return prepared === undefined ? undefined : bounded(prepared, rules)
    }
  }
}

/** What the views of the database come to now: other programs may change them meanwhile. */
const viewsOf = (connection: Connection): (() => ReadonlyMap<string, number>) => {
  const own: Pick<Connection, "prepare"> = { prepare: connection.prepareOwn }
  const text = queryRows(own, "pragma database_list")
    .map(([, schema]) => `select name, sql from ${quoted(schema as string)}.sqlite_schema where type = 'view'`)
    .join(" union all ")
  let known: ReadonlyArray<readonly [string, string]> = []
  let lengths = viewLengths(known)
  return () => {
    const found = queryRows(own, text) as unknown as ReadonlyArray<readonly [string, string]>
    if (
      found.length !== known.length ||
      found.some(([name, sql], i) => name !== known[i]![0] || sql !== known[i]![1])
    ) {
      known = found
      lengths = viewLengths(found)
    }
    return lengths
  }
}

const refusalOf = (prepared: Prepared, rules: UntrustedRules): EngineError | undefined =>
  prepared.tail !== ""
    ? new EngineError(ResultCode.auth, "not authorized: one statement at a time")
    : !prepared.readonly
      ? new EngineError(ResultCode.auth, "not authorized: only statements that read")
      : prepared.columnCount() > rules.columns
        ? new EngineError(ResultCode.toobig, `the result has more than ${rules.columns} columns`)
        : undefined

/** Ends a run that has given as much as it may. */
const bounded = (prepared: Prepared, rules: UntrustedRules): Prepared => {
  let rows = 0
  let bytes = 0
  const begin = () => {
    rows = 0
    bytes = 0
  }
  const refuse = (what: string, out: Uint8Array, offset: number): number => {
    prepared.reset()
    const page = emptyPage({
      flags: Flag.readonly,
      code: ResultCode.toobig,
      message: `the result has more than ${what}`
    })
    out.set(new Uint8Array(page), offset)
    return page.byteLength
  }
  return {
    ...prepared,
    bind: (parameters, offset, count, keep) => {
      begin()
      return prepared.bind(parameters, offset, count, keep)
    },
    reset: () => {
      begin()
      prepared.reset()
    },
    fetch: (maxRows, out, offset, capacity) => {
      if (rows >= rules.rows) return refuse(`${rules.rows} rows`, out, offset)
      const written = prepared.fetch(Math.min(maxRows, rules.rows - rows), out, offset, capacity)
      if (bytes + Math.abs(written) > rules.bytes) return refuse(`${rules.bytes} bytes`, out, offset)
      if (written > 0) {
        rows += new Int32Array(out.buffer, out.byteOffset + offset, Header.rows + 1)[Header.rows]!
        bytes += written
      }
      return written
    }
  }
}
