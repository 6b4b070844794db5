/** From pages to rows: the stream of a cursor. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import type * as SqlTransport from "../SqlTransport.js"

export type TransformRows = (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/** Chunks of rows, a page each. */
export type Pages<A> = Channel.Channel<Chunk.Chunk<A>, unknown, SqlError, unknown, void, unknown>

/**
 * One page per pull, nothing read ahead. A page's rows come first, then the error that came after them.
 */
export const pages = <A>(cursor: SqlTransport.Cursor, transformRows: TransformRows): Pages<A> => {
  const emit = (page: SqlTransport.Page): Pages<A> => {
    const after: Pages<A> | undefined =
      page.error !== undefined ? Channel.fail(page.error) : page.done ? undefined : next
    if (page.length === 0) {
      return after ?? Channel.void
    }
    const rows = page.objects()
    const chunk = Channel.write(Chunk.unsafeFromArray(transformRows === undefined ? rows : transformRows(rows)))
    return after === undefined ? chunk : Channel.flatMap(chunk, () => after)
  }
  const next: Pages<A> = Channel.flatMap(
    Channel.suspend(() => Channel.fromEffect(cursor.next)),
    (page) => emit(page)
  )
  return Channel.suspend(() => emit(cursor.first))
}
