/** Recordings of changes: the loop's half. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { RecordingRequest } from "../messages.js"
import type { OnWriter } from "../onWriter.js"
import { Owned } from "../owned.js"
import { invalid } from "./apply.js"
import type { BlockOptions, ChangeSession, ChangeSessionOptions, Changesets } from "./model.js"

const ended = (): SqlError =>
  SqlFailure.make({ reason: "Closed", message: "The recording of changes has ended with its scope" })

const blocks = (bytes: Uint8Array, size: number): Chunk.Chunk<Uint8Array> =>
  Chunk.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size))
  )

let last = 0

class Recording implements ChangeSession {
  private readonly id = ++last
  private readonly owned: Owned

  constructor(onWriter: OnWriter) {
    this.owned = new Owned(onWriter, "recording of changes", ended)
  }

  private ask(request: RecordingRequest): Effect.Effect<unknown, SqlError> {
    return this.owned.ask({ _tag: "Recording", request }, request.kind === "open")
  }

  private get(patchset: boolean): Effect.Effect<Uint8Array, SqlError> {
    return Effect.map(
      Effect.suspend(() => this.ask({ kind: "changeset", id: this.id, patchset })),
      (bytes) => new Uint8Array(bytes as ArrayBuffer)
    )
  }

  private stream(patchset: boolean, { blockSize = 65_536 }: BlockOptions = {}): Stream.Stream<Uint8Array, SqlError> {
    return Number.isInteger(blockSize) && blockSize > 0
      ? Stream.flatMap(this.get(patchset), (bytes) => Stream.fromChunk(blocks(bytes, blockSize)))
      : Stream.fail(invalid("blockSize is a whole number of bytes, at least 1"))
  }

  readonly changeset = this.get(false)
  readonly patchset = this.get(true)
  readonly changesetStream = (options?: BlockOptions) => this.stream(false, options)
  readonly patchsetStream = (options?: BlockOptions) => this.stream(true, options)
  readonly isEmpty = Effect.suspend(() => this.ask({ kind: "isEmpty", id: this.id })) as Effect.Effect<
    boolean,
    SqlError
  >

  open({ indirect = false, schema = "main", tables }: ChangeSessionOptions): Effect.Effect<unknown, SqlError> {
    return this.ask({ kind: "open", id: this.id, options: { schema, tables, indirect } })
  }

  readonly close = Effect.suspend(() =>
    this.owned.close({ _tag: "Recording", request: { kind: "close", id: this.id } })
  )
}

export const makeSession =
  (onWriter: OnWriter): Changesets["changeSession"] =>
  (options = {}) =>
    Effect.suspend(() => {
      const recording = new Recording(onWriter)
      return Effect.zipRight(
        Effect.addFinalizer(() => recording.close),
        Effect.as(recording.open(options), recording)
      )
    })
