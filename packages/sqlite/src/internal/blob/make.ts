/** Blob handles: the loop's half. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import type { BlobRequest } from "../messages.js"
import type { OnWriter } from "../onWriter.js"
import { Owned } from "../owned.js"
import { ResultCode } from "../resultCode.js"
import type { Blob, Blobs, BlobStreamOptions } from "./model.js"

/** SQLite's largest value is smaller (SQLITE_MAX_LENGTH). */
const most = 0x7fffffff

const invalid = (message: string) => Effect.fail(SqlFailure.make({ reason: "InvalidParameter", message }))

const expired = (): SqlError =>
  SqlFailure.make({
    reason: "Closed",
    message:
      "The blob handle has expired: its row was changed or deleted, or could not be reopened. Reopen it on a row",
    code: ResultCode.abort
  })

const isBytes = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= most

/** As SQLite has them: whole numbers of 64 bits. */
const isRowid = (rowid: number | bigint): boolean =>
  typeof rowid === "bigint" ? BigInt.asIntN(64, rowid) === rowid : Number.isSafeInteger(rowid)

const noRowid = () => invalid("A rowid is a whole number within 64 bits, and beyond 2^53 a bigint")

let last = 0

class Handle implements Blob {
  private readonly id = ++last
  private bytes = 0
  private usable = false
  private readonly owned: Owned

  constructor(onWriter: OnWriter) {
    this.owned = new Owned(onWriter, "blob handle", () => {
      this.usable = false
      return expired()
    })
  }

  private ask(request: BlobRequest, transfer?: Array<ArrayBuffer>): Effect.Effect<unknown, SqlError> {
    return this.owned.ask({ _tag: "Blob", request }, request.kind === "open", transfer)
  }

  private open(request: BlobRequest): Effect.Effect<void, SqlError> {
    return Effect.map(this.ask(request), (size) => {
      this.bytes = size as number
      this.usable = true
    })
  }

  place({ column, rowid, schema = "main", table, write = false }: Parameters<Blobs["blob"]>[0]) {
    return isRowid(rowid)
      ? this.open({ kind: "open", id: this.id, place: { schema, table, column, rowid: BigInt(rowid), write } })
      : noRowid()
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.usable = false
    return this.owned.close({ _tag: "Blob", request: { kind: "close", id: this.id } })
  })

  readonly size = Effect.suspend(() => (this.usable ? Effect.succeed(this.bytes) : Effect.fail(expired())))

  readonly read = (offset: number, length: number, keep = false): Effect.Effect<Uint8Array, SqlError> =>
    Effect.suspend(() =>
      isBytes(offset) && isBytes(length)
        ? Effect.map(
            this.ask({ kind: "read", id: this.id, offset, length, keep }),
            (bytes) => new Uint8Array(bytes as ArrayBuffer)
          )
        : invalid("The offset and the length of what is read are whole numbers from 0 on")
    )

  readonly write = (offset: number, bytes: Uint8Array): Effect.Effect<void, SqlError> =>
    Effect.suspend(() => {
      if (!isBytes(offset)) {
        return invalid("The offset of what is written is a whole number from 0 on")
      }
      // A copy: it moves to the worker, and the caller's array stays the caller's.
      const copy = new Uint8Array(bytes).buffer
      return Effect.asVoid(this.ask({ kind: "write", id: this.id, offset, bytes: copy }, [copy]))
    })

  readonly reopen = (rowid: number | bigint): Effect.Effect<void, SqlError> =>
    Effect.suspend(() => {
      if (!isRowid(rowid)) {
        return noRowid()
      }
      this.usable = false
      return this.open({ kind: "reopen", id: this.id, rowid: BigInt(rowid) })
    })

  readonly stream = (options: BlobStreamOptions = {}): Stream.Stream<Uint8Array, SqlError> =>
    Stream.unwrapScoped(
      Effect.gen(this, function* () {
        const { chunkSize = 262_144, offset = 0 } = options
        const size = yield* this.size
        const end = options.length === undefined ? Math.max(offset, size) : offset + options.length
        if (!isBytes(offset) || !isBytes(end) || end < offset || !isBytes(chunkSize) || chunkSize === 0) {
          return Stream.fromEffect(invalid("offset, length and chunkSize are whole numbers of bytes"))
        }
        // SQLite finds its way to an offset once, and not with every element, while its handle is kept open.
        yield* Effect.addFinalizer(() => Effect.ignore(this.read(0, 0)))
        return Stream.paginateEffect(offset, (at) => {
          const next = Math.min(at + chunkSize, end)
          return Effect.map(this.read(at, next - at, true), (bytes) => [
            bytes,
            next < end ? Option.some(next) : Option.none<number>()
          ])
        })
      })
    )

  readonly sink = (offset = 0): Sink.Sink<number, Uint8Array, never, SqlError> =>
    Sink.foldLeftChunksEffect(offset, (at, chunk: Chunk.Chunk<Uint8Array>) => {
      const bytes = Chunk.size(chunk) === 1 ? Chunk.unsafeHead(chunk) : Buffer.concat(Chunk.toReadonlyArray(chunk))
      return Effect.as(this.write(at, bytes), at + bytes.length)
    })
}

export const make = (onWriter: OnWriter): Blobs => ({
  blob: (options) =>
    Effect.suspend(() => {
      const handle = new Handle(onWriter)
      return Effect.zipRight(
        Effect.addFinalizer(() => handle.close),
        Effect.as(handle.place(options), handle)
      )
    })
})
